//! `GET /api/v1/jobs/{id}`

use std::sync::Arc;

use axum::{Json, extract::State};

use super::{Api, Error, error::ErrorBody, job_id::JobIdPath};
use crate::view::JobView;

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
        (status = 503, description = "The store is not available now", body = ErrorBody),
    )
)]
pub(super) async fn get_job(State(api): State<Arc<Api>>, JobIdPath(id): JobIdPath) -> Result<Json<JobView>, Error> {
    let job = api.dispatcher.job(id).await?.ok_or(Error::UnknownJob)?.job;
    let tasks = api.dispatcher.tasks(&job).await?;
    Ok(Json(JobView::of(&job).with_tasks(&job, &tasks)))
}
