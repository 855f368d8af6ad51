//! Which worker gets a job, and how little the others cost.

use std::time::{Duration, Instant};

use controlplane::limits::Limits;
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    plane::{Plane, good_job},
    stub::{Answers, Manners, Stub, hung, nobody},
};

/// Far below what waiting for a hung worker would take, far above what a busy machine needs.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn jobs_go_round_robin() {
    let mut workers = [Stub::with_slots(9).await, Stub::with_slots(9).await, Stub::with_slots(9).await];
    let plane = Plane::over(&workers.each_ref().map(|worker| worker.address)).await;
    for turn in 0..6 {
        let id = plane.accepted().await;
        assert_eq!(workers[turn % 3].job().await.request.job_id, id, "turn {turn}");
    }
}

#[tokio::test]
async fn a_full_worker_is_passed_over() {
    let mut workers = [Stub::with_slots(1).await, Stub::with_slots(2).await];
    let plane = Plane::over(&workers.each_ref().map(|worker| worker.address)).await;
    for worker in [0, 1, 1] {
        let id = plane.accepted().await;
        assert_eq!(workers[worker].job().await.request.job_id, id);
    }
    let (status, body) = plane.post(&good_job()).await;
    assert_eq!((status, body), (StatusCode::SERVICE_UNAVAILABLE, json!({"error": "no available workers"})));
}

#[tokio::test]
async fn twelve_jobs_at_once_on_two_slots_are_two() {
    let workers = [Stub::with_slots(1).await, Stub::with_slots(1).await];
    let plane = Plane::over(&workers.each_ref().map(|worker| worker.address)).await;
    let job = good_job();
    let answers = join_all((0..12).map(|_| plane.post(&job))).await;
    let accepted = answers.iter().filter(|(status, _)| *status == StatusCode::ACCEPTED).count();
    let refused = answers.iter().filter(|(status, _)| *status == StatusCode::SERVICE_UNAVAILABLE).count();
    assert_eq!((accepted, refused), (2, 10), "{answers:?}");
}

#[tokio::test]
async fn a_worker_that_was_filled_meanwhile_is_followed_by_the_next() {
    let boaster = Stub::start(Manners { boasts: true, ..Manners::default() }).await;
    let mut other = Stub::with_slots(1).await;
    let plane = Plane::over(&[boaster.address, other.address]).await;
    let id = plane.accepted().await;
    assert_eq!(other.job().await.request.job_id, id);
    let (status, _) = plane.post(&good_job()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "each worker is asked once");
}

#[tokio::test]
async fn a_stopping_or_broken_worker_is_followed_by_the_next() {
    for refusal in [tonic::Status::unavailable("stopping"), tonic::Status::internal("oops")] {
        let broken = Stub::start(Manners { slots: 1, refusal: Some(refusal), ..Manners::default() }).await;
        let mut other = Stub::with_slots(1).await;
        let plane = Plane::over(&[broken.address, other.address]).await;
        let id = plane.accepted().await;
        assert_eq!(other.job().await.request.job_id, id);
    }
}

#[tokio::test]
async fn a_hung_worker_delays_nobody() {
    let (hung, task) = hung().await;
    let silent = Stub::start(Manners { slots: 1, answers: Answers::None, ..Manners::default() }).await;
    let mut ready = Stub::with_slots(99).await;
    let plane = Plane::start(&[hung, silent.address, ready.address], |config| {
        config.startup_timeout = Duration::from_mins(1);
        config.limits.stagger = Limits::default().stagger;
    })
    .await;
    let start = Instant::now();
    for _ in 0..10 {
        plane.accepted().await;
        ready.job().await;
    }
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert!(silent.probes() < 10, "a worker that was overtaken is asked last");
    task.abort();
}

