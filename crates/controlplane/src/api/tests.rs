//! The document that the routes add up to.

use std::time::Duration;

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

#[test]
fn a_panic_tells_nothing_of_the_inside() {
    let response = panicked(Box::new("the inside"));
    assert_eq!(response.status(), axum::http::StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
}
