//! Stopping: streams end, running jobs get their time, new ones are refused.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use service::lifecycle::Outcome;

use crate::{
    plane::{Plane, good_job},
    stub::{Manners, Stub},
};

#[tokio::test]
async fn an_idle_control_plane_stops_at_once() {
    let worker = Stub::with_slots(1).await;
    let mut plane = Plane::start(&[worker.address], |config| config.shutdown_grace = Duration::from_mins(10)).await;
    let (status, _) = plane.get("/health").await;
    assert_eq!(status, StatusCode::OK);
    plane.lifecycle.stop();
    assert_eq!(plane.ended().await, Outcome::Clean);
}

#[tokio::test]
async fn streams_end_and_running_jobs_go_on() {
    let mut worker = Stub::with_slots(2).await;
    let mut plane = Plane::start(&[worker.address], |config| config.shutdown_grace = Duration::from_mins(10)).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    let mut events = plane.events(&id).await;
    events.next().await.expect("the first event");
    plane.lifecycle.stop();
    assert_eq!(events.next().await, None, "an open stream would hold the server");
    let (status, body) = plane.post(&good_job()).await;
    assert_eq!((status, body), (StatusCode::SERVICE_UNAVAILABLE, json!({"error": "the service is stopping"})));
    let (status, body) = plane.get("/health").await;
    assert_eq!((status, &body["status"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("stopping")));
    assert_eq!(plane.job(&id).await["status"], "JOB_STATUS_QUEUED");
    job.complete();
    assert_eq!(plane.ended().await, Outcome::Clean);
}

#[tokio::test]
async fn after_the_grace_jobs_are_dropped() {
    let mut worker = Stub::with_slots(1).await;
    let mut plane = Plane::start(&[worker.address], |config| config.shutdown_grace = Duration::from_millis(50)).await;
    plane.accepted().await;
    let job = worker.job().await;
    plane.lifecycle.stop();
    assert_eq!(plane.ended().await, Outcome::Clean);
    job.dropped().await;
}

#[tokio::test]
async fn a_request_that_waits_for_a_worker_is_refused() {
    let worker = Stub::start(Manners { slots: 1, never_admits: true, ..Manners::default() }).await;
    let mut plane = Plane::start(&[worker.address], |config| config.limits.admission = Duration::from_mins(10)).await;
    let job = good_job();
    let (answer, ()) = tokio::join!(plane.post(&job), async {
        crate::plane::until(async || worker.submissions() == 1).await;
        plane.lifecycle.stop();
    });
    assert_eq!(answer, (StatusCode::SERVICE_UNAVAILABLE, json!({"error": "the service is stopping"})));
    worker.abandoned().await;
    assert_eq!(plane.ended().await, Outcome::Clean);
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_server() {
    let worker = Stub::with_slots(1).await;
    let mut plane = Plane::start(&[worker.address], |config| config.shutdown_grace = Duration::from_mins(10)).await;
    let _silent = tokio::net::TcpStream::connect(plane.address).await.expect("a connection");
    plane.request(Method::GET, "/health").send().await.expect("an answer");
    plane.lifecycle.stop();
    assert_eq!(plane.ended().await, Outcome::Clean);
}

#[tokio::test]
async fn without_a_durable_store_a_stop_waits_for_jobs_with_a_lease_too() {
    let mut worker = Stub::with_leases(1).await;
    let mut plane = Plane::start(&[worker.address], |config| {
        config.max_queued_jobs = 10;
        config.shutdown_grace = Duration::from_mins(10);
    })
    .await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    plane.lifecycle.stop();
    let (status, _) = plane.get("/health").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "it stays, to tell how the job ends");
    job.complete();
    assert_eq!(worker.released().await, (id, 1), "its end was written down");
    assert_eq!(plane.ended().await, Outcome::Clean);
}
