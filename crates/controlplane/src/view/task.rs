//! The parts of a job as the outside sees them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{event::status_schema, job::Job};

/// One part of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TaskView {
    /// `chunk`, `audio`, `finish`, `cleanup`, or `whole` for a job that is not split.
    #[schema(example = "chunk")]
    kind: &'static str,
    /// Its place among the chunks, from 0. Absent for all else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    index: Option<u32>,
    /// As that of a job.
    #[schema(schema_with = status_schema)]
    status: &'static str,
    /// Address of the worker that runs it, or ran it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    worker: Option<String>,
    /// Which try at it that is, from 1; 0 before the first.
    attempt: u32,
}

/// The parts of `job`, which has these tasks.
#[must_use]
pub fn views(job: &Job, tasks: &[Job]) -> Vec<TaskView> {
    let whole = job.split().is_none().then(|| view(job, "whole", None));
    let parts = tasks.iter().filter_map(|part| {
        let kind = &part.spec.task.as_ref()?.kind;
        Some(view(part, kind.name(), kind.index()))
    });
    parts.chain(whole).collect()
}

fn view(job: &Job, kind: &'static str, index: Option<u32>) -> TaskView {
    let worker = job.worker().map(str::to_owned);
    TaskView { kind, index, status: job.state.status().name(), worker, attempt: job.attempt() }
}
