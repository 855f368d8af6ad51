//! Cancellation, and what may come between it and the end.

use std::path::Path;

use controlplane::store::{self, Database, StoreConfig};
use e2e::Postgres;
use proto::v1::JobStatus::{Cancelled, Processing};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    plane::{Plane, statuses},
    stub::Stub,
};

#[tokio::test]
async fn a_cancelled_job_ends_with_the_workers_word() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    job.say(Processing, 30.0, "encoding");
    let path = format!("/api/v1/jobs/{id}");
    for _ in 0..2 {
        let (status, body) = plane.delete(&path).await;
        assert_eq!((status, body), (StatusCode::ACCEPTED, json!({"job_id": id, "status": "cancelling"})));
    }
    assert_eq!(worker.cancelled().await, id);
    job.say(Cancelled, 30.0, "stopped");
    let events = plane.events(&id).await.rest().await;
    assert_eq!(statuses(&events), ["JOB_STATUS_QUEUED", "JOB_STATUS_PROCESSING", "JOB_STATUS_CANCELLED"]);
    assert_eq!(events.last().map(|event| &event["message"]), Some(&json!("stopped")));
    let (status, body) = plane.delete(&path).await;
    assert_eq!((status, body), (StatusCode::CONFLICT, json!({"error": "job is already finished"})));
}

#[tokio::test]
async fn a_job_that_completes_first_stays_completed() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    plane.delete(&format!("/api/v1/jobs/{id}")).await;
    assert_eq!(worker.cancelled().await, id);
    job.complete();
    let events = plane.events(&id).await.rest().await;
    assert_eq!(statuses(&events).last(), Some(&"JOB_STATUS_COMPLETED"));
}

#[tokio::test]
async fn a_worker_that_does_not_confirm_is_dropped() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    plane.delete(&format!("/api/v1/jobs/{id}")).await;
    assert_eq!(worker.cancelled().await, id);
    let events = plane.events(&id).await.rest().await;
    assert_eq!(statuses(&events), ["JOB_STATUS_QUEUED", "JOB_STATUS_CANCELLED"]);
    job.dropped().await;
}

#[tokio::test]
async fn a_worker_that_dies_of_a_cancellation_has_cancelled() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    plane.delete(&format!("/api/v1/jobs/{id}")).await;
    worker.cancelled().await;
    job.leave();
    let events = plane.events(&id).await.rest().await;
    assert_eq!(statuses(&events).last(), Some(&"JOB_STATUS_CANCELLED"));
}

/// Its wish meets the end of an attempt: when it is told, the job waits already.
#[tokio::test]
async fn a_job_that_waits_ends_when_another_control_plane_writes_the_wish_down() {
    let mut worker = Stub::with_leases(1).await;
    let database = Database::parse(&Postgres::shared().await.database(), Path::new("")).expect("a database");
    let plane = Plane::start(&[worker.address], |config| {
        config.database = database.clone();
        config.max_queued_jobs = 10;
    })
    .await;
    plane.accepted().await;
    let _busy = worker.job().await;
    let id = plane.accepted().await;
    let other = store::open(&StoreConfig { database }).await.expect("a good store");
    other.request_cancel(id.parse().expect("an id")).await.expect("the store answers");
    let events = plane.events(&id).await.rest().await;
    assert_eq!(statuses(&events), ["JOB_STATUS_QUEUED", "JOB_STATUS_CANCELLED"]);
    other.close().await;
}

#[tokio::test]
async fn an_unknown_job_cannot_be_cancelled() {
    let worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let (status, body) = plane.delete("/api/v1/jobs/550e8400-e29b-41d4-a716-446655440000").await;
    assert_eq!((status, body), (StatusCode::NOT_FOUND, json!({"error": "job not found"})));
}
