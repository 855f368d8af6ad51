//! Workers that vanish, fall silent or forget: the job ends, and clients learn of it.

use std::time::Duration;

use proto::v1::JobStatus::Processing;
use serde_json::Value;

use crate::{
    plane::{Plane, limits, statuses, until},
    stub::{Answers, Job, Manners, PATIENCE, Stub},
};

/// A job that its worker has begun.
async fn begun(plane: &Plane, worker: &mut Stub) -> (String, Job) {
    let id = plane.accepted().await;
    let job = worker.job().await;
    job.say(Processing, 0.0, "encoding");
    plane.events(&id).await.until("JOB_STATUS_PROCESSING").await;
    (id, job)
}

async fn error(plane: &Plane, id: &str) -> String {
    let events = plane.events(id).await.rest().await;
    assert_eq!(statuses(&events).last(), Some(&"JOB_STATUS_FAILED"), "{events:?}");
    events.last().and_then(|event| event["error"].as_str()).expect("an error").to_owned()
}

#[tokio::test]
async fn a_worker_that_dies_fails_its_job() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    job.say(Processing, 30.0, "encoding");
    plane.events(&id).await.until("JOB_STATUS_PROCESSING").await;
    worker.kill();
    let error = error(&plane, &id).await;
    assert!(error.starts_with("encoding failed: worker lost: "), "{error}");
    assert_eq!(plane.job(&id).await["progress"], 30.0);
}

#[tokio::test]
async fn a_stream_that_breaks_fails_the_job() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let (id, job) = begun(&plane, &mut worker).await;
    job.break_off(tonic::Status::internal("disk on fire"));
    assert_eq!(error(&plane, &id).await, "encoding failed: worker lost: answers Internal: disk on fire");
}

#[tokio::test]
async fn a_stream_that_ends_without_a_result_fails_the_job() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let (id, job) = begun(&plane, &mut worker).await;
    job.leave();
    assert_eq!(error(&plane, &id).await, "encoding failed: worker lost: its stream ended without a result");
}

#[tokio::test]
async fn a_silent_worker_that_still_runs_the_job_is_left_in_peace() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    // The first question came before the job; the rest are asked because nothing is said.
    until(async || worker.probes() >= 4).await;
    job.complete();
    let events: Vec<Value> = plane.events(&id).await.rest().await;
    assert_eq!(statuses(&events).last(), Some(&"JOB_STATUS_COMPLETED"));
}

#[tokio::test]
async fn a_silent_worker_that_does_not_answer_is_lost() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let (id, job) = begun(&plane, &mut worker).await;
    worker.change(|manners| manners.answers = Answers::None);
    let question = limits().question;
    assert_eq!(error(&plane, &id).await, format!("encoding failed: worker lost: no answer within {question:?}"));
    job.dropped().await;
    assert!(worker.probes() > 1 + 3, "one before the job, three that failed, and those that looked for the job");
}

#[tokio::test]
async fn a_worker_that_answers_now_and_then_keeps_its_job() {
    let mut worker = Stub::start(Manners { slots: 1, answers: Answers::EveryThird, ..Manners::default() }).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    // By then four have failed, never three in a row.
    until(async || worker.probes() > 6).await;
    job.complete();
    let events = plane.events(&id).await.rest().await;
    assert_eq!(statuses(&events).last(), Some(&"JOB_STATUS_COMPLETED"), "{events:?}");
}

#[tokio::test]
async fn a_worker_that_reports_now_and_then_keeps_its_job() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    worker.change(|manners| manners.answers = Answers::None);
    for question in 1..=4 {
        until(async || worker.probes() > question).await;
        job.say(Processing, 1.0, "encoding");
    }
    job.complete();
    let events = plane.events(&id).await.rest().await;
    assert_eq!(statuses(&events).last(), Some(&"JOB_STATUS_COMPLETED"), "{events:?}");
}

#[tokio::test]
async fn a_worker_that_does_not_know_the_job_any_more_is_lost() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let (id, job) = begun(&plane, &mut worker).await;
    job.forget();
    assert_eq!(error(&plane, &id).await, "encoding failed: worker lost: it does not know the job any more");
    job.dropped().await;
}

#[tokio::test]
async fn a_job_that_no_worker_ever_began_has_not_been_tried() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    worker.job().await.leave();
    worker.job().await.complete();
    let events = plane.events(&id).await.rest().await;
    assert_eq!(statuses(&events).last(), Some(&"JOB_STATUS_COMPLETED"), "{events:?}");
}

#[tokio::test]
async fn an_attempt_whose_connection_takes_no_more_calls_is_found_again() {
    let lease = Some((Duration::from_secs(2), PATIENCE));
    let mut worker = Stub::start(Manners { slots: 1, lease, ..Manners::default() }).await;
    let plane = Plane::over(&[worker.address]).await;
    let (id, job) = begun(&plane, &mut worker).await;
    worker.drain();
    // One may be under way; none reaches it over the old connection.
    let before = worker.renewals() + 2;
    until(async || worker.renewals() > before).await;
    job.complete();
    let events = plane.events(&id).await.rest().await;
    assert_eq!(statuses(&events).last(), Some(&"JOB_STATUS_COMPLETED"), "{events:?}");
    assert_eq!(plane.job(&id).await["attempts"].as_array().map(Vec::len), Some(1));
}
