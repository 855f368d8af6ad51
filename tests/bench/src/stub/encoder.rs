//! What a worker tells that encodes nothing, but takes the time that an encode takes.

use std::time::Duration;

use proto::v1::{
    Certificate, Chunk, FrameGrid, JobProgress, JobRequest, JobStatus, Part, Plan, StoredFile, task::Kind,
};

use crate::measure::real;

/// Frames a second of its sources.
const RATE: u32 = 25;

/// An encoder for sources of one length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoder {
    /// Length of the source in seconds.
    pub(crate) source: f64,
    /// Seconds of video that it encodes in a second.
    pub(crate) video: f64,
    /// Seconds of audio that it encodes in a second.
    pub(crate) audio: f64,
}

/// What a job is for a worker that does nothing.
#[derive(Debug)]
pub(super) struct Work {
    /// How long it takes; until somebody ends it where this is not said.
    pub(super) takes: Option<Duration>,
    /// The last that it tells.
    pub(super) last: JobProgress,
}

impl Work {
    /// A whole job that somebody ends.
    pub(super) fn without_end() -> Self {
        Self { takes: None, last: completed() }
    }
}

impl Encoder {
    /// How long a whole source takes, video and audio.
    pub(crate) fn work(&self) -> Duration {
        Duration::from_secs_f64(self.source / self.video + self.source / self.audio)
    }

    /// What this job is. Planning and joining take no time.
    pub(super) fn work_on(&self, job: &JobRequest, chunk_seconds: Option<f64>) -> Work {
        let (takes, last) = match (job.task.as_ref().and_then(|task| task.kind.as_ref()), chunk_seconds) {
            (Some(Kind::Chunk(task)), _) => (self.seconds_of(task.chunk.as_ref()) / self.video, part()),
            (Some(Kind::Audio(_)), _) => (self.source / self.audio, part()),
            (Some(Kind::Finish(_)), _) => (0.0, finished()),
            (Some(Kind::Cleanup(_)), _) => (0.0, completed()),
            (None, Some(length)) => (0.0, planned(self.plan(length))),
            (None, None) => (self.work().as_secs_f64(), completed()),
        };
        Work { takes: Some(Duration::from_secs_f64(takes)), last }
    }

    fn seconds_of(&self, chunk: Option<&Chunk>) -> f64 {
        chunk.map_or(self.source, |chunk| real(chunk.frames) / f64::from(RATE))
    }

    /// Cut as a worker cuts it.
    fn plan(&self, length: f64) -> Plan {
        let frames = whole(self.source * f64::from(RATE));
        let chunk = |first_frame: &mut u64, frames| {
            let chunk = Chunk { first_frame: *first_frame, frames, ..Chunk::default() };
            *first_frame += frames;
            Some(chunk)
        };
        let chunks = worker::chunk_lengths(frames, length / self.source).into_iter().scan(0, chunk).collect();
        let grid = FrameGrid { rate_numerator: RATE, rate_denominator: 1, frames, ..FrameGrid::default() };
        Plan { grid: Some(grid), chunks, has_audio: true }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of frames")]
fn whole(frames: f64) -> u64 {
    frames as u64
}

fn completed() -> JobProgress {
    let (status, output_url) = (JobStatus::Completed.into(), "s3://bucket/output.mp4".to_owned());
    JobProgress { status, progress: 100.0, output_url, ..JobProgress::default() }
}

fn planned(plan: Plan) -> JobProgress {
    JobProgress { status: JobStatus::Planned.into(), plan: Some(plan), ..JobProgress::default() }
}

fn part() -> JobProgress {
    JobProgress { part: Some(Part { files: vec![file("v0.mp4")] }), output_url: String::new(), ..completed() }
}

fn finished() -> JobProgress {
    let certificate =
        Certificate { files: vec![file("")], ffmpeg_version: "none".to_owned(), ..Certificate::default() };
    JobProgress { certificate: Some(certificate), ..completed() }
}

fn file(path: &str) -> StoredFile {
    StoredFile { path: path.to_owned(), size: 1, sha256: vec![0; 32] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_holds_every_frame_once() {
        let encoder = Encoder { source: 50.0, video: 10.0, audio: 100.0 };
        let plan = encoder.plan(15.0);
        let chunks: Vec<_> = plan.chunks.iter().map(|chunk| (chunk.first_frame, chunk.frames)).collect();
        assert_eq!(chunks, [(0, 357), (357, 255), (612, 182), (794, 130), (924, 94), (1018, 116), (1134, 116)]);
    }
}
