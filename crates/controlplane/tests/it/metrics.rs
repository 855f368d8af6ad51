//! Each metric moves when what it counts happens.

use proto::v1::JobStatus::Processing;

use crate::{
    plane::{Plane, good_job},
    stub::{Manners, Stub},
};

#[tokio::test]
async fn a_completed_job_is_counted_and_measured() {
    let mut worker = Stub::with_slots(2).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    let address = worker.address;
    plane.metric("flux_jobs_in_flight 1").await;
    plane.metric("flux_worker_selection_seconds_count 1").await;
    plane.metric(&format!("flux_worker_up{{worker=\"{address}\"}} 1")).await;
    plane.metric(&format!("flux_worker_slots{{state=\"busy\",worker=\"{address}\"}} 0")).await;
    plane.metric(&format!("flux_worker_slots{{state=\"free\",worker=\"{address}\"}} 2")).await;
    let listener = plane.events(&id).await;
    plane.metric("flux_sse_listeners 1").await;
    job.complete();
    listener.rest().await;
    plane.metric("flux_sse_listeners 0").await;
    plane.metric("flux_jobs_in_flight 0").await;
    plane.metric("flux_jobs_total{outcome=\"completed\"} 1").await;
    plane.metric("flux_attempts_total{outcome=\"completed\"} 1").await;
    plane.metric("flux_job_duration_seconds_count{preset=\"720p_h264\"} 1").await;
}

#[tokio::test]
async fn other_ends_are_counted_apart() {
    let mut worker = Stub::with_slots(9).await;
    let plane = Plane::over(&[worker.address]).await;
    plane.accepted().await;
    worker.job().await.fail("encoding failed: x");
    let id = plane.accepted().await;
    let job = worker.job().await;
    job.say(Processing, 0.0, "");
    plane.events(&id).await.until("JOB_STATUS_PROCESSING").await;
    job.leave();
    let id = plane.accepted().await;
    let job = worker.job().await;
    plane.delete(&format!("/api/v1/jobs/{id}")).await;
    job.say(proto::v1::JobStatus::Cancelled, 0.0, "");
    plane.metric("flux_jobs_total{outcome=\"failed\"} 2").await;
    plane.metric("flux_jobs_total{outcome=\"cancelled\"} 1").await;
    plane.metric("flux_attempts_total{outcome=\"failed\"} 1").await;
    plane.metric("flux_attempts_total{outcome=\"lost\"} 1").await;
    plane.metric("flux_attempts_total{outcome=\"cancelled\"} 1").await;
}

#[tokio::test]
async fn refusals_are_counted() {
    let boaster = Stub::start(Manners { boasts: true, ..Manners::default() }).await;
    let plane = Plane::over(&[boaster.address]).await;
    plane.post(&good_job()).await;
    plane.metric("flux_jobs_total{outcome=\"rejected\"} 1").await;
    plane.metric("flux_attempts_total{outcome=\"rejected\"} 1").await;
}

#[tokio::test]
async fn a_listener_that_goes_away_is_not_counted() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    let listener = plane.events(&id).await;
    plane.metric("flux_sse_listeners 1").await;
    drop(listener);
    job.say(Processing, 1.0, "");
    plane.metric("flux_sse_listeners 0").await;
}

#[tokio::test]
async fn every_metric_has_help() {
    let worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    plane.accepted().await;
    let text = plane.metrics().await;
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().expect("a name");
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
}
