//! The parts of a split job. Each is a job of its own, of which only the conductor of the split job knows.

use std::{cmp::Reverse, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Job, JobId, JobSpec, Part, Plan,
    plan::{Chunk, FrameGrid},
    spec::Split,
};

/// One part of a split job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The job that it belongs to.
    pub job: JobId,
    /// What is to be done.
    pub kind: TaskKind,
}

/// What a task is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Encode a range of the video.
    Chunk {
        /// Its place among the chunks, from 0.
        index: u32,
        /// Where the frames are.
        grid: FrameGrid,
        /// Which.
        chunk: Chunk,
    },
    /// Encode the audio, whole.
    Audio,
    /// Join the parts, prove the result and publish it.
    Finish {
        /// How the job was split.
        plan: Arc<Plan>,
        /// The chunks in order.
        chunks: Vec<Part>,
        /// The audio.
        audio: Option<Part>,
    },
    /// Remove the intermediates.
    Cleanup,
}

impl TaskKind {
    /// As clients see it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Chunk { .. } => "chunk",
            Self::Audio => "audio",
            Self::Finish { .. } => "finish",
            Self::Cleanup => "cleanup",
        }
    }

    /// The order in which the kinds of tasks are told.
    #[must_use]
    pub fn rank(&self) -> u8 {
        match self {
            Self::Chunk { .. } => 0,
            Self::Audio => 1,
            Self::Finish { .. } => 2,
            Self::Cleanup => 3,
        }
    }

    /// Its place among those of its kind, where there are several.
    #[must_use]
    pub fn index(&self) -> Option<u32> {
        if let Self::Chunk { index, .. } = self { Some(*index) } else { None }
    }

    /// True where it leaves a part for the finish task.
    #[must_use]
    pub fn leaves_part(&self) -> bool {
        match self {
            Self::Chunk { .. } | Self::Audio => true,
            Self::Finish { .. } | Self::Cleanup => false,
        }
    }

    /// For people, such as `chunk 3`.
    #[must_use]
    pub fn label(&self) -> String {
        self.index().map_or_else(|| self.name().to_owned(), |index| format!("{} {index}", self.name()))
    }
}

/// A task of `parent` that nobody has tried yet.
#[must_use]
pub fn new(parent: &Job, kind: TaskKind, now: Timestamp) -> Job {
    let spec = JobSpec {
        callback_url: None,
        split: Some(Split::Off),
        task: Some(Task { job: parent.id, kind }),
        ..JobSpec::clone(&parent.spec)
    };
    Job::new(JobId::random(), Arc::new(spec), now)
}

/// The sound of so many frames takes about as long as one frame: 10 with `480p_h264`, 20 and more with larger pictures.
const FRAMES_OF_SOUND: u64 = 12;

/// The tasks that a plan begins with, in the order in which they are to be begun: the longest first, so that no slot waits
/// long for another in the end (Graham, "Bounds on multiprocessing timing anomalies", 1969). Of equal ones the earliest is:
/// workers plan the last one accordingly. The audio is where it belongs by how long it is likely to take.
#[must_use]
pub fn first(parent: &Job, plan: &Plan, now: Timestamp) -> Vec<Job> {
    let mut chunks: Vec<_> = (0..).zip(&plan.chunks).collect();
    chunks.sort_by_key(|(_, chunk)| Reverse(chunk.frames));
    let sound = plan.grid.frames / FRAMES_OF_SOUND;
    let place = chunks.partition_point(|(_, chunk)| chunk.frames > sound);
    let chunk = |(index, chunk): (u32, &Chunk)| TaskKind::Chunk { index, grid: plan.grid, chunk: *chunk };
    let mut kinds: Vec<_> = chunks.into_iter().map(chunk).collect();
    if plan.has_audio {
        kinds.insert(place, TaskKind::Audio);
    }
    kinds.into_iter().map(|kind| new(parent, kind, now)).collect()
}
