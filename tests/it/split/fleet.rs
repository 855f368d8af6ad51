//! The same bytes on any number of workers.

use e2e::Sandbox;
use rstest::rstest;

use super::{contents, job, nothing_hidden, plane, tasks, ten_seconds};

#[rstest]
#[case::file("480p_h264", "a.mp4")]
#[case::ladder("hls_720p_abr", "a")]
#[tokio::test]
async fn one_worker_and_three_that_are_killed_make_the_same_bytes(#[case] preset: &str, #[case] path: &str) {
    let clip = e2e::clips::talking("160x90", 26);
    let alone = {
        let sandbox = Sandbox::new();
        let worker = sandbox.worker().start().await;
        let plane = plane(&sandbox, &[&worker]).await;
        plane.completed(&job(&sandbox.input(&clip), preset, path)).await;
        nothing_hidden(&sandbox).await;
        sandbox.clean().await;
        contents(&sandbox.output_dir())
    };
    let sandbox = Sandbox::new();
    let mut workers = [sandbox.worker().start().await, sandbox.worker().start().await, sandbox.worker().start().await];
    let plane = plane(&sandbox, &workers.each_ref()).await;
    let id = plane.accepted(&job(&sandbox.input(&clip), preset, path)).await;
    let mut events = plane.events(&id).await;
    // Some chunks are done, others are not.
    events.encoding().await;
    for worker in &mut workers[..2] {
        worker.daemon.crash().await;
        worker.daemon.restart().await;
    }
    let last = events.last().await;
    assert_eq!(last["status"], "JOB_STATUS_COMPLETED", "{last}");
    let there = plane.job(&id).await;
    let chunks = tasks(&there, "chunk");
    assert!(chunks.iter().all(|task| task["status"] == "JOB_STATUS_COMPLETED"), "{there}");
    // A job is complete before its parts are removed.
    nothing_hidden(&sandbox).await;
    sandbox.clean().await;
    let together = contents(&sandbox.output_dir());
    let names = |all: &[(String, Vec<u8>)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&together), names(&alone));
    assert!(together == alone, "the bytes differ");
}

#[tokio::test]
async fn finished_chunks_are_not_encoded_again_after_the_control_plane_is_killed() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let mut plane = plane(&sandbox, &[&worker]).await;
    let id = plane.accepted(&job(&sandbox.input(&ten_seconds()), "720p_h264", "a.mp4")).await;
    let done = |job: &serde_json::Value| -> Vec<serde_json::Value> {
        let chunks = job["tasks"].as_array().into_iter().flatten().filter(|task| task["kind"] == "chunk");
        chunks.filter(|task| task["status"] == "JOB_STATUS_COMPLETED").cloned().collect()
    };
    let mut before = Vec::new();
    e2e::until("a chunk is done", async || {
        before = done(&plane.job(&id).await);
        !before.is_empty()
    })
    .await;
    plane.daemon.crash().await;
    plane.daemon.restart().await;
    let last = plane.events(&id).await.last().await;
    assert_eq!(last["status"], "JOB_STATUS_COMPLETED", "{last}");
    // The one that was being placed may have been tried again; those that were done are as they were.
    let after = done(&plane.job(&id).await);
    assert!(before.iter().all(|task| after.contains(task)), "{before:?} {after:?}");
    nothing_hidden(&sandbox).await;
    sandbox.clean().await;
    assert_eq!(sandbox.outputs(), ["a.mp4"]);
}
