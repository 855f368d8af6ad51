//! The HTTP interface: one endpoint a file.
//!
//! Everything under `/api/v1` needs the API key, unknown routes too; health, metrics and documentation are open. Every
//! error is JSON.

mod access_log;
mod auth;
mod cancel_job;
mod create_job;
mod cursor;
mod error;
mod get_certificate;
mod get_health;
mod get_job;
mod get_metrics;
mod get_workers_status;
mod idempotency_key;
mod job_id;
mod json_body;
mod last_event_id;
mod list_jobs;
mod list_presets;
mod openapi;
mod query;
mod store_health;
mod stream_job;

use std::{any::Any, sync::Arc};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, header},
    middleware,
    response::{IntoResponse as _, Response},
};
use secrecy::SecretString;
use service::lifecycle::Lifecycle;
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::{error::Error, store_health::StoreHealth};

use crate::{dispatcher::Dispatcher, metrics::Metrics};

/// Longest request body in bytes.
const MAX_BODY: usize = 256 * 1024;

/// What endpoints work with.
pub struct Api {
    /// Runs jobs.
    pub dispatcher: Dispatcher,
    /// Counts what happens.
    pub metrics: Metrics,
    /// What the store last said of itself.
    pub store_health: Arc<StoreHealth>,
    /// What clients must send; `None` lets everybody in.
    pub api_key: Option<Arc<SecretString>>,
    /// Tells when to stop.
    pub lifecycle: Lifecycle,
}

/// Every route.
pub fn router(api: Api) -> Router {
    let api = Arc::new(api);
    // One layer for the router, which boxes what each of them makes of a request. From the outermost to the innermost.
    let layers = ServiceBuilder::new()
        .layer(middleware::from_fn(access_log::log))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .layer(DefaultBodyLimit::max(MAX_BODY));
    let (router, document) = open_api_router(&api).split_for_parts();
    router
        .merge(openapi::pages(&document))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(layers)
        .with_state(api)
}

fn open_api_router(api: &Arc<Api>) -> OpenApiRouter<Arc<Api>> {
    let (v1, document) = OpenApiRouter::new()
        .routes(routes!(create_job::create_job, list_jobs::list_jobs))
        .routes(routes!(get_job::get_job, cancel_job::cancel_job))
        .routes(routes!(get_certificate::get_certificate))
        .routes(routes!(stream_job::stream_job))
        .routes(routes!(get_workers_status::get_workers_status))
        .routes(routes!(list_presets::list_presets))
        .split_for_parts();
    OpenApiRouter::with_openapi(openapi::document())
        .nest("/api/v1", guarded(v1, document, api))
        .routes(routes!(get_health::get_health))
        .routes(routes!(get_metrics::get_metrics))
}

/// Puts the key before the routes, and before what answers where there is none: who has no key learns nothing.
fn guarded(routes: Router<Arc<Api>>, document: OpenApi, api: &Arc<Api>) -> OpenApiRouter<Arc<Api>> {
    let routes = routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(api), auth::require_key));
    let mut guarded = OpenApiRouter::from(routes);
    *guarded.get_openapi_mut() = document;
    guarded
}

async fn not_found() -> Error {
    Error::UnknownRoute
}

async fn method_not_allowed() -> Error {
    Error::Method
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    tracing::error!(panic = message, "a request panicked");
    Error::Internal.into_response()
}

#[cfg(test)]
mod tests;
