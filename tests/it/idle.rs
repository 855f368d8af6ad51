//! When a worker stops by itself.

use std::time::{Duration, Instant};

use e2e::{Plane, Sandbox, Worker, clips, job, statuses, until};
use reqwest::StatusCode;
use rstest::rstest;
use serde_json::Value;
use tokio::time::sleep;

/// How many jobs meet the worker around its exit.
const SUBMISSIONS: u64 = 15;

fn quick_job(sandbox: &Sandbox) -> Value {
    job(&sandbox.input(&clips::flash()), "480p_h264", "local", "video.mp4")
}

#[tokio::test]
async fn a_worker_exits_cleanly_a_second_after_its_last_job() {
    let sandbox = Sandbox::new();
    let mut worker = sandbox.worker().without("DISABLE_AUTO_SHUTDOWN").start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    plane.completed(&quick_job(&sandbox)).await;
    let ended = Instant::now();
    let status = worker.daemon.exited().await;
    assert!(status.success(), "{status}");
    // A second of idling and up to one for the last words; the job ended a moment before its listener heard of it, and
    // on a busy machine that moment is long.
    let idled = ended.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_secs(4)).contains(&idled), "{idled:?}");
    sandbox.clean().await;
}

#[tokio::test]
async fn a_worker_without_a_job_yet_waits_for_one() {
    let sandbox = Sandbox::new();
    let mut worker = sandbox.worker().without("DISABLE_AUTO_SHUTDOWN").start().await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(worker.daemon.ended(), None);
    let plane = sandbox.plane(&[worker.address()]).start().await;
    plane.completed(&quick_job(&sandbox)).await;
}

#[rstest]
#[case::in_words("true")]
#[case::as_a_number("1")]
#[tokio::test]
async fn the_exit_can_be_disabled(#[case] value: &str) {
    let sandbox = Sandbox::new();
    let mut worker = sandbox.worker().env("DISABLE_AUTO_SHUTDOWN", value).start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    plane.completed(&quick_job(&sandbox)).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(worker.daemon.ended(), None);
}

#[tokio::test]
async fn a_job_that_arrives_around_the_exit_is_never_lost() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().without("DISABLE_AUTO_SHUTDOWN").start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let job = quick_job(&sandbox);
    tokio::select! {
        () = keep_alive(worker) => {}
        () = submit_around_the_exit(&plane, &job) => {}
    }
}

async fn submit_around_the_exit(plane: &Plane, job: &Value) {
    plane.completed(job).await;
    for number in 0..SUBMISSIONS {
        // Every fifteenth of 0.7 to 1.3 s after the end, in a shuffled order that is the same each time.
        let moment = 700 + 40 * (number * 7 % SUBMISSIONS);
        sleep(Duration::from_millis(moment)).await;
        submit(plane, job).await;
    }
}

/// Starts the worker again each time it has exited cleanly, as a platform does.
async fn keep_alive(mut worker: Worker) {
    loop {
        until("the worker is idle", async || worker.daemon.ended().is_some()).await;
        let status = worker.daemon.exited().await;
        assert!(status.success(), "{status}");
        worker.daemon.restart().await;
    }
}

/// Submits a job until it is accepted; then it must complete.
async fn submit(plane: &Plane, job: &Value) {
    let mut accepted = None;
    until("the job is accepted", async || {
        let (status, body) = plane.post(job).await;
        assert!(matches!(status, StatusCode::ACCEPTED | StatusCode::SERVICE_UNAVAILABLE), "{status} {body}");
        accepted = body["job_id"].as_str().map(str::to_owned);
        accepted.is_some()
    })
    .await;
    let events = plane.events(&accepted.expect("it was accepted")).await.rest().await;
    assert_eq!(statuses(&events).last(), Some(&"JOB_STATUS_COMPLETED"), "{events:?}");
}
