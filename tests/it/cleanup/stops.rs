//! Jobs that are cancelled, and processes that are stopped or killed under them.

use e2e::{Daemon, Events, Plane, Sandbox, Worker, clips, job};
use nix::sys::signal::Signal;
use rstest::rstest;
use serde_json::Value;

/// A worker that encodes no faster than its input plays, under a control plane, and a job of half a minute that is
/// being encoded.
async fn encoding(sandbox: &Sandbox, settings: &[(&str, &str)]) -> (Worker, Plane, String, Events) {
    let ffmpeg = sandbox.slow_ffmpeg();
    let builder = sandbox.worker().env("FFMPEG_PATH", &ffmpeg.display());
    let builder = settings.iter().fold(builder, |builder, (name, value)| builder.env(name, *value));
    let worker = builder.start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let id = plane.accepted(&half_a_minute(sandbox)).await;
    let mut events = plane.events(&id).await;
    events.encoding().await;
    assert!(sandbox.tools().iter().any(|tool| tool.program == "ffmpeg"), "{:?}", sandbox.tools());
    (worker, plane, id, events)
}

fn half_a_minute(sandbox: &Sandbox) -> Value {
    job(&sandbox.input(&clips::long()), "480p_h264", "local", "out/video.mp4")
}

/// The job failed, and its last event says so in a sentence that holds `cause`.
fn assert_failed(last: &Value, cause: &str) {
    assert_eq!(last["status"], "JOB_STATUS_FAILED", "{last}");
    assert!(last["error"].as_str().is_some_and(|error| error.contains(cause)), "{last}");
}

/// Listens until the worker has given the job back because it is stopping.
async fn handed_back(events: &mut Events) {
    let waits = events.until("JOB_STATUS_QUEUED").await;
    let message = waits["message"].as_str().expect("a message");
    assert!(message.contains("was handed back") && message.ends_with("the worker is stopping"), "{waits}");
}

async fn assert_nothing_left(sandbox: &Sandbox) {
    sandbox.clean().await;
    assert_eq!(sandbox.outputs(), [""; 0]);
}

#[tokio::test]
async fn nothing_is_left_of_a_cancelled_job() {
    let sandbox = Sandbox::new();
    let (worker, plane, id, events) = encoding(&sandbox, &[]).await;
    plane.cancel(&id).await;
    assert_eq!(events.last().await["status"], "JOB_STATUS_CANCELLED");
    // All of it is gone before the last event is told.
    assert_eq!(worker.status().await.current_jobs, 0);
    assert!(sandbox.tools().is_empty(), "{:?}", sandbox.tools());
    assert_nothing_left(&sandbox).await;
}

#[tokio::test]
async fn a_job_that_does_not_end_within_the_grace_of_a_stop_is_handed_on() {
    let sandbox = Sandbox::new();
    let slow = sandbox.worker().env("FFMPEG_PATH", &sandbox.slow_ffmpeg().display()).env("SHUTDOWN_GRACE", "1");
    let mut first = slow.start().await;
    let (second, port) = sandbox.worker().launch();
    let plane = sandbox.plane(&[first.address(), port.address()]).start().await;
    let id = plane.accepted(&half_a_minute(&sandbox)).await;
    let mut events = plane.events(&id).await;
    events.encoding().await;
    first.daemon.signal(Signal::SIGTERM);
    handed_back(&mut events).await;
    assert!(first.daemon.exited().await.success());
    sandbox.clean().await;
    assert_eq!(sandbox.outputs(), [""; 0]);
    let second = Daemon::start(second, port).await;
    assert_eq!(events.last().await["status"], "JOB_STATUS_COMPLETED", "it did not count as a failure");
    let job = plane.job(&id).await;
    let attempts = job["attempts"].as_array().expect("attempts").iter();
    let attempts: Vec<_> = attempts.map(|attempt| (attempt["outcome"].as_str(), attempt["worker"].as_str())).collect();
    let workers = [first.address().to_string(), second.address().to_string()];
    let outcomes = [Some("handed_back"), Some("completed")];
    assert_eq!(attempts, [(outcomes[0], Some(&*workers[0])), (outcomes[1], Some(&*workers[1]))]);
    sandbox.clean().await;
    assert_eq!(sandbox.outputs(), ["out/video.mp4"]);
}

