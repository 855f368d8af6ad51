//! Leases that nobody renews.

use std::time::Duration;

use e2e::{Sandbox, until};
use proto::v1::FailureKind;

use super::*;

#[tokio::test]
async fn a_task_that_nobody_renews_is_stopped_and_its_worker_exits() {
    let sandbox = Sandbox::new();
    let ffmpeg = sandbox.slow_ffmpeg();
    let builder = sandbox.worker().without("DISABLE_AUTO_SHUTDOWN").env("ORPHAN_GRACE", "2");
    let mut worker = builder.env("FFMPEG_PATH", &ffmpeg.display()).start().await;
    let mut events = submit(&worker, half_a_minute(&sandbox, 1)).await;
    encoding(&mut events).await;
    let last = last(events).await;
    assert_eq!((last.status(), last.failure_kind()), (JobStatus::Failed, FailureKind::HandedBack), "{last:?}");
    assert_eq!(last.error, "encoding failed: nobody has renewed the lease of the task");
    assert!(encoders(&sandbox).is_empty() && is_unknown(&worker, 1).await);
    assert!(worker.daemon.exited().await.success());
    sandbox.clean().await;
    assert_eq!(sandbox.outputs(), [""; 0]);
}

#[tokio::test]
async fn a_task_that_is_renewed_outlives_its_first_lease() {
    let sandbox = Sandbox::new();
    let builder = sandbox.worker().env("ORPHAN_GRACE", "3").env("FFMPEG_PATH", &sandbox.slow_ffmpeg().display());
    let worker = builder.start().await;
    let job = request(sandbox.input(&clips::talking("160x90", 6)), 1);
    let mut events = submit(&worker, job).await;
    let renewals = async {
        loop {
            let clock_ms = worker.status().await.clock_ms;
            renew(&worker, clock_ms).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let end = async {
        loop {
            match next(&mut events).await {
                Some(event) if event.status() == JobStatus::Completed => return,
                Some(event) => assert_ne!(event.status(), JobStatus::Failed, "{event:?}"),
                None => panic!("the stream ended before the job"),
            }
        }
    };
    tokio::select! {
        () = renewals => {}
        () = end => {}
    }
    assert!(renew(&worker, worker.status().await.clock_ms).await, "its result is kept");
}

#[tokio::test]
async fn a_result_that_nobody_collects_is_forgotten() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().env("ORPHAN_GRACE", "3").start().await;
    let events = submit(&worker, flash(&sandbox, 1)).await;
    assert_eq!(last(events).await.status(), JobStatus::Completed);
    // Asking must not renew it.
    let ask = async || {
        let request = LeaseRequest { job_id: JOB.into(), attempt: 1, clock_ms: 0 };
        worker.client().renew_lease(request).await.expect("an answer").into_inner().known
    };
    until("the result is forgotten", async || !ask().await).await;
    assert_eq!(sandbox.outputs().last().map(String::as_str), Some("out/video.mp4"), "what is published stays");
}

#[tokio::test]
async fn a_request_that_was_held_up_for_too_long_begins_nothing() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().env("ORPHAN_GRACE", "1").start().await;
    let status = worker.status().await;
    assert_eq!((status.lease_ms, status.fence_ms), (1000, 3000));
    until("the lease would be over", async || worker.status().await.clock_ms > status.clock_ms + status.lease_ms).await;
    let request = JobRequest { clock_ms: status.clock_ms, ..flash(&sandbox, 1) };
    let refused = worker.client().submit_job(request).await.expect_err("it is late");
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(worker.status().await.current_jobs, 0);
}
