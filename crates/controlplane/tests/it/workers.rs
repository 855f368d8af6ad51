//! `GET /api/v1/workers/status`

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    plane::Plane,
    stub::{Stub, hung, nobody},
};

#[tokio::test]
async fn every_worker_is_told_reachable_or_why_not() {
    let mut worker = Stub::with_slots(2).await;
    let ((hung, task), nobody) = (hung().await, nobody().await);
    let plane =
        Plane::start(&[worker.address, hung, nobody], |config| config.startup_timeout = Duration::from_millis(300))
            .await;
    let id = plane.accepted().await;
    let _job = worker.job().await;
    let start = Instant::now();
    let (status, body) = plane.get("/api/v1/workers/status").await;
    assert!(start.elapsed() < Duration::from_secs(2), "all are asked at once");
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body["workers"][0],
        json!({
            "address": worker.address.to_string(),
            "reachable": true,
            "worker_id": "stub",
            "version": "1.2.3",
            "current_jobs": 1,
            "max_concurrent_jobs": 2,
            "active_job_ids": [id],
        })
    );
    assert_eq!(
        body["workers"][1],
        json!({"address": hung.to_string(), "reachable": false, "error": "no answer within 300ms"})
    );
    let unreachable = &body["workers"][2];
    assert_eq!(unreachable["address"], nobody.to_string());
    assert!(unreachable["error"].as_str().expect("a reason").starts_with("cannot connect: "), "{unreachable}");
    task.abort();
}