#[tokio::test]
async fn a_job_that_ends_within_the_grace_of_a_stop_completes() {
    let sandbox = Sandbox::new();
    let ffmpeg = sandbox.slow_ffmpeg();
    let mut worker = sandbox.worker().env("FFMPEG_PATH", &ffmpeg.display()).env("SHUTDOWN_GRACE", "60").start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let job = job(&sandbox.input(&clips::talking("160x90", 3)), "480p_h264", "local", "video.mp4");
    let id = plane.accepted(&job).await;
    let mut events = plane.events(&id).await;
    events.encoding().await;
    worker.daemon.signal(Signal::SIGTERM);
    // From now on it is another worker's turn.
    let mut refusal = None;
    e2e::until("the worker refuses jobs", async || {
        refusal = Some(plane.post(&job).await).filter(|(status, _)| *status == 503);
        refusal.is_some()
    })
    .await;
    assert_eq!(events.last().await["status"], "JOB_STATUS_COMPLETED");
    assert!(worker.daemon.exited().await.success());
    assert_eq!(sandbox.outputs(), ["video.mp4"]);
    sandbox.clean().await;
}

#[tokio::test]
async fn a_second_signal_ends_a_worker_at_once() {
    let sandbox = Sandbox::new();
    let (mut worker, plane, id, mut events) = encoding(&sandbox, &[("SHUTDOWN_GRACE", "1h")]).await;
    worker.daemon.signal(Signal::SIGTERM);
    e2e::until("the first signal is heard", async || worker.daemon.log().contains("received SIGTERM")).await;
    worker.daemon.signal(Signal::SIGINT);
    handed_back(&mut events).await;
    worker.daemon.exited().await;
    assert_nothing_left(&sandbox).await;
    // It waits for another worker, but not for ever: its client is asked.
    plane.cancel(&id).await;
    assert_eq!(events.last().await["status"], "JOB_STATUS_CANCELLED");
}

#[tokio::test]
async fn nothing_is_left_after_a_worker_was_killed_and_started_again() {
    let sandbox = Sandbox::new();
    let (mut worker, plane, _, events) = encoding(&sandbox, &[]).await;
    worker.daemon.crash().await;
    e2e::until("ffmpeg is gone", async || sandbox.tools().is_empty()).await;
    assert_eq!(sandbox.outputs(), [""; 0]);
    // Only now is it certain that the job's worker is gone for good.
    worker.daemon.restart().await;
    assert_failed(&events.last().await, "encoding failed: worker lost: ");
    assert_nothing_left(&sandbox).await;
    assert_eq!(worker.status().await.current_jobs, 0);
    plane.completed(&job(&sandbox.input(&clips::flash()), "480p_h264", "local", "video.mp4")).await;
}

#[tokio::test]
async fn an_ffmpeg_that_never_writes_dies_with_its_worker() {
    let sandbox = Sandbox::new();
    // Nothing but the kernel ends it: it would not notice that nobody reads what it says.
    let ffmpeg = sandbox.stuck_ffmpeg();
    let mut worker = sandbox.worker().env("FFMPEG_PATH", &ffmpeg.display()).start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    plane.accepted(&half_a_minute(&sandbox)).await;
    e2e::until("it runs", async || sandbox.tools().iter().any(|tool| tool.program == "sleep")).await;
    worker.daemon.crash().await;
    e2e::until("it is gone", async || sandbox.tools().is_empty()).await;
}

#[rstest]
#[case::killed(Signal::SIGKILL)]
#[case::stopped(Signal::SIGTERM)]
#[tokio::test]
async fn a_worker_stops_the_jobs_of_a_control_plane_that_does_not_come_back(#[case] signal: Signal) {
    let sandbox = Sandbox::new();
    let settings = [("DISABLE_AUTO_SHUTDOWN", "false"), ("ORPHAN_GRACE", "3")];
    let (mut worker, mut plane, ..) = encoding(&sandbox, &settings).await;
    plane.daemon.signal(signal);
    let status = plane.daemon.exited().await;
    assert_eq!(status.success(), signal == Signal::SIGTERM, "{status}");
    assert_eq!(worker.status().await.current_jobs, 1, "it goes on for a while");
    assert!(worker.daemon.exited().await.success(), "an idle worker exits");
    assert!(worker.daemon.log().contains("reason=Lapsed"), "{}", worker.daemon.log());
    assert_nothing_left(&sandbox).await;
}
