//! Workers that are paused in the middle of publishing and wake up after the end of the lease.

use std::time::Duration;

use e2e::{Gate, Sandbox, s3, until};
use nix::sys::signal::Signal;
use proto::v1::FailureKind;

use super::*;

/// What passes before the network stands still: more than a request's head, less than a part.
const SOME: u64 = 1024 * 1024;

/// How long a lease lasts here.
const LEASE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_worker_that_slept_through_the_end_of_its_lease_publishes_nothing() {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let gate = Gate::before(server.daemon.address()).await;
    let ffmpeg = sandbox.copying_ffmpeg(&clips::noise());
    let worker = sandbox
        .worker()
        .s3(&format!("http://{}", gate.address()), s3::ACCESS_KEY, s3::SECRET_KEY)
        .env("FFMPEG_PATH", &ffmpeg.display())
        .env("VALIDATION_LEVEL", "minimal")
        .env("ORPHAN_GRACE", &LEASE.as_secs())
        .start()
        .await;
    let output = OutputConfig { storage: "s3".into(), path: "large.mp4".into(), ..OutputConfig::default() };
    let job = JobRequest { output: Some(output), ..request(sandbox.input(&clips::noise()), 1) };
    gate.hold_after(SOME);
    let events = submit(&worker, job).await;
    gate.holding().await;
    worker.daemon.signal(Signal::SIGSTOP);
    // The clock of the lease runs on.
    tokio::time::sleep(LEASE).await;
    gate.open();
    worker.daemon.signal(Signal::SIGCONT);
    let last = last(events).await;
    assert_eq!((last.status(), last.failure_kind()), (JobStatus::Failed, FailureKind::HandedBack), "{last:?}");
    assert_eq!(server.keys().await, [""; 0]);
    until("its upload is aborted", async || server.unfinished().is_empty()).await;
    sandbox.clean().await;
}

#[tokio::test]
async fn the_next_attempt_does_not_need_the_folder_of_one_that_is_paused() {
    let sandbox = Sandbox::new();
    let paused = sandbox.worker().start().await;
    let mut events = submit(&paused, half_a_minute(&sandbox, 1)).await;
    encoding(&mut events).await;
    paused.daemon.signal(Signal::SIGSTOP);
    // Both have the same `WORK_DIR`.
    let other = sandbox.worker().start().await;
    let last = last(submit(&other, flash(&sandbox, 2)).await).await;
    assert_eq!(last.status(), JobStatus::Completed, "{last:?}");
    paused.daemon.signal(Signal::SIGCONT);
}
