//! The race table of `docs/architecture.md`, cell by cell, as far as the control plane decides.

use std::time::Duration;

use proto::v1::{FailureKind, JobStatus::Processing};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    plane::{Plane, good_job, statuses, until},
    stub::{Manners, PATIENCE, Stub},
};

/// A control plane that tries often and lets many jobs wait.
async fn plane(workers: &[&Stub]) -> Plane {
    let workers: Vec<_> = workers.iter().map(|worker| worker.address).collect();
    Plane::start(&workers, |config| {
        config.max_queued_jobs = 100;
        config.job_max_attempts = 3;
    })
    .await
}

fn outcomes(job: &Value) -> Vec<&str> {
    let attempts = job["attempts"].as_array().expect("attempts");
    attempts.iter().map(|attempt| attempt["outcome"].as_str().unwrap_or("running")).collect()
}

#[tokio::test]
async fn a_stream_that_breaks_is_opened_again_and_nothing_is_missed() {
    let mut worker = Stub::with_leases(1).await;
    let plane = plane(&[&worker]).await;
    let id = plane.accepted().await;
    let mut events = plane.events(&id).await;
    let job = worker.job().await;
    assert_eq!(job.request.attempt, 1);
    job.say(Processing, 10.0, "encoding");
    events.until("JOB_STATUS_PROCESSING").await;
    for percent in [20.0, 30.0] {
        worker.cut();
        job.say(Processing, percent, "encoding");
        while events.next().await.expect("the stream goes on")["progress"] != percent {}
    }
    job.complete();
    assert_eq!(statuses(&events.rest().await), ["JOB_STATUS_COMPLETED"]);
    assert_eq!(worker.released().await, (id.clone(), 1));
    assert_eq!(outcomes(&plane.job(&id).await), ["completed"]);
    assert_eq!(worker.submissions(), 1);
}

