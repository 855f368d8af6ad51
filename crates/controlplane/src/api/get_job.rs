//! `GET /api/v1/jobs/{id}`

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, Error, error::ErrorBody, job_id::JobIdPath};
use crate::{
    event::status_schema,
    job::{Job, spec::Output},
};

/// A job and its state. What is not known is absent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobView {
    /// Name of the job.
    #[schema(format = "uuid")]
    job_id: String,
    /// As in the events of its stream.
    #[schema(schema_with = status_schema)]
    status: &'static str,
    /// 0 to 100; never goes backwards.
    #[schema(minimum = 0, maximum = 100, example = 45.2)]
    progress: f32,
    /// The latest word on it, for people.
    message: String,
    /// As the client gave it.
    input_url: String,
    /// As the client gave it.
    preset: &'static str,
    /// As the client gave it.
    output: OutputView,
    /// As the client gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    callback_url: Option<String>,
    /// The file, or the master playlist or manifest. When completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    output_url: Option<String>,
    /// What failed and why. When failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
    /// When it was accepted, RFC 3339.
    #[schema(format = DateTime)]
    created_at: String,
    /// When the encode began, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    started_at: Option<String>,
    /// When the job ended, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    finished_at: Option<String>,
    /// Address of the worker that runs it, or ran it.
    worker: String,
}

/// Where a result goes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OutputView {
    /// `s3` or `local`.
    storage: &'static str,
    /// Key of a single file, or prefix of a directory output.
    path: String,
    /// Stored with each S3 object.
    metadata: BTreeMap<String, String>,
    /// `single`, `hls` or `dash`: what the preset makes.
    r#type: &'static str,
}

/// Read a job
#[utoipa::path(
    get,
    path = "/jobs/{id}",
    tag = "jobs",
    security(("api_key" = [])),
    params(("id" = String, Path, format = "uuid", description = "Name of the job")),
    responses(
        (status = 200, description = "The job and its state", body = JobView),
        (status = 401, description = "No API key, or a wrong one", body = ErrorBody),
        (status = 404, description = "No such job", body = ErrorBody),
        (status = 500, description = "The job could not be read", body = ErrorBody),
    )
)]
pub(super) async fn get_job(State(api): State<Api>, JobIdPath(id): JobIdPath) -> Result<Json<JobView>, Error> {
    let job = api.dispatcher.job(id).await?.ok_or(Error::UnknownJob)?;
    Ok(Json(JobView::from(job.job)))
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        let time = |time: Timestamp| format!("{time:.3}");
        Self {
            job_id: job.id.to_string(),
            status: job.state.status().name(),
            progress: job.state.progress(),
            input_url: job.spec.input_url.clone(),
            preset: job.spec.preset.name,
            output: OutputView::new(&job.spec.output, job.spec.preset),
            callback_url: job.spec.callback_url.clone(),
            output_url: job.state.output_url().map(str::to_owned),
            error: job.state.error().map(str::to_owned),
            created_at: time(job.created_at),
            started_at: job.state.started_at().map(time),
            finished_at: job.state.finished_at().map(time),
            worker: job.worker().unwrap_or_default().to_owned(),
            message: job.message,
        }
    }
}

impl OutputView {
    fn new(output: &Output, preset: &preset::Preset) -> Self {
        Self {
            storage: output.storage.name(),
            path: output.path.clone(),
            metadata: output.metadata.clone(),
            r#type: preset.output_type().name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Report, tests::job};

    #[test]
    fn a_job_has_the_shape_of_the_contract() {
        let mut job = job();
        let mut view = |report: Option<Report>| {
            if let Some(report) = report {
                job.apply(report, "text".to_owned(), Timestamp::UNIX_EPOCH).expect("a legal report");
            }
            JobView { job_id: "the-id".to_owned(), ..JobView::from(job.clone()) }
        };
        insta::assert_json_snapshot!([
            view(None),
            view(Some(Report::Processing(12.5))),
            view(Some(Report::Failed { error: "encoding failed: x".to_owned(), blame: crate::job::Blame::Job })),
        ]);
    }
}
