//! Split jobs whose control plane goes away.

use std::path::Path;

use super::*;

/// A control plane over the database of this URL.
async fn over(worker: &Stub, url: &str, folder: &Path) -> Plane {
    let database = controlplane::store::Database::parse(url, folder).expect("a database");
    Plane::start(&[worker.address], |config| {
        config.database = database;
        config.max_queued_jobs = 10;
        config.job_max_attempts = 3;
    })
    .await
}

#[tokio::test]
async fn a_control_plane_that_is_started_again_goes_on_and_repeats_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut worker = Stub::that_splits(1).await;
    let mut plane = over(&worker, "sqlite://flux.db", folder.path()).await;
    let id = split(&plane, &mut worker, 4, false).await;
    let mut done = Vec::new();
    for _ in 0..2 {
        let job = worker.job().await;
        done.push(label(&job));
        work(job);
    }
    let running = worker.job().await;
    done.push(label(&running));
    until(async || tasks(&plane, &id).await[1] == "chunk 1 COMPLETED").await;
    plane.lifecycle.abort();
    plane.ended().await;
    running.dropped().await;
    let mut plane = over(&worker, "sqlite://flux.db", folder.path()).await;
    work(running);
    let last = worker.job().await;
    done.push(label(&last));
    work(last);
    let finish = worker.job().await;
    done.push(label(&finish));
    assert_eq!(done, ["chunk 0", "chunk 1", "chunk 2", "chunk 3", "finish"]);
    plane.lifecycle.abort();
    plane.ended().await;
    let plane = over(&worker, "sqlite://flux.db", folder.path()).await;
    work(finish);
    plane.events(&id).await.until("JOB_STATUS_COMPLETED").await;
    assert_eq!(label(&worker.job().await), "cleanup");
    let (status, body) = plane.get(&format!("/api/v1/jobs/{id}/certificate")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

#[tokio::test]
async fn two_control_planes_share_the_tasks_of_a_job() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = e2e::Postgres::shared().await.database();
    let mut worker = Stub::that_splits(2).await;
    let mut first = over(&worker, &url, folder.path()).await;
    let id = split(&first, &mut worker, 6, true).await;
    let second = over(&worker, &url, folder.path()).await;
    let mut labels = Vec::new();
    for number in 0..8 {
        if number == 4 {
            // Whoever conducts the job hands it over.
            first.lifecycle.stop();
            first.ended().await;
        }
        let job = worker.job().await;
        labels.push(label(&job));
        work(job);
    }
    assert_eq!(labels.pop().as_deref(), Some("finish"));
    labels.sort_unstable();
    assert_eq!(labels, ["audio", "chunk 0", "chunk 1", "chunk 2", "chunk 3", "chunk 4", "chunk 5"]);
    second.events(&id).await.until("JOB_STATUS_COMPLETED").await;
}