#[tokio::test]
async fn a_worker_that_cannot_be_reached_is_no_wait() {
    let (nobody, mut ready) = (nobody().await, Stub::with_slots(1).await);
    let plane = Plane::over(&[nobody, ready.address]).await;
    let start = Instant::now();
    plane.accepted().await;
    ready.job().await;
    let (status, _) = plane.post(&good_job()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[tokio::test]
async fn nobody_is_asked_while_the_first_has_room() {
    let mut workers = [Stub::with_slots(1).await, Stub::with_slots(1).await];
    let plane = Plane::over(&workers.each_ref().map(|worker| worker.address)).await;
    plane.accepted().await;
    workers[0].job().await;
    assert_eq!(workers[1].probes(), 0, "a sleeping machine would have been booted for nothing");
}

#[tokio::test]
async fn a_sleeping_worker_is_waited_for_when_it_is_the_last_hope() {
    let address = nobody().await;
    let listener = tokio::net::TcpListener::bind(address).await.expect("the port is still free");
    let plane = Plane::over(&[address]).await;
    let job = good_job();
    let (answer, mut worker) = tokio::join!(plane.post(&job), async {
        // The platform accepts the connection and boots the machine behind it.
        let (connection, _) = listener.accept().await.expect("a connection");
        drop(listener);
        let worker = Stub::with_slots(1).await;
        let mut upstream = tokio::net::TcpStream::connect(worker.address).await.expect("a worker");
        tokio::spawn(async move {
            let mut connection = connection;
            tokio::io::copy_bidirectional(&mut connection, &mut upstream).await
        });
        worker
    });
    assert_eq!(answer.0, StatusCode::ACCEPTED, "{}", answer.1);
    worker.job().await.complete();
}

#[tokio::test]
async fn a_sleeping_worker_is_not_waited_for_longer_than_the_timeout() {
    let (hung, task) = hung().await;
    let plane = Plane::start(&[hung], |config| config.startup_timeout = Duration::from_millis(200)).await;
    let (status, body) = plane.post(&good_job()).await;
    assert_eq!((status, body), (StatusCode::SERVICE_UNAVAILABLE, json!({"error": "no available workers"})));
    task.abort();
}

#[tokio::test]
async fn a_worker_that_never_admits_is_followed_by_the_next() {
    let stuck = Stub::start(Manners { slots: 1, never_admits: true, ..Manners::default() }).await;
    let mut other = Stub::with_slots(1).await;
    let plane =
        Plane::start(&[stuck.address, other.address], |config| config.limits.admission = Duration::from_millis(100))
            .await;
    let id = plane.accepted().await;
    assert_eq!(other.job().await.request.job_id, id);
    stuck.abandoned().await;
}

#[tokio::test]
async fn only_so_many_requests_wait_for_a_worker() {
    let worker = Stub::start(Manners { slots: 1, never_admits: true, ..Manners::default() }).await;
    let plane = Plane::start(&[worker.address], |config| config.limits.admissions = 1).await;
    let job = good_job();
    let (first, second) = tokio::join!(plane.post(&job), async {
        crate::plane::until(async || worker.submissions() == 1).await;
        plane.post(&job).await
    });
    let text = "too many jobs are waiting for a worker";
    assert_eq!(second, (StatusCode::SERVICE_UNAVAILABLE, json!({"error": text})));
    assert_eq!(first, (StatusCode::SERVICE_UNAVAILABLE, json!({"error": "no available workers"})));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_its_job_behind() {
    let mut worker = Stub::start(Manners { slots: 1, answers: Answers::None, ..Manners::default() }).await;
    let plane = Plane::over(&[worker.address]).await;
    let job = good_job();
    tokio::select! {
        (status, body) = plane.post(&job) => panic!("answered {status} {body}"),
        // Dropping the request closes the client's connection. Nothing is written down yet.
        () = crate::plane::until(async || worker.probes() == 1) => {}
    }
    worker.change(|manners| manners.answers = Answers::All);
    let id = plane.accepted().await;
    assert_eq!(worker.job().await.request.job_id, id, "the first request is forgotten");
    assert_eq!(worker.submissions(), 1);
}
