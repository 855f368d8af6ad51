//! What a control plane that is started again makes of what it finds.

use proto::v1::JobStatus::Processing;
use reqwest::StatusCode;
use service::lifecycle::Outcome;

use crate::{
    plane::{Plane, statuses, until},
    stub::{Manners, Stub},
};

/// A place for a store, and control planes over it.
struct Site {
    folder: tempfile::TempDir,
    worker: Stub,
}

impl Site {
    fn new(worker: Stub) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), worker }
    }

    async fn plane(&self) -> Plane {
        let database = controlplane::store::Database::parse("sqlite://flux.db", self.folder.path());
        Plane::start(&[self.worker.address], |config| {
            config.database = database.expect("a database");
            config.max_queued_jobs = 10;
            config.job_max_attempts = 3;
        })
        .await
    }
}

#[tokio::test]
async fn an_attempt_that_runs_is_attached_again() {
    let mut site = Site::new(Stub::with_leases(1).await);
    let mut plane = site.plane().await;
    let id = plane.accepted().await;
    let job = site.worker.job().await;
    job.say(Processing, 40.0, "encoding");
    plane.events(&id).await.until("JOB_STATUS_PROCESSING").await;
    plane.lifecycle.abort();
    plane.ended().await;
    job.dropped().await;
    let plane = site.plane().await;
    let mut events = plane.events(&id).await;
    job.say(Processing, 50.0, "encoding");
    while events.next().await.expect("the stream goes on")["progress"] != 50.0 {}
    job.complete();
    let done = events.until("JOB_STATUS_COMPLETED").await;
    assert_eq!(done["attempt"], 1);
    assert_eq!(site.worker.released().await, (id.clone(), 1));
    assert_eq!(site.worker.submissions(), 1);
    let all = plane.events(&id).await.rest().await;
    assert_eq!(statuses(&all), ["JOB_STATUS_QUEUED", "JOB_STATUS_PROCESSING", "JOB_STATUS_COMPLETED"]);
}

#[tokio::test]
async fn a_stop_leaves_attempts_with_a_lease_alone() {
    let mut site = Site::new(Stub::with_leases(1).await);
    let mut plane = site.plane().await;
    let id = plane.accepted().await;
    let job = site.worker.job().await;
    plane.lifecycle.stop();
    assert_eq!(plane.ended().await, Outcome::Clean, "it does not wait for the job");
    let plane = site.plane().await;
    job.complete();
    plane.events(&id).await.until("JOB_STATUS_COMPLETED").await;
    assert_eq!(site.worker.submissions(), 1);
}

#[tokio::test]
async fn an_attempt_that_nobody_knows_is_followed_by_another() {
    let mut site = Site::new(Stub::with_leases(1).await);
    let mut plane = site.plane().await;
    let id = plane.accepted().await;
    let job = site.worker.job().await;
    plane.lifecycle.abort();
    plane.ended().await;
    job.leave();
    let plane = site.plane().await;
    let again = site.worker.job().await;
    assert_eq!((again.request.job_id.as_str(), again.request.attempt), (id.as_str(), 2));
    again.complete();
    plane.events(&id).await.until("JOB_STATUS_COMPLETED").await;
}

#[tokio::test]
async fn an_attempt_on_a_worker_without_leases_ends_with_its_stream() {
    let mut site = Site::new(Stub::with_slots(1).await);
    let mut plane = site.plane().await;
    let id = plane.accepted().await;
    let job = site.worker.job().await;
    // Before its answer is heard, such an attempt has not begun.
    job.say(Processing, 0.0, "encoding");
    plane.events(&id).await.until("JOB_STATUS_PROCESSING").await;
    plane.lifecycle.abort();
    plane.ended().await;
    job.dropped().await;
    let _plane = site.plane().await;
    // The worker has not noticed yet: it is told, and waited for.
    assert_eq!(site.worker.cancelled().await, job.request.job_id);
    job.leave();
    assert_eq!(site.worker.job().await.request.attempt, 2);
}

#[tokio::test]
async fn a_cancellation_outlives_the_process() {
    let mut site = Site::new(Stub::with_leases(1).await);
    let mut plane = site.plane().await;
    let id = plane.accepted().await;
    let job = site.worker.job().await;
    let waiting = plane.accepted().await;
    site.worker.change(|manners| manners.is_paused = true);
    site.worker.cut();
    job.dropped().await;
    assert_eq!(plane.delete(&format!("/api/v1/jobs/{id}")).await.0, StatusCode::ACCEPTED);
    plane.lifecycle.abort();
    plane.ended().await;
    site.worker.change(|manners| manners.is_paused = false);
    let plane = site.plane().await;
    assert_eq!(site.worker.cancelled().await, id);
    job.confirm_cancel();
    plane.events(&id).await.until("JOB_STATUS_CANCELLED").await;
    assert_eq!(site.worker.job().await.request.job_id, waiting);
}

#[tokio::test]
async fn jobs_that_wait_go_on_waiting_and_finished_ones_can_be_read() {
    let mut site = Site::new(Stub::start(Manners { slots: 1, lease: None, ..Manners::default() }).await);
    let mut plane = site.plane().await;
    let done = plane.accepted().await;
    site.worker.job().await.complete();
    plane.events(&done).await.until("JOB_STATUS_COMPLETED").await;
    site.worker.change(|manners| manners.slots = 0);
    let waiting = plane.accepted().await;
    plane.lifecycle.abort();
    plane.ended().await;
    let plane = site.plane().await;
    let events = plane.events(&done).await.rest().await;
    assert_eq!(statuses(&events), ["JOB_STATUS_QUEUED", "JOB_STATUS_COMPLETED"]);
    assert_eq!(plane.job(&waiting).await["status"], "JOB_STATUS_QUEUED");
    site.worker.change(|manners| manners.slots = 1);
    assert_eq!(site.worker.job().await.request.job_id, waiting);
    until(async || plane.job(&waiting).await["attempts"].as_array().is_some_and(|all| all.len() == 1)).await;
}
