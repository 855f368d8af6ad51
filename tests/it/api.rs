//! The REST interface over a real worker.

use e2e::{Sandbox, clips, job, statuses};

#[tokio::test]
async fn a_job_goes_through_every_status_in_order() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let id = plane.accepted(&job(&sandbox.input(&clips::short()), "480p_h264", "local", "a/video.mp4")).await;
    let events = plane.events(&id).await.rest().await;
    let expected = ["JOB_STATUS_QUEUED", "JOB_STATUS_PROCESSING", "JOB_STATUS_UPLOADING", "JOB_STATUS_COMPLETED"];
    assert_eq!(statuses(&events), expected, "{events:?}");
    assert_eq!(sandbox.outputs(), ["a/video.mp4"]);
    sandbox.clean().await;
}
