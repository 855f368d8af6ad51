//! Pages of jobs, and the end of old ones.

use controlplane::{
    job::{Job, JobId, Status},
    store::{Cursor, Fate, Filter, JobStore, PlaneId},
};
use rstest::rstest;

use super::world::*;

fn all(limit: u32) -> Filter {
    Filter { status: None, preset: None, created_after: None, after: None, limit }
}

async fn page(store: &dyn JobStore, filter: Filter) -> (Vec<JobId>, Option<Cursor>) {
    let page = store.list(filter).await.expect("the store answers");
    (page.records.iter().map(|record| record.job.id).collect(), page.next)
}

#[rstest]
#[tokio::test]
async fn pages_are_stable_while_jobs_arrive(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let world = World::new(kind).await;
    let store = &*world.store;
    // Several at the same time: the id decides.
    let jobs: Vec<_> = (0..25).map(|number| job_at(50, number / 5)).collect();
    for job in &jobs {
        queue(store, job).await;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let (ids, next) = page(store, Filter { after, ..all(4) }).await;
        seen.extend(ids);
        queue(store, &job_at(50, 100)).await;
        after = next;
        if after.is_none() {
            break;
        }
    }
    let mut expected: Vec<_> = jobs.iter().map(|job| (job.created_at, job.id)).collect();
    expected.sort_unstable();
    let expected: Vec<_> = expected.into_iter().rev().map(|(_, id)| id).collect();
    assert_eq!(seen, expected);
}

#[rstest]
#[tokio::test]
async fn the_last_page_has_no_next(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let world = World::new(kind).await;
    assert_eq!(page(&*world.store, all(4)).await, (vec![], None));
    for seconds in 0..4 {
        queue(&*world.store, &job_at(50, seconds)).await;
    }
    assert_eq!(page(&*world.store, all(4)).await.1, None);
    assert!(page(&*world.store, all(3)).await.1.is_some());
    assert_eq!(page(&*world.store, all(0)).await.0.len(), 1, "at least one");
}

#[rstest]
#[tokio::test]
async fn a_list_holds_what_was_asked_for(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let store = &*world.store;
    let (old, young, ended, secret) = (job_at(50, 1), job_at(50, 2), job_at(50, 3), job_at(50, 4));
    for job in [&old, &young] {
        queue(store, job).await;
    }
    let record = started(store, &ended, plane).await;
    go(store, step(&record, &cancelled(record.job.clone(), 9), Fate::Ended)).await;
    store.create(new(&secret, Fate::Driven { by: plane, provisional: true })).await.expect("a new job");
    let ids = async |filter| page(store, filter).await.0;
    assert_eq!(ids(all(9)).await, [ended.id, young.id, old.id]);
    assert_eq!(ids(Filter { status: Some(Status::Queued), ..all(9) }).await, [young.id, old.id]);
    assert_eq!(ids(Filter { status: Some(Status::Cancelled), ..all(9) }).await, [ended.id]);
    assert_eq!(ids(Filter { created_after: Some(at(2)), ..all(9) }).await, [ended.id]);
    assert_eq!(ids(Filter { preset: Some("720p_h264".to_owned()), ..all(9) }).await.len(), 3);
    assert_eq!(ids(Filter { preset: Some("480p_h264".to_owned()), ..all(9) }).await, []);
    assert_eq!(ids(Filter { preset: Some("a\0b".to_owned()), ..all(9) }).await, []);
    let both = Filter { status: Some(Status::Queued), created_after: Some(at(1)), ..all(9) };
    assert_eq!(ids(both).await, [young.id]);
}

async fn ended(store: &dyn JobStore, plane: PlaneId, seconds: i64) -> Job {
    let record = started(store, &job(), plane).await;
    let job = cancelled(record.job.clone(), seconds);
    go(store, step(&record, &job, Fate::Ended)).await;
    job
}

#[rstest]
#[tokio::test]
async fn old_jobs_go_with_their_events_the_oldest_first(
    #[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind,
) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let store = &*world.store;
    let running = started(store, &job(), plane).await.job;
    let [first, second, third] =
        [ended(store, plane, 10).await, ended(store, plane, 20).await, ended(store, plane, 30).await];
    assert_eq!(store.expire(at(10), 10).await, Ok(0), "not before its time");
    assert_eq!(store.expire(at(25), 1).await, Ok(1));
    assert_eq!(store.get(first.id).await, Ok(None));
    assert_eq!(store.events(first.id, 0).await, Ok(vec![]));
    assert_eq!(store.expire(at(25), 10).await, Ok(1));
    assert_eq!(store.get(second.id).await, Ok(None));
    assert_eq!(get(store, third.id).await.job, third);
    assert_eq!(get(store, running.id).await.job, running);
}
