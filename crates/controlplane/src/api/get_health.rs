//! `GET /health`

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;

/// Whether new jobs are welcome.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`, or, with status 503, `stopping` or `unavailable`.
    #[schema(example = "ok")]
    status: &'static str,
    /// Version of the control plane.
    version: &'static str,
    /// What is wrong with the job store, if that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "does not take writes")]
    store: Option<&'static str>,
}

/// Tell whether the service is up
#[utoipa::path(
    get,
    path = "/health",
    tag = "operations",
    responses(
        (status = 200, description = "It is", body = Health),
        (status = 503, description = "It takes no new jobs: it is stopping, or its store takes no writes", body = Health),
    )
)]
pub(super) async fn get_health(State(api): State<Arc<Api>>) -> (StatusCode, Json<Health>) {
    let health = |status, store| Json(Health { status, version: service::VERSION, store });
    if api.lifecycle.is_stopping() {
        return (StatusCode::SERVICE_UNAVAILABLE, health("stopping", None));
    }
    match api.store_health.trouble(api.dispatcher.store_health()).await {
        None => (StatusCode::OK, health("ok", None)),
        trouble @ Some(_) => (StatusCode::SERVICE_UNAVAILABLE, health("unavailable", trouble)),
    }
}
