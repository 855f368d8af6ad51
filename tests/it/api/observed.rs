//! What the control plane tells of jobs and workers.

use e2e::{Port, Sandbox, clips, job};
use serde_json::json;

#[tokio::test]
async fn metrics_move_with_a_real_job() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    plane.completed(&job(&sandbox.input(&clips::flash()), "480p_h264", "local", "video.mp4")).await;
    plane.metric("flux_jobs_total{outcome=\"completed\"} 1").await;
    plane.metric("flux_attempts_total{outcome=\"completed\"} 1").await;
    plane.metric("flux_job_duration_seconds_count{preset=\"480p_h264\"} 1").await;
    plane.metric("flux_worker_selection_seconds_count 1").await;
    plane.metric("flux_jobs_in_flight 0").await;
    plane.metric("flux_sse_listeners 0").await;
    plane.metric(&format!("flux_worker_up{{worker=\"{}\"}} 1", worker.address())).await;
    plane.metric(&format!("flux_worker_slots{{state=\"free\",worker=\"{}\"}} 2", worker.address())).await;
    plane.failed(&job(&sandbox.input(&clips::flash()), "480p_h264", "local", "video.mp4/below.mp4")).await;
    plane.metric("flux_jobs_total{outcome=\"failed\"} 1").await;
}

#[tokio::test]
async fn every_configured_worker_is_shown_reachable_or_not() {
    let sandbox = Sandbox::new();
    let nobody = Port::reserve();
    let ffmpeg = sandbox.stuck_ffmpeg();
    let worker = sandbox.worker().env("WORKER_ID", "first").env("FFMPEG_PATH", &ffmpeg.display()).start().await;
    let plane = sandbox.plane(&[worker.address(), nobody.address()]).start().await;
    let id = plane.accepted(&job(&sandbox.input(&clips::short()), "480p_h264", "local", "video.mp4")).await;
    let (_, answer) = plane.get("/api/v1/workers/status").await;
    let [there, dead] = answer["workers"].as_array().expect("a list").as_slice() else { panic!("{answer}") };
    let expected = json!({
        "address": worker.address().to_string(),
        "reachable": true,
        "worker_id": "first",
        "version": service::VERSION,
        "current_jobs": 1,
        "max_concurrent_jobs": 2,
        "active_job_ids": [id],
    });
    assert_eq!(*there, expected);
    assert_eq!((&dead["address"], &dead["reachable"]), (&json!(nobody.address().to_string()), &json!(false)));
    assert!(dead["error"].as_str().is_some_and(|error| error.contains("cannot connect")), "{dead}");
}
