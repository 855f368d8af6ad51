//! News: of this process and of others.

use std::time::Duration;

use controlplane::{
    job::Report,
    store::{CallbackId, Change, Fate, PlaneId, Progress, Transition, outbox::NewCallback},
};
use rstest::rstest;
use tokio::{sync::broadcast::Receiver, time::timeout};
use uuid::Uuid;

use super::world::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for that change; others may come before it.
async fn hears(changes: &mut Receiver<Change>, expected: &Change) {
    let heard = async { while &changes.recv().await.expect("nothing was missed") != expected {} };
    timeout(PATIENCE, heard).await.unwrap_or_else(|_| panic!("never heard of {expected:?}"));
}

#[rstest]
#[tokio::test]
async fn each_change_is_told(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let store = &*world.store;
    let changes = &mut store.changes();
    let job = job();
    queue(store, &job).await;
    hears(changes, &Change::Queued).await;
    let claimed = claim(store, plane).await;
    let running = attempted(claimed.job.clone());
    go(store, step(&claimed, &running, driven(plane))).await;
    hears(changes, &Change::Job(job.id)).await;
    let record = get(store, job.id).await;
    let mut encoding = record.job.clone();
    encoding.apply(Report::Processing(1.0), "encoding".to_owned(), at(5)).expect("a legal report");
    go(store, step(&record, &encoding, driven(plane))).await;
    let (id, event) = (job.id, event(2));
    let progress =
        Progress { id, is_task: true, attempt: 1, owner: plane, percent: 2.0, event: event.clone(), update: 3 };
    store.save_progress(vec![progress]).await.expect("the store answers");
    hears(changes, &Change::Progress { id, event, update: 3 }).await;
    store.request_cancel(id).await.expect("the store answers");
    hears(changes, &Change::Cancel(id)).await;
    let record = get(store, id).await;
    go(store, step(&record, &requeued(record.job.clone()), WAITS)).await;
    hears(changes, &Change::Queued).await;
    let record = get(store, id).await;
    let callback =
        NewCallback { id: CallbackId(Uuid::new_v4()), url: "https://h".to_owned(), payload: "{}".to_owned() };
    let end = step(&record, &cancelled(record.job.clone(), 9), Fate::Ended);
    go(store, Transition { callback: Some(callback), ..end }).await;
    hears(changes, &Change::Callback).await;
}

#[tokio::test]
async fn another_control_plane_is_told_as_well() {
    let world = World::new(Kind::Postgres).await;
    let other = world.again().await.expect("a second control plane");
    let changes = &mut other.changes();
    let job = job();
    queue(&*world.store, &job).await;
    hears(changes, &Change::Queued).await;
    world.store.request_cancel(job.id).await.expect("the store answers");
    hears(changes, &Change::Cancel(job.id)).await;
    other.close().await;
}

/// They would hide what others are to be told.
#[tokio::test]
async fn the_progress_of_jobs_is_told_to_nobody_where_nobody_else_drives_any() {
    let (world, plane) = (World::new(Kind::Memory).await, PlaneId::random());
    let store = &*world.store;
    let record = started(store, &job(), plane).await;
    let mut encoding = record.job.clone();
    encoding.apply(Report::Processing(1.0), "encoding".to_owned(), at(5)).expect("a legal report");
    go(store, step(&record, &encoding, driven(plane))).await;
    let changes = &mut store.changes();
    let id = record.job.id;
    let progress = Progress { id, is_task: false, attempt: 1, owner: plane, percent: 2.0, event: event(2), update: 3 };
    store.save_progress(vec![progress]).await.expect("the store answers");
    assert!((get(store, id).await.job.state.progress() - 2.0).abs() < f32::EPSILON);
    store.request_cancel(id).await.expect("the store answers");
    assert_eq!(changes.recv().await, Ok(Change::Cancel(id)));
}