#[tokio::test]
async fn a_result_that_was_missed_is_collected() {
    let mut worker = Stub::with_leases(1).await;
    let plane = plane(&[&worker]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    worker.change(|manners| manners.is_paused = true);
    worker.cut();
    job.dropped().await;
    job.complete();
    worker.change(|manners| manners.is_paused = false);
    let events = plane.events(&id).await.rest().await;
    assert_eq!(statuses(&events).last(), Some(&"JOB_STATUS_COMPLETED"));
    assert_eq!(worker.released().await, (id, 1));
}

#[tokio::test]
async fn another_attempt_waits_for_the_fence() {
    let fence = Duration::from_secs(2);
    let lease = Some((Duration::from_secs(1), fence));
    let mut first = Stub::start(Manners { slots: 1, lease, ..Manners::default() }).await;
    let plane = plane(&[&first]).await;
    let id = plane.accepted().await;
    let job = first.job().await;
    job.say(Processing, 1.0, "encoding");
    plane.events(&id).await.until("JOB_STATUS_PROCESSING").await;
    let renewals = first.renewals();
    until(async || first.renewals() > renewals).await;
    let start = std::time::Instant::now();
    let address = first.address.to_string();
    drop(job);
    first.kill();
    // Its successor is at the same address, but says nothing of the same place: it may be another machine.
    let mut second = Stub::start_at(&address, Manners { slots: 1, lease, ..Manners::default() }).await;
    let again = second.job().await;
    assert_eq!((again.request.job_id.as_str(), again.request.attempt), (id.as_str(), 2));
    // A renewal may have been sent a quarter of the lease before the end.
    assert!(start.elapsed() + Duration::from_millis(300) >= fence, "{:?}", start.elapsed());
    again.complete();
    plane.events(&id).await.until("JOB_STATUS_COMPLETED").await;
    assert_eq!(outcomes(&plane.job(&id).await), ["lost", "completed"]);
}

#[tokio::test]
async fn a_successor_at_the_same_place_is_proof() {
    let manners =
        || Manners { slots: 1, lease: Some((PATIENCE, PATIENCE * 10)), place: "here".to_owned(), ..Manners::default() };
    let mut first = Stub::start(manners()).await;
    let plane = plane(&[&first]).await;
    plane.accepted().await;
    first.job().await;
    let address = first.address.to_string();
    first.kill();
    let mut second = Stub::start_at(&address, manners()).await;
    assert_eq!(second.job().await.request.attempt, 2);
}

#[tokio::test]
async fn a_worker_that_does_not_know_the_attempt_is_proof() {
    let mut worker = Stub::with_leases(1).await;
    let plane = plane(&[&worker]).await;
    plane.accepted().await;
    worker.job().await.leave();
    assert_eq!(worker.job().await.request.attempt, 2);
}

#[tokio::test]
async fn progress_does_not_fall_with_another_attempt() {
    let mut worker = Stub::with_leases(1).await;
    let plane = plane(&[&worker]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    job.say(Processing, 60.0, "encoding");
    plane.events(&id).await.until("JOB_STATUS_PROCESSING").await;
    job.fail_as("encoding failed: the disk is full", FailureKind::Infrastructure);
    let job = worker.job().await;
    job.say(Processing, 10.0, "encoding");
    job.complete();
    let events = plane.events(&id).await.rest().await;
    assert_eq!(
        statuses(&events),
        [
            "JOB_STATUS_QUEUED",
            "JOB_STATUS_PROCESSING",
            "JOB_STATUS_QUEUED",
            "JOB_STATUS_PROCESSING",
            "JOB_STATUS_COMPLETED"
        ]
    );
    let progress: Vec<_> = events.iter().filter_map(|event| event["progress"].as_f64()).collect();
    assert!(progress.is_sorted(), "{progress:?}");
    assert_eq!(outcomes(&plane.job(&id).await), ["failed", "completed"]);
}

#[tokio::test]
async fn what_the_job_is_to_blame_for_is_not_tried_again() {
    let mut worker = Stub::with_leases(1).await;
    let plane = plane(&[&worker]).await;
    let id = plane.accepted().await;
    worker.job().await.fail_as("encoding failed: input_url: is no video", FailureKind::Job);
    let failed = plane.events(&id).await.until("JOB_STATUS_FAILED").await;
    assert_eq!(failed["error"], "encoding failed: input_url: is no video");
    assert_eq!(worker.submissions(), 1);
}

#[tokio::test]
async fn attempts_that_fail_by_the_machines_fault_are_counted() {
    let mut worker = Stub::with_leases(1).await;
    let plane = plane(&[&worker]).await;
    let id = plane.accepted().await;
    for attempt in 1..=3 {
        let job = worker.job().await;
        assert_eq!(job.request.attempt, attempt);
        job.fail_as("upload failed: S3 is down", FailureKind::Infrastructure);
    }
    let failed = plane.events(&id).await.until("JOB_STATUS_FAILED").await;
    assert_eq!(failed["error"], "upload failed: S3 is down");
    assert_eq!(outcomes(&plane.job(&id).await), ["failed"; 3]);
}

#[tokio::test]
async fn attempts_that_are_handed_back_are_not_counted() {
    let mut worker = Stub::with_leases(1).await;
    let plane = plane(&[&worker]).await;
    let id = plane.accepted().await;
    for _ in 0..5 {
        worker.job().await.fail_as("encoding failed: the worker is stopping", FailureKind::HandedBack);
    }
    worker.job().await.complete();
    plane.events(&id).await.until("JOB_STATUS_COMPLETED").await;
    assert_eq!(outcomes(&plane.job(&id).await).len(), 6);
}

#[tokio::test]
async fn another_attempt_goes_to_another_worker() {
    let mut workers = [Stub::with_leases(1).await, Stub::with_leases(1).await];
    let plane = plane(&[&workers[0], &workers[1]]).await;
    plane.accepted().await;
    workers[0].job().await.fail_as("encoding failed: x", FailureKind::Infrastructure);
    let job = workers[1].job().await;
    assert_eq!(job.request.attempt, 2);
    job.fail_as("encoding failed: x", FailureKind::Infrastructure);
    assert_eq!(workers[0].job().await.request.attempt, 3, "it was there longest ago");
}

#[tokio::test]
async fn a_worker_that_has_handed_a_job_back_is_tried_before_one_that_has_failed_it() {
    let mut workers = [Stub::with_leases(1).await, Stub::with_leases(1).await];
    let plane = plane(&[&workers[0], &workers[1]]).await;
    plane.accepted().await;
    workers[0].job().await.fail_as("encoding failed: x", FailureKind::Infrastructure);
    workers[1].job().await.fail_as("encoding failed: the worker is stopping", FailureKind::HandedBack);
    assert_eq!(workers[1].job().await.request.attempt, 3);
}

#[tokio::test]
async fn a_job_waits_for_a_busy_worker_and_does_not_return_to_one_that_has_failed_it() {
    let mut workers = [Stub::with_leases(1).await, Stub::with_leases(1).await];
    let plane = plane(&[&workers[0], &workers[1]]).await;
    plane.accepted().await;
    let busy = workers[0].job().await;
    let id = plane.accepted().await;
    workers[1].job().await.fail_as("encoding failed: x", FailureKind::Infrastructure);
    until(async || outcomes(&plane.job(&id).await) == ["failed"]).await;
    // It is to be placed twice, and only the worker that has failed it has room.
    let asked = workers[1].probes();
    until(async || workers[1].probes() > asked + 1 || workers[1].submissions() > 1).await;
    assert_eq!(workers[1].submissions(), 1);
    busy.complete();
    let job = workers[0].job().await;
    assert_eq!((job.request.job_id.as_str(), job.request.attempt), (id.as_str(), 2));
}

#[tokio::test]
async fn a_job_that_waits_is_cancelled_at_once() {
    let mut worker = Stub::with_leases(1).await;
    let plane = plane(&[&worker]).await;
    plane.accepted().await;
    let running = worker.job().await;
    let waiting = plane.accepted().await;
    let (status, _) = plane.delete(&format!("/api/v1/jobs/{waiting}")).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let events = plane.events(&waiting).await.rest().await;
    assert_eq!(statuses(&events), ["JOB_STATUS_QUEUED", "JOB_STATUS_CANCELLED"]);
    let (status, body) = plane.delete(&format!("/api/v1/jobs/{waiting}")).await;
    assert_eq!((status, body), (StatusCode::CONFLICT, json!({"error": "job is already finished"})));
    running.complete();
    assert_eq!(worker.submissions(), 1);
}

#[tokio::test]
async fn a_job_whose_attempt_is_lost_is_cancelled_when_it_has_certainly_ended() {
    let mut worker = Stub::with_leases(1).await;
    let plane = plane(&[&worker]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    worker.change(|manners| manners.is_paused = true);
    worker.cut();
    job.dropped().await;
    plane.delete(&format!("/api/v1/jobs/{id}")).await;
    assert_eq!(plane.job(&id).await["status"], "JOB_STATUS_QUEUED", "the worker may still publish");
    worker.change(|manners| manners.is_paused = false);
    assert_eq!(worker.cancelled().await, id);
    job.confirm_cancel();
    plane.events(&id).await.until("JOB_STATUS_CANCELLED").await;
}

#[tokio::test]
async fn jobs_start_by_priority_and_then_by_age() {
    let mut worker = Stub::with_leases(1).await;
    let plane = plane(&[&worker]).await;
    plane.accepted().await;
    let mut running = worker.job().await;
    let mut post = Vec::new();
    for (name, priority) in [("a", 50), ("b", 10), ("c", 90), ("d", 50), ("e", 90)] {
        let mut job = good_job();
        job["priority"] = json!(priority);
        job["output"]["path"] = json!(name);
        let (status, body) = plane.post(&job).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        post.push(body);
    }
    let mut order = Vec::new();
    for _ in 0..5 {
        running.complete();
        running = worker.job().await;
        order.push(running.request.output.clone().expect("an output").path);
    }
    assert_eq!(order, ["c", "e", "a", "d", "b"]);
}

#[tokio::test]
async fn a_full_queue_answers_503_with_a_hint() {
    let mut worker = Stub::with_leases(1).await;
    let plane = Plane::start(&[worker.address], |config| config.max_queued_jobs = 2).await;
    plane.accepted().await;
    worker.job().await;
    plane.accepted().await;
    plane.accepted().await;
    let request = plane.request(reqwest::Method::POST, "/api/v1/jobs").json(&good_job());
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_slot_that_another_caller_frees_is_noticed() {
    let mut worker = Stub::with_leases(1).await;
    let other = Plane::over(&[worker.address]).await;
    other.accepted().await;
    let theirs = worker.job().await;
    let plane = plane(&[&worker]).await;
    let id = plane.accepted().await;
    let probes = worker.probes();
    theirs.complete();
    assert_eq!(worker.job().await.request.job_id, id);
    assert!(worker.probes() - probes <= 2, "the worker is not asked over and over");
}

#[tokio::test]
async fn a_submission_that_nobody_heard_the_answer_of_is_looked_for() {
    let worker =
        Stub::start(Manners { slots: 1, never_admits: true, lease: Some((PATIENCE, PATIENCE)), ..Manners::default() })
            .await;
    let plane = plane(&[&worker]).await;
    plane.accepted().await;
    worker.abandoned().await;
    // It does not know the attempt, so another one may begin.
    until(async || worker.submissions() >= 2).await;
}
