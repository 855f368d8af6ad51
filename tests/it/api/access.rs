//! Who may do what.

use std::path::Path;

use e2e::{Plane, Sandbox};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

const ID: &str = "00000000-0000-4000-8000-000000000000";

async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("an answer");
    (response.status(), response.json().await.expect("JSON"))
}

/// Every route that needs the key.
fn guarded(plane: &Plane) -> [RequestBuilder; 5] {
    [
        plane.request(Method::POST, "/api/v1/jobs"),
        plane.request(Method::GET, &format!("/api/v1/jobs/{ID}")),
        plane.request(Method::DELETE, &format!("/api/v1/jobs/{ID}")),
        plane.request(Method::GET, &format!("/api/v1/jobs/{ID}/stream")),
        plane.request(Method::GET, "/api/v1/workers/status"),
    ]
}

#[tokio::test]
async fn with_a_key_every_job_route_asks_for_it() {
    let sandbox = Sandbox::new();
    let nobody = e2e::Port::reserve();
    let plane = sandbox.plane(&[nobody.address()]).env("API_KEY", "the-key").start().await;
    for request in guarded(&plane) {
        let expected = json!({"error": "missing authorization header"});
        assert_eq!(answer(request).await, (StatusCode::UNAUTHORIZED, expected));
    }
    for request in guarded(&plane) {
        let expected = json!({"error": "invalid authorization header format"});
        assert_eq!(answer(request.header("authorization", "the-key")).await, (StatusCode::UNAUTHORIZED, expected));
    }
    for request in guarded(&plane) {
        let expected = json!({"error": "invalid api key"});
        assert_eq!(answer(request.bearer_auth("another-key")).await, (StatusCode::UNAUTHORIZED, expected));
    }
    for request in guarded(&plane) {
        assert_ne!(answer(request.bearer_auth("the-key")).await.0, StatusCode::UNAUTHORIZED);
    }
    assert!(!plane.daemon.log().contains("the-key"), "the key is in the log");
}

#[tokio::test]
async fn health_metrics_and_documentation_are_open() {
    let sandbox = Sandbox::new();
    let nobody = e2e::Port::reserve();
    let plane = sandbox.plane(&[nobody.address()]).env("API_KEY", "the-key").start().await;
    let (status, health) = plane.get("/health").await;
    assert_eq!((status, &health["status"]), (StatusCode::OK, &json!("ok")));
    assert!(health["version"].is_string(), "{health}");
    for path in ["/metrics", "/swagger", "/swagger/"] {
        let response = plane.request(Method::GET, path).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn the_documentation_loads_nothing_from_elsewhere() {
    let sandbox = Sandbox::new();
    let nobody = e2e::Port::reserve();
    let plane = sandbox.plane(&[nobody.address()]).start().await;
    let page = plane.request(Method::GET, "/swagger/").send().await.expect("an answer").text().await.expect("text");
    let is_asset = |text: &&str| Path::new(text).extension().is_some_and(|kind| kind == "js" || kind == "css");
    let assets = page.split(['"', '\'']).filter(is_asset);
    let assets: Vec<_> = assets.map(|asset| asset.trim_start_matches("./")).collect();
    assert!(assets.len() >= 3, "{page}");
    for asset in assets {
        let response = plane.request(Method::GET, &format!("/swagger/{asset}")).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{asset}");
    }
}

#[tokio::test]
async fn without_a_key_every_route_is_open_and_the_log_says_so() {
    let sandbox = Sandbox::new();
    let nobody = e2e::Port::reserve();
    let plane = sandbox.plane(&[nobody.address()]).start().await;
    for request in guarded(&plane) {
        assert_ne!(answer(request).await.0, StatusCode::UNAUTHORIZED);
    }
    assert!(plane.daemon.log().contains("API_KEY is not set"), "{}", plane.daemon.log());
}
