//! Several control planes on one PostgreSQL.

use e2e::{Postgres, Sandbox, clips, job};

use super::{attempts, encoder};

#[tokio::test]
async fn the_jobs_of_a_control_plane_that_was_killed_are_finished_by_the_other() {
    let sandbox = Sandbox::new();
    let database = Postgres::shared().await.database();
    let worker = sandbox.worker().env("FFMPEG_PATH", &sandbox.slow_ffmpeg().display()).start().await;
    let plane = || {
        let plane = sandbox.plane(&[worker.address()]).env("DATABASE_URL", &database);
        plane.env("MAX_QUEUED_JOBS", "10").env("JOB_MAX_ATTEMPTS", "3").start()
    };
    let mut first = plane().await;
    let input = sandbox.input(&clips::long());
    let running = first.accepted(&job(&input, "480p_h264", "local", "a.mp4")).await;
    first.events(&running).await.encoding().await;
    let ffmpeg = encoder(&sandbox).pid;
    let second = plane().await;
    // The stream may be opened on any of them.
    let mut events = second.events(&running).await;
    events.encoding().await;
    first.daemon.crash().await;
    let last = events.last().await;
    assert_eq!((last["status"].as_str(), last["attempt"].as_u64()), (Some("JOB_STATUS_COMPLETED"), Some(1)), "{last}");
    assert!(!sandbox.tools().iter().any(|tool| tool.pid == ffmpeg));
    let job = second.job(&running).await;
    assert_eq!(attempts(&job).len(), 1, "no other attempt was begun: {job}");
}

#[tokio::test]
async fn a_job_that_waits_is_started_by_whoever_has_room() {
    let sandbox = Sandbox::new();
    let database = Postgres::shared().await.database();
    let worker = sandbox.worker().env("MAX_CONCURRENT_JOBS", "1").start().await;
    let plane =
        || sandbox.plane(&[worker.address()]).env("DATABASE_URL", &database).env("MAX_QUEUED_JOBS", "10").start();
    let (first, second) = (plane().await, plane().await);
    let input = sandbox.input(&clips::flash());
    let mut ids = Vec::new();
    for (number, plane) in [&first, &second, &first, &second].into_iter().enumerate() {
        ids.push(plane.accepted(&job(&input, "480p_h264", "local", &format!("{number}.mp4"))).await);
    }
    for id in ids {
        let (one, other) = (first.events(&id).await.last().await, second.events(&id).await.last().await);
        assert_eq!((one["status"].as_str(), &one), (Some("JOB_STATUS_COMPLETED"), &other));
    }
}
