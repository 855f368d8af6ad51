//! Which part of a job is to be done, checked: a worker does not trust the numbers of a control plane.

use preset::Preset;
use proto::v1::{AudioTask, ChunkTask, CleanupTask, FinishTask, Part, StoredFile, Task, task::Kind};

use super::{Rejection, is_job_id};
use crate::{
    encoder::Cut,
    plan::{self, MAX_CHUNKS, Plan},
};

/// Length of a SHA-256 in bytes.
const SHA256: usize = 32;

/// Longest name of a file in a part, in bytes.
const MAX_NAME: usize = 64;

/// What of a job is to be done. `parent` is the job that a part belongs to; its id is a safe name of a folder.
#[derive(Debug)]
pub(crate) enum Work {
    /// All of it.
    Whole,
    /// A plan for it, or all of it where it is better not split.
    Plan {
        /// Length of a chunk in seconds.
        chunk_seconds: f64,
    },
    /// A range of the video.
    Chunk {
        /// Whose it is.
        parent: String,
        /// Which one.
        cut: Cut,
    },
    /// The audio.
    Audio {
        /// Whose it is.
        parent: String,
    },
    /// The parts, joined.
    Finish {
        /// Whose they are.
        parent: String,
        /// How it was split.
        plan: Plan,
        /// What the chunks have left, in order.
        chunks: Vec<Part>,
        /// What the audio has left; there if the plan has audio.
        audio: Option<Part>,
    },
    /// Nothing is to be left of the parts.
    Cleanup {
        /// Whose they are.
        parent: String,
    },
}

impl Work {
    /// Checks the part of a job with that preset.
    pub(super) fn check(task: Task, preset: &Preset) -> Result<Self, Rejection> {
        let Task { job_id: parent, kind } = task;
        if !is_job_id(&parent) {
            return Err(Rejection::Task("job_id: is not that of a job"));
        }
        match kind.ok_or(Rejection::Task("kind: is missing"))? {
            Kind::Chunk(ChunkTask { index, grid, chunk }) => {
                if u64::from(index) >= MAX_CHUNKS {
                    return Err(Rejection::Task("chunk.index: there are not so many"));
                }
                let (grid, chunk) = plan::chunk_from(grid, chunk)?;
                Ok(Self::Chunk { parent, cut: Cut { index, grid, chunk } })
            }
            Kind::Audio(AudioTask {}) if preset.audio.is_none() => Err(Rejection::Task("audio: the preset has none")),
            Kind::Audio(AudioTask {}) => Ok(Self::Audio { parent }),
            Kind::Finish(task) => Self::check_finish(parent, task, preset),
            Kind::Cleanup(CleanupTask {}) => Ok(Self::Cleanup { parent }),
        }
    }

    fn check_finish(parent: String, task: FinishTask, preset: &Preset) -> Result<Self, Rejection> {
        let FinishTask { plan, chunks, audio } = task;
        let plan = plan::plan_from(plan)?;
        if chunks.len() != plan.chunks.len() || audio.is_some() != plan.has_audio {
            return Err(Rejection::Task("finish: the parts are not those of the plan"));
        }
        if plan.has_audio && preset.audio.is_none() {
            return Err(Rejection::Task("finish: the preset has no audio"));
        }
        // Each rendition, or the audio, has a file and the list of its frames.
        let has_files = |part: &Part, count: usize| part.files.len() == 2 * count && part.files.iter().all(is_stored);
        let is_good = chunks.iter().all(|part| has_files(part, preset.renditions.len()))
            && audio.iter().all(|part| has_files(part, 1));
        if !is_good {
            return Err(Rejection::Task("finish: a part's files are not plain names with their SHA-256"));
        }
        Ok(Self::Finish { parent, plan, chunks, audio })
    }

    /// The job that a part belongs to.
    pub(crate) fn parent(&self) -> Option<&str> {
        match self {
            Self::Whole | Self::Plan { .. } => None,
            Self::Chunk { parent, .. }
            | Self::Audio { parent }
            | Self::Finish { parent, .. }
            | Self::Cleanup { parent } => Some(parent),
        }
    }
}

