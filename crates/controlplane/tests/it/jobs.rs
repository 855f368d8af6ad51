//! The way of a job when all goes well, and when the worker says that it does not.

use proto::v1::JobStatus::{Processing, Queued, Uploading};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    plane::{Plane, good_job, statuses},
    stub::Stub,
};

#[tokio::test]
async fn a_job_goes_all_the_way() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let (status, body) = plane.post(&good_job()).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let id = body["job_id"].as_str().expect("an id").to_owned();
    assert_eq!(body, json!({"job_id": id, "status": "accepted", "stream_url": format!("/api/v1/jobs/{id}/stream")}));
    let mut events = plane.events(&id).await;
    let job = worker.job().await;
    assert_eq!((job.request.job_id.as_str(), job.request.preset.as_str()), (id.as_str(), "720p_h264"));
    job.say(Queued, 0.0, "job queued");
    job.say(Processing, 0.0, "encoding");
    job.say(Processing, 45.2, "encoding");
    let mut seen = events.until("JOB_STATUS_PROCESSING").await;
    while seen["progress"] != 45.2 {
        seen = events.next().await.expect("the progress comes");
    }
    let half = plane.job(&id).await;
    assert_eq!((half["status"].as_str(), half["progress"].as_f64()), (Some("JOB_STATUS_PROCESSING"), Some(45.2)));
    assert_eq!(half["worker"], worker.address.to_string());
    job.say(Uploading, 100.0, "uploading");
    job.complete();
    let rest = events.rest().await;
    assert_eq!(statuses(&rest), ["JOB_STATUS_UPLOADING", "JOB_STATUS_COMPLETED"]);
    let last = rest.last().expect("the end");
    assert_eq!(last["output_url"], "s3://bucket/output/video.mp4");
    let done = plane.job(&id).await;
    assert_eq!((done["status"].as_str(), done["progress"].as_f64()), (Some("JOB_STATUS_COMPLETED"), Some(100.0)));
    for field in ["created_at", "started_at", "finished_at", "output_url"] {
        assert!(done[field].is_string(), "{field} in {done}");
    }
}

#[tokio::test]
async fn a_failure_is_told_in_the_workers_words() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    worker.job().await.fail("validation failed: HLS_SEGMENT_MISSING: a.ts");
    let events = plane.events(&id).await.rest().await;
    assert_eq!(statuses(&events), ["JOB_STATUS_QUEUED", "JOB_STATUS_FAILED"]);
    assert_eq!(events[1]["error"], "validation failed: HLS_SEGMENT_MISSING: a.ts");
    assert_eq!(plane.job(&id).await["error"], "validation failed: HLS_SEGMENT_MISSING: a.ts");
}

#[tokio::test]
async fn a_worker_may_refuse_the_request_for_good() {
    let worker = Stub::with_slots(1).await;
    let other = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address, other.address]).await;
    worker.change(|manners| manners.refusal = Some(tonic::Status::invalid_argument("no such codec")));
    let (status, body) = plane.post(&good_job()).await;
    assert_eq!((status, &body), (StatusCode::BAD_REQUEST, &json!({"error": "no such codec"})));
    assert_eq!(other.probes(), 0, "the next worker would refuse it too");
}

#[tokio::test]
async fn a_worker_that_is_not_set_up_for_a_job_leaves_it_to_the_next() {
    let refusal = || Some(tonic::Status::failed_precondition("no s3 here"));
    let (first, second) = (Stub::with_slots(1).await, Stub::with_slots(1).await);
    let plane = Plane::over(&[first.address, second.address]).await;
    first.change(|manners| manners.refusal = refusal());
    plane.accepted().await;
    // The one that could take it is full now: that may change.
    assert_eq!(plane.post(&good_job()).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let plane = Plane::over(&[first.address]).await;
    let (status, body) = plane.post(&good_job()).await;
    assert_eq!((status, body), (StatusCode::BAD_REQUEST, json!({"error": "no s3 here"})));
}

#[tokio::test]
async fn an_unknown_job_is_not_found() {
    let worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    for id in ["550e8400-e29b-41d4-a716-446655440000", "no-uuid", "%00"] {
        for path in [format!("/api/v1/jobs/{id}"), format!("/api/v1/jobs/{id}/stream")] {
            let (status, body) = plane.get(&path).await;
            assert_eq!((status, body), (StatusCode::NOT_FOUND, json!({"error": "job not found"})), "{path}");
        }
    }
}
