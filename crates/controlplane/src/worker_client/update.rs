//! What a worker says about a task.

use proto::v1;

use crate::{
    job::{Blame, Report},
    text,
};

/// One message of a worker about a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// What it says; the number of its status where that has no meaning here.
    pub report: Result<Report, i32>,
    /// For people; may be empty.
    pub message: String,
    /// How fast it goes.
    pub vitals: Vitals,
}

/// How fast an encode goes; what is not known is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Vitals {
    /// Frames encoded a second.
    pub fps: Option<f32>,
    /// Media time encoded a second of real time.
    pub speed: Option<f32>,
    /// Seconds until the encode ends at this speed.
    pub eta_seconds: Option<f32>,
}

impl From<v1::JobProgress> for Update {
    fn from(progress: v1::JobProgress) -> Self {
        let report = match v1::JobStatus::try_from(progress.status) {
            Ok(v1::JobStatus::Unspecified | v1::JobStatus::Planned) | Err(_) => Err(progress.status),
            Ok(v1::JobStatus::Queued) => Ok(Report::Queued),
            Ok(v1::JobStatus::Processing) => Ok(Report::Processing(progress.progress)),
            Ok(v1::JobStatus::Uploading) => Ok(Report::Uploading),
            Ok(v1::JobStatus::Completed) => Ok(Report::Completed { output_url: text::clean(&progress.output_url) }),
            Ok(v1::JobStatus::Failed) => {
                Ok(Report::Failed { error: reason(&progress.error), blame: blame(progress.failure_kind()) })
            }
            Ok(v1::JobStatus::Cancelled) => Ok(Report::Cancelled),
        };
        Self { report, message: text::clean(&progress.message), vitals: vitals(&progress) }
    }
}

fn vitals(progress: &v1::JobProgress) -> Vitals {
    let sane = |number: Option<f32>| number.filter(|number| number.is_finite() && *number >= 0.0);
    Vitals { fps: sane(progress.fps), speed: sane(progress.speed), eta_seconds: sane(progress.eta_seconds) }
}

/// A worker that does not say is taken to blame the job: trying again would repeat what may never work.
fn blame(kind: v1::FailureKind) -> Blame {
    match kind {
        v1::FailureKind::Unspecified | v1::FailureKind::Job => Blame::Job,
        v1::FailureKind::Infrastructure => Blame::Infrastructure,
        v1::FailureKind::HandedBack => Blame::Nobody,
    }
}

fn reason(error: &str) -> String {
    let error = text::clean(error);
    if error.is_empty() { "encoding failed: the worker gave no reason".to_owned() } else { error }
}
