//! Listening again, collecting results, and watching the load.

use e2e::{Sandbox, until};
use nix::sys::signal::Signal;
use proto::v1::FailureKind;

use super::*;

const WHOLE: [JobStatus; 4] = [JobStatus::Queued, JobStatus::Processing, JobStatus::Uploading, JobStatus::Completed];

#[tokio::test]
async fn an_encode_goes_on_without_its_stream_and_can_be_listened_to_again() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().env("FFMPEG_PATH", &sandbox.slow_ffmpeg().display()).start().await;
    let job = request(sandbox.input(&clips::talking("160x90", 4)), 1);
    let mut events = submit(&worker, job).await;
    let event = encoding(&mut events).await;
    assert!(event.speed.is_some() && event.eta_seconds.is_some(), "{event:?}");
    let before = encoders(&sandbox);
    drop(events);
    let (first, second) = (attach(&worker, 1).await.expect("known"), attach(&worker, 1).await.expect("known"));
    assert_eq!(encoders(&sandbox), before);
    let (first, second) = tokio::join!(rest(first), rest(second));
    assert_eq!((statuses(&first), statuses(&second)), (WHOLE.to_vec(), WHOLE.to_vec()));
    assert!(first[0].progress <= 0.0, "from the first event on");
    release(&worker, 1).await;
    sandbox.clean().await;
    assert_eq!(sandbox.outputs(), ["out/video.mp4"]);
}

#[tokio::test]
async fn a_result_is_kept_until_it_is_released() {
    let sandbox = Sandbox::new();
    let mut worker = sandbox.worker().without("DISABLE_AUTO_SHUTDOWN").start().await;
    drop(submit(&worker, flash(&sandbox, 1)).await);
    for _ in 0..2 {
        let events = rest(attach(&worker, 1).await.expect("known")).await;
        assert_eq!(statuses(&events), WHOLE);
    }
    assert!(is_unknown(&worker, 2).await);
    assert_eq!(worker.status().await.current_jobs, 0);
    release(&worker, 1).await;
    assert!(is_unknown(&worker, 1).await && !renew(&worker, worker.status().await.clock_ms).await);
    assert!(worker.daemon.exited().await.success(), "nothing is left to wait for");
    sandbox.clean().await;
    assert_eq!(sandbox.outputs(), ["out/video.mp4"]);
}

#[tokio::test]
async fn a_task_without_an_attempt_ends_with_its_stream() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().env("FFMPEG_PATH", &sandbox.slow_ffmpeg().display()).start().await;
    let mut events = submit(&worker, half_a_minute(&sandbox, 0)).await;
    encoding(&mut events).await;
    assert!(is_unknown(&worker, 0).await);
    drop(events);
    worker.running(0).await;
    sandbox.clean().await;
    assert_eq!(sandbox.outputs(), [""; 0]);
}

#[tokio::test]
async fn a_worker_that_stops_hands_its_tasks_back() {
    let sandbox = Sandbox::new();
    let ffmpeg = sandbox.slow_ffmpeg();
    let builder = sandbox.worker().env("FFMPEG_PATH", &ffmpeg.display()).env("SHUTDOWN_GRACE", "2");
    let mut worker = builder.start().await;
    let mut events = submit(&worker, half_a_minute(&sandbox, 1)).await;
    encoding(&mut events).await;
    worker.daemon.signal(Signal::SIGTERM);
    until("it takes no more jobs", async || worker.status().await.max_concurrent_jobs == 1).await;
    // It still answers those who have lost their stream.
    drop(events);
    let last = last(attach(&worker, 1).await.expect("known")).await;
    assert_eq!((last.status(), last.failure_kind()), (JobStatus::Failed, FailureKind::HandedBack), "{last:?}");
    assert_eq!(last.error, "encoding failed: the worker is stopping");
    assert!(worker.daemon.exited().await.success());
    sandbox.clean().await;
    assert_eq!(sandbox.outputs(), [""; 0]);
}

#[tokio::test]
async fn the_load_is_told_whenever_it_changes() {
    let sandbox = Sandbox::new();
    let mut worker = sandbox.worker().env("FFMPEG_PATH", &sandbox.slow_ffmpeg().display()).start().await;
    let mut load = worker.client().watch_status(StatusRequest {}).await.expect("an answer").into_inner();
    let mut now =
        async || load.message().await.expect("a whole stream").map(|now| (now.current_jobs, now.max_concurrent_jobs));
    assert_eq!(now().await, Some((0, 2)));
    let events = submit(&worker, half_a_minute(&sandbox, 0)).await;
    assert_eq!(now().await, Some((1, 2)));
    drop(events);
    assert_eq!(now().await, Some((0, 2)));
    worker.daemon.signal(Signal::SIGTERM);
    assert_eq!((now().await, now().await), (Some((0, 0)), None));
    assert!(worker.daemon.exited().await.success());
}
