//! `GET /health`

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;

/// Whether new jobs are welcome.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`, or `stopping` with status 503.
    #[schema(example = "ok")]
    status: &'static str,
    /// Version of the control plane.
    version: &'static str,
}

/// Tell whether the service is up
#[utoipa::path(
    get,
    path = "/health",
    tag = "operations",
    responses(
        (status = 200, description = "It is", body = Health),
        (status = 503, description = "It is stopping and takes no new jobs", body = Health),
    )
)]
pub(super) async fn get_health(State(api): State<Api>) -> (StatusCode, Json<Health>) {
    let (code, status) = if api.lifecycle.is_stopping() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else {
        (StatusCode::OK, "ok")
    };
    (code, Json(Health { status, version: service::VERSION }))
}