/// The name becomes a file's.
fn is_stored(file: &StoredFile) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let has_name = (1..=MAX_NAME).contains(&file.path.len()) && file.path.bytes().all(is_plain);
    has_name && !file.path.starts_with('.') && file.sha256.len() == SHA256
}

#[cfg(test)]
mod tests {
    use proto::v1::{Chunk, FrameGrid};
    use rstest::rstest;

    use super::*;

    const GRID: FrameGrid =
        FrameGrid { rate_numerator: 25, rate_denominator: 1, start_us: 0, frames: 100, source_bytes: 0, source_tag: 0 };

    fn check(preset: &str, kind: Kind) -> Result<Work, String> {
        let task = Task { job_id: "parent".into(), kind: Some(kind) };
        Work::check(task, preset::find(preset).expect("known")).map_err(|rejection| rejection.to_string())
    }

    fn chunk(index: u32, first_frame: u64, frames: u64) -> Kind {
        Kind::Chunk(ChunkTask {
            index,
            grid: Some(GRID),
            chunk: Some(Chunk { first_frame, frames, ..Chunk::default() }),
        })
    }

    fn part(names: &[&str]) -> Part {
        let file = |name: &&str| StoredFile { path: (*name).into(), size: 1, sha256: vec![0; SHA256] };
        Part { files: names.iter().map(file).collect() }
    }

    fn finish(chunks: &[Part], audio: Option<Part>) -> Kind {
        let halves = [(0, 50), (50, 50)].map(|(first_frame, frames)| Chunk { first_frame, frames, ..Chunk::default() });
        let plan = proto::v1::Plan { grid: Some(GRID), chunks: halves.into(), has_audio: true };
        Kind::Finish(FinishTask { plan: Some(plan), chunks: chunks.into(), audio })
    }

    #[test]
    fn a_part_knows_its_job() {
        for kind in [chunk(0, 0, 50), Kind::Audio(AudioTask {}), Kind::Cleanup(CleanupTask {})] {
            assert_eq!(check("720p_h264", kind).expect("good").parent(), Some("parent"));
        }
    }

    #[rstest]
    #[case::beyond(
        chunk(0, 51, 50),
        "task: chunk: is missing, empty or not inside the grid, or its key frame is behind it, or it has too many threads"
    )]
    #[case::overflow(
        chunk(0, u64::MAX, 1),
        "task: chunk: is missing, empty or not inside the grid, or its key frame is behind it, or it has too many threads"
    )]
    #[case::index(chunk(u32::MAX, 0, 50), "task.chunk.index: there are not so many")]
    #[case::silent(Kind::Audio(AudioTask {}), "task.audio: the preset has none")]
    fn what_cannot_be_a_part_is_refused(#[case] kind: Kind, #[case] why: &str) {
        assert_eq!(check("hls_720p_video_only", kind).expect_err("refused"), why);
    }

    #[rstest]
    #[case::good(&["v0.mp4", "v0.marks"], 2, true, true)]
    #[case::lost(&["v0.mp4", "v0.marks"], 1, true, false)]
    #[case::mute(&["v0.mp4", "v0.marks"], 2, false, false)]
    #[case::bare(&["v0.mp4"], 2, true, false)]
    #[case::climbing(&["../v0.mp4", "v0.marks"], 2, true, false)]
    #[case::hidden(&[".v0.mp4", "v0.marks"], 2, true, false)]
    fn the_parts_are_those_of_the_plan(
        #[case] names: &[&str],
        #[case] count: usize,
        #[case] has_audio: bool,
        #[case] is_good: bool,
    ) {
        let audio = has_audio.then(|| part(&["a.mp4", "a.marks"]));
        assert_eq!(check("720p_h264", finish(&vec![part(names); count], audio)).is_ok(), is_good);
    }

    #[test]
    fn a_job_that_cannot_be_one_has_no_parts() {
        let task = Task { job_id: "../a".into(), kind: Some(chunk(0, 0, 50)) };
        assert!(Work::check(task, preset::find("720p_h264").expect("known")).is_err());
    }
}
