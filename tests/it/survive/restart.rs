//! A control plane that is killed and started again.

use e2e::{Sandbox, clips, job};

use super::{attempts, encoder};

#[tokio::test]
async fn an_encode_outlives_its_control_plane_and_listeners_miss_nothing() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().env("FFMPEG_PATH", &sandbox.slow_ffmpeg().display()).start().await;
    let mut plane = sandbox.plane(&[worker.address()]).start().await;
    let id = plane.accepted(&job(&sandbox.input(&clips::short()), "480p_h264", "local", "a.mp4")).await;
    let mut before = plane.events(&id).await;
    let halfway = before.encoding().await;
    let ffmpeg = encoder(&sandbox).pid;
    plane.daemon.crash().await;
    assert_eq!(encoder(&sandbox).pid, ffmpeg);
    plane.daemon.restart().await;
    let mut after = plane.events_after(&id, &before.last_id).await;
    let next = after.next().await.expect("the stream goes on");
    assert!(next["progress"].as_f64() >= halfway["progress"].as_f64(), "{halfway} {next}");
    assert_ne!(next["status"], "JOB_STATUS_QUEUED", "that was told before");
    assert_eq!(encoder(&sandbox).pid, ffmpeg, "the encode was not started again");
    let last = after.last().await;
    assert_eq!((last["status"].as_str(), last["attempt"].as_u64()), (Some("JOB_STATUS_COMPLETED"), Some(1)));
    assert_eq!(attempts(&plane.job(&id).await).len(), 1);
    assert_eq!(sandbox.outputs(), ["a.mp4"]);
}

#[tokio::test]
async fn a_control_plane_that_is_stopped_leaves_its_jobs_running() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().env("FFMPEG_PATH", &sandbox.slow_ffmpeg().display()).start().await;
    let mut plane = sandbox.plane(&[worker.address()]).start().await;
    let id = plane.accepted(&job(&sandbox.input(&clips::short()), "480p_h264", "local", "a.mp4")).await;
    let mut events = plane.events(&id).await;
    events.encoding().await;
    let ffmpeg = encoder(&sandbox).pid;
    plane.daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(plane.daemon.exited().await.success());
    assert_eq!(encoder(&sandbox).pid, ffmpeg);
    plane.daemon.restart().await;
    let last = plane.events_after(&id, &events.last_id).await.last().await;
    assert_eq!((last["status"].as_str(), last["attempt"].as_u64()), (Some("JOB_STATUS_COMPLETED"), Some(1)));
}

#[tokio::test]
async fn a_worker_that_is_killed_and_started_again_gets_its_job_back() {
    let sandbox = Sandbox::new();
    let mut worker = sandbox.worker().start().await;
    let plane = sandbox.plane(&[worker.address()]).env("JOB_MAX_ATTEMPTS", "3").start().await;
    let id = plane.accepted(&job(&sandbox.input(&clips::long()), "480p_h264", "local", "a.mp4")).await;
    let mut events = plane.events(&id).await;
    events.encoding().await;
    worker.daemon.crash().await;
    worker.daemon.restart().await;
    let last = events.last().await;
    assert_eq!((last["status"].as_str(), last["attempt"].as_u64()), (Some("JOB_STATUS_COMPLETED"), Some(2)));
    let job = plane.job(&id).await;
    let outcomes: Vec<_> = attempts(&job).iter().map(|attempt| attempt["outcome"].as_str()).collect();
    assert_eq!(outcomes, [Some("lost"), Some("completed")]);
    sandbox.clean().await;
}

/// Otherwise a worker that is set up badly would end each job that it gets, for good.
#[tokio::test]
async fn a_job_that_meets_an_ffmpeg_without_an_option_completes_elsewhere() {
    let sandbox = Sandbox::new();
    let lacking = sandbox.script("lacking-ffmpeg", "exec ffmpeg -no-such-option 1 \"$@\"");
    let bad = sandbox.worker().env("FFMPEG_PATH", &lacking.display()).start().await;
    let good = sandbox.worker().start().await;
    let plane = sandbox.plane(&[bad.address(), good.address()]).env("JOB_MAX_ATTEMPTS", "2").start().await;
    let mut outcomes = Vec::new();
    // The workers take turns: one of two begins at the bad one, at least.
    for path in ["a.mp4", "b.mp4"] {
        let id = plane.accepted(&job(&sandbox.input(&clips::short()), "480p_h264", "local", path)).await;
        let last = plane.events(&id).await.last().await;
        assert_eq!(last["status"], "JOB_STATUS_COMPLETED", "{last}");
        let job = plane.job(&id).await;
        outcomes.extend(attempts(&job).iter().map(|attempt| attempt["outcome"].clone()));
    }
    assert!(outcomes.contains(&"failed".into()), "{outcomes:?}");
    sandbox.clean().await;
}

/// Otherwise a worker that is set up badly, and so always has room, would end one job after the other in seconds.
#[tokio::test]
async fn a_job_that_has_met_a_bad_ffmpeg_waits_for_a_worker_that_is_busy() {
    let sandbox = Sandbox::new();
    let lacking = sandbox.script("lacking-ffmpeg", "exec ffmpeg -no-such-option 1 \"$@\"");
    let bad = sandbox.worker().env("FFMPEG_PATH", &lacking.display()).start().await;
    let slow = sandbox.slow_ffmpeg();
    let good = sandbox.worker().env("FFMPEG_PATH", &slow.display()).env("MAX_CONCURRENT_JOBS", "1").start().await;
    let plane = sandbox.plane(&[bad.address(), good.address()]);
    let plane = plane.env("JOB_MAX_ATTEMPTS", "2").env("MAX_QUEUED_JOBS", "9").start().await;
    // Takes as long as it plays: longer than all attempts at the bad one would.
    let input = sandbox.input(&clips::talking("160x90", 6));
    let mut ids = Vec::new();
    for path in ["a.mp4", "b.mp4"] {
        let id = plane.accepted(&job(&input, "480p_h264", "local", path)).await;
        if ids.is_empty() {
            plane.events(&id).await.encoding().await;
        }
        ids.push(id);
    }
    for id in &ids {
        let last = plane.events(id).await.last().await;
        assert_eq!(last["status"], "JOB_STATUS_COMPLETED", "{last}");
    }
    let job = plane.job(&ids[1]).await;
    let outcomes: Vec<_> = attempts(&job).iter().map(|attempt| attempt["outcome"].as_str()).collect();
    assert_eq!(outcomes, [Some("failed"), Some("completed")]);
    sandbox.clean().await;
}
