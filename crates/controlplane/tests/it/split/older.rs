//! Workers of an older release, which know no tasks.

use super::*;
use crate::stub::{Manners, Release, nobody};

#[tokio::test]
async fn a_worker_of_an_older_release_gets_whole_jobs_only() {
    let (mut old, mut new) = (Stub::with_leases(1).await, Stub::that_splits(1).await);
    let plane = Plane::start(&[new.address, old.address], |config| config.max_queued_jobs = 9).await;
    split(&plane, &mut new, 2, false).await;
    let chunk = new.job().await;
    let (probes, id) = (old.probes(), plane.accepted().await);
    let whole = old.job().await;
    assert_eq!((label(&whole).as_str(), &whole.request.job_id), ("whole", &id));
    work(chunk);
    assert_eq!(label(&new.job().await), "chunk 1");
    assert!(old.probes() - probes < 10, "it is not asked over and over");
    assert_eq!(old.submissions(), 1);
}

/// As after a return to an older release.
#[tokio::test]
async fn where_no_worker_knows_tasks_any_more_a_job_is_encoded_whole() {
    let (mut worker, mut busy) = (Stub::that_splits(1).await, Stub::with_leases(1).await);
    let plane = queued(&[&worker, &busy]).await;
    let id = split(&plane, &mut worker, 3, false).await;
    let running = worker.job().await;
    plane.accepted().await;
    let _other = busy.job().await;
    worker.change(|manners| manners.release = Release::Old);
    work(running);
    let whole = worker.job().await;
    assert_eq!((label(&whole).as_str(), &whole.request.job_id), ("whole", &id));
    whole.complete();
    plane.events(&id).await.until("JOB_STATUS_COMPLETED").await;
    let job = plane.job(&id).await;
    assert_eq!(job["whole"], "chunk 1: encoding failed: it knows no tasks of split jobs");
    let tasks = tasks(&plane, &id).await;
    assert!(tasks.iter().any(|task| task == "cleanup QUEUED"), "it waits for one that does: {tasks:?}");
}

#[tokio::test]
async fn a_worker_that_does_not_answer_may_know_tasks() {
    let (mut worker, away) = (Stub::that_splits(1).await, nobody().await);
    let plane = Plane::start(&[worker.address, away], |config| config.max_queued_jobs = 9).await;
    let id = split(&plane, &mut worker, 3, false).await;
    let running = worker.job().await;
    worker.change(|manners| manners.release = Release::Old);
    work(running);
    // It passes the tasks, so they have been looked at.
    let other = plane.accepted().await;
    let job = worker.job().await;
    assert_eq!(job.request.job_id, other);
    job.complete();
    plane.events(&other).await.until("JOB_STATUS_COMPLETED").await;
    assert_eq!(tasks(&plane, &id).await[1..], ["chunk 1 QUEUED", "chunk 2 QUEUED"]);
    let mut back = Stub::start_at(&away.to_string(), Manners { slots: 1, ..Manners::default() }).await;
    let whole = tokio::select! {
        whole = worker.job() => whole,
        whole = back.job() => whole,
    };
    assert_eq!((label(&whole).as_str(), &whole.request.job_id), ("whole", &id));
}
