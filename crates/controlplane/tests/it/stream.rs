//! Listeners: early, late, many, none, and what a hostile worker can do to them.

use proto::v1::{
    JobProgress, JobStatus,
    JobStatus::{Processing, Queued, Uploading},
};

use reqwest::{Method, StatusCode};

use crate::{
    plane::{Plane, statuses, until},
    stub::Stub,
};

const ALL_THE_WAY: [&str; 4] =
    ["JOB_STATUS_QUEUED", "JOB_STATUS_PROCESSING", "JOB_STATUS_UPLOADING", "JOB_STATUS_COMPLETED"];

#[tokio::test]
async fn the_stream_has_the_headers_of_the_contract() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    let events = plane.events(&id).await;
    let headers = events.response.headers().clone();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["cache-control"], "no-cache");
    assert_eq!(headers["x-accel-buffering"], "no");
    worker.job().await.complete();
    events.rest().await;
}

#[tokio::test]
async fn every_listener_sees_every_status_early_or_late() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    let mut early = Vec::new();
    for _ in 0..8 {
        early.push(plane.events(&id).await);
    }
    job.say(Processing, 10.0, "encoding");
    job.say(Uploading, 100.0, "uploading");
    job.complete();
    for events in early {
        assert_eq!(statuses(&events.rest().await), ALL_THE_WAY);
    }
    let late = plane.events(&id).await.rest().await;
    assert_eq!(statuses(&late), ALL_THE_WAY);
    assert!(late.iter().all(|event| event["job_id"] == id.as_str() && event["timestamp"].is_string()), "{late:?}");
}

#[tokio::test]
async fn a_job_that_nobody_watches_does_not_stall() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    for step in 0..10_000_u16 {
        job.say(Processing, f32::from(step) / 100.0, "encoding");
    }
    job.complete();
    until(async || plane.job(&id).await["status"] == "JOB_STATUS_COMPLETED").await;
    assert!(plane.events(&id).await.rest().await.len() <= 4, "percentages are not kept");
}

#[tokio::test]
async fn nonsense_changes_nothing_and_progress_never_falls() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    let mut events = plane.events(&id).await;
    let job = worker.job().await;
    job.say(Processing, 50.0, "encoding");
    events.until("JOB_STATUS_PROCESSING").await;
    for progress in [f32::NAN, -1.0, 20.0, f32::INFINITY] {
        job.say(Processing, progress, &format!("after {progress}"));
    }
    job.say(Queued, 0.0, "again");
    job.say(JobStatus::Unspecified, 0.0, "nothing");
    job.send(JobProgress { status: 99, ..JobProgress::default() });
    job.say(Processing, 1e30, "\u{1b}[31mred\n");
    job.complete();
    let events = events.rest().await;
    assert_eq!(statuses(&events).last(), Some(&"JOB_STATUS_COMPLETED"));
    for event in &events {
        let progress = event["progress"].as_f64().expect("a number");
        assert!((50.0..=100.0).contains(&progress), "{event}");
        assert!(!event["message"].as_str().expect("text").contains(char::is_control), "{event}");
    }
}

#[tokio::test]
async fn long_texts_of_a_worker_are_cut() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    worker.job().await.fail(&"é".repeat(100_000));
    let events = plane.events(&id).await.rest().await;
    assert_eq!(events[1]["error"].as_str().map(str::len), Some(4096));
}

/// What a listener gets who has seen everything up to this event.
async fn resumed(plane: &Plane, id: &str, seen: &str) -> (StatusCode, String) {
    let path = format!("/api/v1/jobs/{id}/stream");
    let request = plane.request(Method::GET, &path).header("Last-Event-ID", seen);
    let response = request.send().await.expect("an answer");
    (response.status(), response.text().await.expect("text"))
}

#[tokio::test]
async fn a_listener_that_comes_back_gets_what_it_has_missed_and_nothing_twice() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    job.say(Processing, 10.0, "encoding");
    job.complete();
    plane.events(&id).await.rest().await;
    for (seen, rest) in [
        ("0.0", &["1.0", "2.0", "3.0"][..]),
        ("1.0", &["2.0", "3.0"]),
        ("1.7", &["2.0", "3.0"]),
        ("2.0", &["3.0"]),
        ("2.99", &["3.0"]),
        // No event of this job: whoever has that has none.
        ("9.0", &["1.0", "2.0", "3.0"]),
    ] {
        let (status, text) = resumed(&plane, &id, seen).await;
        let ids: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
        assert_eq!((status, ids.as_slice()), (StatusCode::OK, rest), "{seen}");
    }
    let (status, text) = plane.get(&format!("/api/v1/jobs/{id}/stream?last_event_id=x")).await;
    assert_eq!((status, text["field"].as_str()), (StatusCode::BAD_REQUEST, Some("last_event_id")));
}

#[tokio::test]
async fn a_listener_that_has_the_end_is_told_not_to_come_back() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    worker.job().await.fail("encoding failed: x");
    plane.events(&id).await.rest().await;
    assert_eq!(resumed(&plane, &id, "2.0").await, (StatusCode::NO_CONTENT, String::new()));
}
