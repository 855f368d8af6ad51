//! `DELETE /api/v1/jobs/{id}`

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, Error, error::ErrorBody, job_id::JobIdPath};

/// A job that is being cancelled.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CancellingJob {
    /// Name of the job.
    #[schema(format = "uuid")]
    job_id: String,
    /// Always `cancelling`: the job's stream tells when it has stopped.
    #[schema(example = "cancelling")]
    status: &'static str,
}

/// Cancel a job
///
/// A job that completes before the worker hears of it stays completed.
#[utoipa::path(
    delete,
    path = "/jobs/{id}",
    tag = "jobs",
    security(("api_key" = [])),
    params(("id" = String, Path, format = "uuid", description = "Name of the job")),
    responses(
        (status = 202, description = "The worker is being told", body = CancellingJob),
        (status = 401, description = "No API key, or a wrong one", body = ErrorBody),
        (status = 404, description = "No such job", body = ErrorBody),
        (status = 409, description = "The job has ended", body = ErrorBody),
        (status = 500, description = "The job could not be read", body = ErrorBody),
        (status = 503, description = "The store is not available now", body = ErrorBody),
    )
)]
pub(super) async fn cancel_job(
    State(api): State<Arc<Api>>,
    JobIdPath(id): JobIdPath,
) -> Result<(StatusCode, Json<CancellingJob>), Error> {
    api.dispatcher.cancel(id).await?;
    Ok((StatusCode::ACCEPTED, Json(CancellingJob { job_id: id.to_string(), status: "cancelling" })))
}
