//! One debug line a request. Errors of ours are logged where they are handled.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};

/// Logs how a request was answered. The path is the route's: what a client wrote into it may be secret.
pub(super) async fn log(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    tracing::debug!(
        http.method = %method,
        http.route = route.as_ref().map(MatchedPath::as_str),
        http.status = response.status().as_u16(),
        duration_ms = start.elapsed().as_millis(),
        "request answered"
    );
    response
}
