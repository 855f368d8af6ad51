//! `POST /api/v1/jobs`

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, Error, error::ErrorBody, idempotency_key::IdempotencyKey, json_body::JsonBody};
use crate::job::spec::JobRequest;

/// A job that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AcceptedJob {
    /// Name of the job.
    #[schema(format = "uuid")]
    job_id: String,
    /// Always `accepted`.
    #[schema(example = "accepted")]
    status: &'static str,
    /// Where its events are.
    #[schema(example = "/api/v1/jobs/550e8400-e29b-41d4-a716-446655440000/stream")]
    stream_url: String,
}

/// Create a job
///
/// The answer comes when the job is written down: with a queue (`MAX_QUEUED_JOBS`) at once, without one when a worker
/// has admitted it. A sleeping worker is woken when no other has room.
#[utoipa::path(
    post,
    path = "/jobs",
    tag = "jobs",
    security(("api_key" = [])),
    params((
        "Idempotency-Key" = Option<String>,
        Header,
        min_length = 1,
        max_length = 255,
        description = "The client's own name for the request: sent twice, it makes one job. Visible ASCII"
    )),
    request_body = JobRequest,
    responses(
        (status = 202, description = "The job is written down, and without a queue a worker has taken it", body = AcceptedJob),
        (status = 400, description = "Not JSON, or a field is missing or wrong", body = ErrorBody),
        (status = 401, description = "No API key, or a wrong one", body = ErrorBody),
        (status = 409, description = "The key was used for another request", body = ErrorBody),
        (status = 408, description = "The body did not arrive whole", body = ErrorBody),
        (status = 413, description = "The body is too long", body = ErrorBody),
        (status = 500, description = "The job could not be written down", body = ErrorBody),
        (status = 503, description = "No worker, no queue or no store can take the job now; `Retry-After` says when to try again", body = ErrorBody),
    )
)]
pub(super) async fn create_job(
    State(api): State<Arc<Api>>,
    IdempotencyKey(key): IdempotencyKey,
    JsonBody(request): JsonBody<JobRequest>,
) -> Result<(StatusCode, Json<AcceptedJob>), Error> {
    let job_id = api.dispatcher.submit(request.check()?, key).await?;
    let stream_url = format!("/api/v1/jobs/{job_id}/stream");
    Ok((StatusCode::ACCEPTED, Json(AcceptedJob { job_id: job_id.to_string(), status: "accepted", stream_url })))
}
