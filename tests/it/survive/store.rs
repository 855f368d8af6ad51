//! A store that goes away and comes back.

use e2e::{Postgres, Sandbox, clips, job, wait::until};
use reqwest::StatusCode;

#[tokio::test]
async fn nothing_is_accepted_without_the_store_and_what_runs_goes_on() {
    let sandbox = Sandbox::new();
    let server = Postgres::start().await;
    let worker = sandbox.worker().env("FFMPEG_PATH", &sandbox.slow_ffmpeg().display()).start().await;
    let plane = sandbox.plane(&[worker.address()]).env("DATABASE_URL", &server.database()).start().await;
    let input = sandbox.input(&clips::short());
    let id = plane.accepted(&job(&input, "480p_h264", "local", "a.mp4")).await;
    plane.events(&id).await.encoding().await;
    server.stop();
    let (status, body) = plane.post(&job(&input, "480p_h264", "local", "b.mp4")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert!(body["error"].as_str().is_some_and(|error| error.contains("store")), "{body}");
    let (status, body) = plane.get("/health").await;
    assert_eq!((status, body["status"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("unavailable")), "{body}");
    until("the output is published", async || sandbox.outputs() == ["a.mp4"]).await;
    server.restart().await;
    until("the end is written down", async || {
        let (status, job) = plane.get(&format!("/api/v1/jobs/{id}")).await;
        status == StatusCode::OK && job["status"] == "JOB_STATUS_COMPLETED"
    })
    .await;
    until("the control plane is well again", async || plane.get("/health").await.0 == StatusCode::OK).await;
    plane.completed(&job(&input, "480p_h264", "local", "c.mp4")).await;
}
