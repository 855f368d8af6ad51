//! What proves the output of a job whole, as the outside sees it.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    AttemptView,
    task::{self, TaskView},
};
use crate::job::{Certificate, Job};

/// What proves the output of a job whole.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CertificateView {
    /// Name of the job.
    #[schema(format = "uuid")]
    job_id: String,
    /// As the client gave it.
    preset: &'static str,
    /// Whether and how it was split.
    split: SplitView,
    /// Every try at it, the last one last.
    attempts: Vec<AttemptView>,
    /// Its parts.
    tasks: Vec<TaskView>,
    /// What all tries took, those at its tasks among them, on any machine.
    machine_seconds: f64,
    #[serde(flatten)]
    certificate: Certificate,
}

/// Whether and how a job was split.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SplitView {
    /// `chunks` or `whole`.
    #[schema(example = "chunks")]
    mode: &'static str,
    /// Why it was not split, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// Into how many chunks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    chunks: Option<usize>,
    /// How many frames they have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    frames: Option<u64>,
    /// Frames a second, as a fraction.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "30000/1001")]
    frame_rate: Option<String>,
}

impl CertificateView {
    /// The certificate of `job`, which has these tasks.
    #[must_use]
    pub fn of(job: &Job, tasks: &[Job], certificate: Certificate) -> Self {
        Self {
            job_id: job.id.to_string(),
            preset: job.spec.preset.name,
            split: SplitView::of(job),
            attempts: job.attempts.iter().map(AttemptView::of).collect(),
            tasks: task::views(job, tasks),
            machine_seconds: tasks.iter().chain([job]).map(machine_seconds).sum(),
            certificate,
        }
    }
}

impl SplitView {
    fn of(job: &Job) -> Self {
        let Some(plan) = job.split() else {
            let reason = job.whole.clone();
            return Self { mode: "whole", reason, chunks: None, frames: None, frame_rate: None };
        };
        let rate = format!("{}/{}", plan.grid.rate_numerator, plan.grid.rate_denominator);
        Self {
            mode: "chunks",
            reason: None,
            chunks: Some(plan.chunks.len()),
            frames: Some(plan.grid.frames),
            frame_rate: Some(rate),
        }
    }
}

/// What every try at a job or a task took.
fn machine_seconds(job: &Job) -> f64 {
    let seconds = job.attempts.iter().filter_map(|attempt| {
        let ended = attempt.ended.as_ref()?;
        Some(ended.at.duration_since(attempt.started_at).as_secs_f64().max(0.0))
    });
    seconds.sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::job::{
        Attempt, JobId,
        attempt::{Ended, Outcome, Worker},
        certificate::{Check, File},
        plan::tests::plan,
        task,
        tests::job,
    };
    use jiff::Timestamp;

    fn tried(mut job: Job, outcome: Outcome, seconds: i64) -> Job {
        let at = Timestamp::from_second(seconds).expect("a small number");
        let worker = Worker { address: "w:1".to_owned(), lease: None };
        let ended = Some(Ended { at, outcome, error: None });
        job.attempts.push(Attempt { number: 1, worker, started_at: Timestamp::UNIX_EPOCH, ended });
        job
    }

    #[test]
    fn a_certificate_has_the_shape_of_the_contract() {
        let mut job = tried(job(), Outcome::Planned, 2);
        job.id = JobId::from(uuid::Uuid::nil());
        let told = Certificate {
            checks: vec![Check { name: "seams".to_owned(), detail: "2 chunks".to_owned() }],
            files: vec![File { path: String::new(), size: 7, sha256: "a5".repeat(32) }],
            ffmpeg_version: "5.1".to_owned(),
            ..Certificate::default()
        };
        let mut whole = job.clone();
        whole.whole = Some("shorter than two chunks of 24 s".to_owned());
        let split = Arc::new(plan(2, true));
        job.plan = Some(Arc::clone(&split));
        let tasks = task::first(&job, &split, Timestamp::UNIX_EPOCH);
        let tasks: Vec<_> = tasks.into_iter().map(|task| tried(task, Outcome::Completed, 10)).collect();
        let views = [CertificateView::of(&job, &tasks, told.clone()), CertificateView::of(&whole, &[], told)];
        insta::assert_json_snapshot!(views);
    }
}
