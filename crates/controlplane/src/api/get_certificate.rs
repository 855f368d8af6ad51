//! `GET /api/v1/jobs/{id}/certificate`

use std::sync::Arc;

use axum::{Json, extract::State};

use super::{Api, Error, error::ErrorBody, job_id::JobIdPath};
use crate::{
    job::{Certificate, Status},
    store,
    view::certificate::CertificateView,
};

/// Read what proves a job's output whole
///
/// What the output was made of, what was found in it, each check that it passed, and each file with its size and
/// SHA-256. Kept as long as the job.
#[utoipa::path(
    get,
    path = "/jobs/{id}/certificate",
    tag = "jobs",
    security(("api_key" = [])),
    params(("id" = String, Path, format = "uuid", description = "Name of the job")),
    responses(
        (status = 200, description = "The certificate", body = CertificateView),
        (status = 401, description = "No API key, or a wrong one", body = ErrorBody),
        (status = 404, description = "No such job, or it has not completed", body = ErrorBody),
        (status = 500, description = "The certificate could not be read", body = ErrorBody),
        (status = 503, description = "The store is not available now", body = ErrorBody),
    )
)]
pub(super) async fn get_certificate(
    State(api): State<Arc<Api>>,
    JobIdPath(id): JobIdPath,
) -> Result<Json<CertificateView>, Error> {
    let job = api.dispatcher.job(id).await?.ok_or(Error::UnknownJob)?.job;
    match job.state.status() {
        Status::Completed => {}
        Status::Queued | Status::Processing | Status::Uploading => {
            return Err(Error::NoCertificate("it has not completed yet"));
        }
        Status::Failed | Status::Cancelled => return Err(Error::NoCertificate("it did not complete")),
    }
    let told = api.dispatcher.certificate(id).await?;
    let told = told.ok_or(Error::NoCertificate("its worker belongs to an older release and made none"))?;
    let told: Certificate =
        serde_json::from_str(&told).map_err(|error| store::Error::Broken(format!("a certificate: {error}")))?;
    let tasks = api.dispatcher.tasks(&job).await?;
    Ok(Json(CertificateView::of(&job, &tasks, told)))
}
