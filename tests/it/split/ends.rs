//! What is left of split jobs when they end, and what proves them.

use e2e::{
    Sandbox,
    s3::{ACCESS_KEY, SECRET_KEY},
    until,
};
use reqwest::StatusCode;

use super::{job, nothing_hidden, plane, tasks, ten_seconds};

#[tokio::test]
async fn a_completed_job_leaves_its_output_and_a_certificate() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let plane = plane(&sandbox, &[&worker]).await;
    let id = plane.accepted(&job(&sandbox.input(&ten_seconds()), "480p_h264", "a.mp4")).await;
    let path = format!("/api/v1/jobs/{id}/certificate");
    assert_eq!(plane.get(&path).await.0, StatusCode::NOT_FOUND, "not before it has completed");
    let last = plane.events(&id).await.last().await;
    assert_eq!(last["status"], "JOB_STATUS_COMPLETED", "{last}");
    nothing_hidden(&sandbox).await;
    let (status, certificate) = plane.get(&path).await;
    assert_eq!(status, StatusCode::OK, "{certificate}");
    let rendition = &certificate["renditions"][0];
    assert_eq!((&rendition["frames_expected"], &rendition["frames_found"]), (&250.into(), &250.into()));
    let file = std::fs::read(sandbox.output_dir().join("a.mp4")).expect("the output");
    assert_eq!(certificate["files"][0]["size"], file.len());
    assert_eq!(certificate["files"][0]["sha256"].as_str().map(str::len), Some(64));
    assert!(certificate["machine_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{certificate}");
}

#[tokio::test]
async fn the_logs_tell_which_job_a_task_is_of() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let plane = plane(&sandbox, &[&worker]).await;
    let id = plane.accepted(&job(&sandbox.input(&ten_seconds()), "480p_h264", "a.mp4")).await;
    let last = plane.events(&id).await.last().await;
    assert_eq!(last["status"], "JOB_STATUS_COMPLETED", "{last}");
    nothing_hidden(&sandbox).await;
    let (planes, workers) = (plane.daemon.log(), worker.daemon.log());
    let about = |log: &str, event: &str| {
        log.lines().filter(|line| line.contains(event) && line.contains("job.parent=") && line.contains(&id)).count()
    };
    assert!(about(&planes, "job.task=\"chunk 1\"") == 1 && about(&planes, "attempt ended") > 3, "{planes}");
    assert!(about(&workers, "job started") > 3 && about(&workers, "job completed") > 3, "{workers}");
}

#[tokio::test]
async fn a_cancelled_job_leaves_nothing() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let plane = plane(&sandbox, &[&worker]).await;
    let id = plane.accepted(&job(&sandbox.input(&ten_seconds()), "720p_h264", "a.mp4")).await;
    let chunk = async || {
        let job = plane.job(&id).await;
        job["tasks"].is_array() && tasks(&job, "chunk").iter().any(|task| task["status"] == "JOB_STATUS_COMPLETED")
    };
    until("a chunk is done", chunk).await;
    assert_eq!(plane.cancel(&id).await.0, StatusCode::ACCEPTED);
    let last = plane.events(&id).await.last().await;
    assert_eq!(last["status"], "JOB_STATUS_CANCELLED", "{last}");
    nothing_hidden(&sandbox).await;
    sandbox.clean().await;
    assert_eq!(sandbox.outputs(), [""; 0]);
}

#[tokio::test]
async fn a_job_that_is_split_over_s3_leaves_only_its_output() {
    let sandbox = Sandbox::new();
    let s3 = sandbox.s3().await;
    let worker = || sandbox.worker().s3(&s3.endpoint(), ACCESS_KEY, SECRET_KEY).start();
    let workers = [worker().await, worker().await];
    let plane = plane(&sandbox, &workers.each_ref()).await;
    let job = e2e::job(&sandbox.input(&ten_seconds()), "480p_h264", "s3", "a.mp4");
    plane.completed(&job).await;
    until("the intermediates are removed", async || s3.keys().await == ["a.mp4"]).await;
    assert_eq!(s3.unfinished(), [""; 0]);
}
