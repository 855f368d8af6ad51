//! `GET /metrics`

use std::sync::Arc;

use axum::{
    extract::State,
    http::header::{CONTENT_TYPE, HeaderName},
};

use super::Api;

/// Read the metrics
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((status = 200, description = "Prometheus text format", content_type = "text/plain", body = String))
)]
pub(super) async fn get_metrics(State(api): State<Arc<Api>>) -> ([(HeaderName, &'static str); 1], Vec<u8>) {
    ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], api.metrics.render())
}
