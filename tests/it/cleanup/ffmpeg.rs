//! An ffmpeg that is killed, stands still or does not listen.

use e2e::{Plane, Sandbox, Worker, clips, job, until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// Never out of patience.
const LONG: &str = "1h";

async fn with_ffmpeg(sandbox: &Sandbox, script: &str, stall_timeout: &str) -> (Worker, Plane) {
    let ffmpeg = sandbox.script("ffmpeg-stand-in", script);
    let builder = sandbox.worker().env("FFMPEG_PATH", &ffmpeg.display()).env("STALL_TIMEOUT", stall_timeout);
    let worker = builder.start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    (worker, plane)
}

fn request(sandbox: &Sandbox) -> Value {
    job(&sandbox.input(&clips::long()), "480p_h264", "local", "video.mp4")
}

async fn assert_nothing_left(sandbox: &Sandbox, worker: &Worker) {
    assert_eq!(worker.status().await.current_jobs, 0);
    sandbox.clean().await;
    assert_eq!(sandbox.outputs(), [""; 0]);
}

#[tokio::test]
async fn an_ffmpeg_that_is_killed_fails_its_job() {
    let sandbox = Sandbox::new();
    let (worker, plane) = with_ffmpeg(&sandbox, "exec ffmpeg -re \"$@\"", LONG).await;
    let id = plane.accepted(&request(&sandbox)).await;
    let mut events = plane.events(&id).await;
    events.encoding().await;
    let tools = sandbox.tools();
    let ffmpeg = tools.iter().find(|tool| tool.program == "ffmpeg").expect("ffmpeg runs");
    kill(Pid::from_raw(ffmpeg.pid), Signal::SIGKILL).expect("it runs");
    let last = events.last().await;
    assert_eq!(last["error"], "encoding failed: ffmpeg was killed by signal 9", "{last}");
    assert_nothing_left(&sandbox, &worker).await;
}

#[tokio::test]
async fn an_ffmpeg_that_stands_still_fails_its_job() {
    let sandbox = Sandbox::new();
    let (worker, plane) = with_ffmpeg(&sandbox, "exec sleep 600", "1").await;
    assert_eq!(plane.failed(&request(&sandbox)).await, "encoding failed: no progress for 1 s");
    assert_nothing_left(&sandbox, &worker).await;
}

#[tokio::test]
async fn an_ffmpeg_that_does_not_listen_is_killed_with_its_children() {
    let sandbox = Sandbox::new();
    let (worker, plane) = with_ffmpeg(&sandbox, "trap '' TERM\nsleep 600 &\nsleep 600", LONG).await;
    let id = plane.accepted(&request(&sandbox)).await;
    until("ffmpeg and its child run", async || {
        sandbox.tools().iter().filter(|tool| tool.args.first().is_some_and(|name| name == "sleep")).count() == 2
    })
    .await;
    plane.cancel(&id).await;
    assert_eq!(plane.events(&id).await.last().await["status"], "JOB_STATUS_CANCELLED");
    assert_nothing_left(&sandbox, &worker).await;
}

#[tokio::test]
async fn an_ffmpeg_that_gives_up_is_quoted() {
    let sandbox = Sandbox::new();
    let (worker, plane) = with_ffmpeg(&sandbox, "echo 'Conversion failed because of the moon' >&2\nexit 1", LONG).await;
    let error = plane.failed(&request(&sandbox)).await;
    assert!(error.starts_with("encoding failed: ") && error.contains("because of the moon"), "{error}");
    assert_nothing_left(&sandbox, &worker).await;
}

#[tokio::test]
async fn an_ffmpeg_that_lies_about_its_success_fails_validation() {
    let sandbox = Sandbox::new();
    let (worker, plane) = with_ffmpeg(&sandbox, "for last; do :; done\n: > \"$last\"", LONG).await;
    let error = plane.failed(&request(&sandbox)).await;
    assert!(error.starts_with("validation failed: ") && error.contains("FILE_EMPTY"), "{error}");
    assert_nothing_left(&sandbox, &worker).await;
}
