//! The document that the routes add up to.

use std::time::Duration;

use tower::ServiceExt as _;

use super::*;
use crate::{balancer::Balancer, dispatcher::Rules, job::spec::Split, limits::Limits, store::sqlite::SqliteStore};

async fn api() -> Api {
    let (metrics, lifecycle) = (Metrics::new(), Lifecycle::new());
    let balancer = Balancer::new(Vec::new(), Duration::from_secs(1), Limits::default().stagger, metrics.clone());
    let store = Arc::new(SqliteStore::memory().await.expect("memory"));
    let rules = Rules {
        max_queued: 0,
        max_attempts: 1,
        retention: Duration::from_secs(1),
        shared_store: false,
        durable_store: false,
        chunk_seconds: 15.0,
        split: Split::Auto,
    };
    let dispatcher = Dispatcher::new(balancer, store, metrics.clone(), Limits::default(), rules, lifecycle.clone());
    Api { dispatcher, metrics, store_health: Arc::default(), api_key: None, lifecycle }
}

#[tokio::test]
async fn every_route_is_documented() {
    insta::assert_json_snapshot!(open_api_router(&Arc::new(api().await)).into_openapi());
}

#[tokio::test]
async fn requests_for_the_document_share_its_text() {
    let router = router(api().await);
    let ask = async || {
        let request = axum::extract::Request::get("/api/openapi.json").body(axum::body::Body::empty()).expect("good");
        let response = router.clone().oneshot(request).await.expect("an answer");
        axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body")
    };
    let (one, other) = (ask().await, ask().await);
    assert_eq!((one.as_ptr(), one.len()), (other.as_ptr(), other.len()));
    assert!(one.starts_with(b"{\"openapi\""));
}

#[test]
fn a_panic_tells_nothing_of_the_inside() {
    let response = panicked(Box::new("the inside"));
    assert_eq!(response.status(), axum::http::StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
}
