//! Requests with an `Idempotency-Key`: sent twice, they make one job.

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    plane::{Plane, good_job},
    stub::{Stub, nobody},
};

async fn post(plane: &Plane, key: &str, job: &Value) -> (StatusCode, Value) {
    let request = plane.request(Method::POST, "/api/v1/jobs").header("Idempotency-Key", key).json(job);
    let response = request.send().await.expect("an answer");
    (response.status(), response.json().await.expect("a JSON body"))
}

#[tokio::test]
async fn the_same_request_is_the_same_job_while_a_worker_runs_it_and_afterwards() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let (status, first) = post(&plane, "k1", &good_job()).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{first}");
    // The only slot is taken: without the key, this would be refused.
    assert_eq!(post(&plane, "k1", &good_job()).await, (StatusCode::ACCEPTED, first.clone()));
    worker.job().await.complete();
    plane.events(first["job_id"].as_str().expect("an id")).await.rest().await;
    assert_eq!(post(&plane, "k1", &good_job()).await, (StatusCode::ACCEPTED, first.clone()));
    let (_, second) = post(&plane, "k2", &good_job()).await;
    assert_ne!(first["job_id"], second["job_id"]);
}

#[rstest]
#[case::without_a_queue(0)]
#[case::with_a_queue(10)]
#[tokio::test]
async fn another_request_with_the_key_is_refused(#[case] queue: u64) {
    let worker = Stub::with_slots(1).await;
    let plane = Plane::start(&[worker.address], |config| config.max_queued_jobs = queue).await;
    post(&plane, "k", &good_job()).await;
    let mut other = good_job();
    other["priority"] = json!(99);
    let (status, body) = post(&plane, "k", &other).await;
    assert_eq!((status, body["field"].as_str()), (StatusCode::CONFLICT, Some("Idempotency-Key")), "{body}");
}

#[tokio::test]
async fn requests_at_the_same_time_make_one_job() {
    let plane = Plane::start(&[nobody().await], |config| config.max_queued_jobs = 10).await;
    let job = good_job();
    let answers = futures_util::future::join_all((0..8).map(|_| post(&plane, "k", &job))).await;
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == StatusCode::ACCEPTED), "{answers:?}");
}

#[tokio::test]
async fn a_key_is_visible_ascii_of_bounded_length() {
    let plane = Plane::over(&[nobody().await]).await;
    for key in ["a b", &"x".repeat(256)] {
        let (status, body) = post(&plane, key, &good_job()).await;
        assert_eq!((status, body["field"].as_str()), (StatusCode::BAD_REQUEST, Some("Idempotency-Key")), "{body}");
    }
}
