//! What a worker says about a task.

use std::sync::Arc;

use proto::v1;

use super::outcome;
use crate::{
    job::{Blame, Certificate, Part, Report},
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
    /// Why a job that was to be planned is not split, once that is known.
    pub whole: Option<String>,
    /// What a task has left in the storage.
    pub part: Option<Part>,
    /// What proves the output whole. Boxed for its size.
    pub certificate: Option<Box<Certificate>>,
}

impl Default for Update {
    fn default() -> Self {
        let (message, vitals) = (String::new(), Vitals::default());
        Self { report: Ok(Report::Queued), message, vitals, whole: None, part: None, certificate: None }
    }
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
            Ok(v1::JobStatus::Unspecified) | Err(_) => Err(progress.status),
            Ok(v1::JobStatus::Planned) => Ok(planned(progress.plan.clone())),
            Ok(v1::JobStatus::Queued) => Ok(Report::Queued),
            Ok(v1::JobStatus::Processing) => Ok(Report::Processing(progress.progress)),
            Ok(v1::JobStatus::Uploading) => Ok(Report::Uploading),
            Ok(v1::JobStatus::Completed) => Ok(Report::Completed { output_url: text::clean(&progress.output_url) }),
            Ok(v1::JobStatus::Failed) => {
                Ok(Report::Failed { error: reason(&progress.error), blame: blame(progress.failure_kind()) })
            }
            Ok(v1::JobStatus::Cancelled) => Ok(Report::Cancelled),
        };
        Self {
            report,
            message: text::clean(&progress.message),
            vitals: vitals(&progress),
            whole: Some(text::clean(&progress.whole)).filter(|reason| !reason.is_empty()),
            part: progress.part.and_then(|part| usable("part", outcome::part(part))),
            certificate: progress
                .certificate
                .and_then(|told| usable("certificate", outcome::certificate(told)))
                .map(Box::new),
        }
    }
}

/// A plan that cannot be used is the worker's mistake: another one may do better.
fn planned(plan: Option<v1::Plan>) -> Report {
    match outcome::plan(plan.unwrap_or_default()) {
        Ok(plan) => Report::Planned(Arc::new(plan)),
        Err(error) => Report::Failed {
            error: format!("encoding failed: the worker's plan makes no sense: {error}"),
            blame: Blame::Infrastructure,
        },
    }
}

fn usable<T>(what: &'static str, told: Result<T, outcome::Senseless>) -> Option<T> {
    told.inspect_err(|error| tracing::warn!(what, %error, "what a worker says is ignored")).ok()
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
