//! Callbacks: written with the step that they tell of, and sent until they arrive.

use std::time::Duration;

use controlplane::store::{Callback, CallbackId, Fate, JobStore, PlaneId, Settlement, Transition, outbox::NewCallback};
use rstest::rstest;
use uuid::Uuid;

use super::world::*;

const HOLD: Duration = Duration::from_mins(1);

/// Ends a job at that second, with a callback.
async fn called(store: &dyn JobStore, seconds: i64) -> Callback {
    let record = started(store, &job(), PlaneId::random()).await;
    let job = cancelled(record.job.clone(), seconds);
    let (id, url, payload) = (CallbackId(Uuid::new_v4()), "https://example.com/hook".to_owned(), "{}".to_owned());
    let callback = Some(NewCallback { id, url: url.clone(), payload: payload.clone() });
    go(store, Transition { callback, ..step(&record, &job, Fate::Ended) }).await;
    Callback { id, job: job.id, url, payload, created_at: at(seconds), failures: 0 }
}

#[rstest]
#[tokio::test]
async fn a_callback_is_due_until_it_is_settled(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let world = World::new(kind).await;
    let store = &*world.store;
    assert_eq!(store.next_callback().await, Ok(None));
    let callback = called(store, 10).await;
    assert_eq!(store.next_callback().await, Ok(Some(at(10))));
    assert_eq!(store.due_callbacks(at(9), HOLD, 10).await, Ok(vec![]));
    assert_eq!(store.due_callbacks(at(10), HOLD, 10).await, Ok(vec![callback.clone()]));
    assert_eq!(store.due_callbacks(at(10), HOLD, 10).await, Ok(vec![]), "somebody sends it");
    assert_eq!(store.next_callback().await, Ok(Some(at(70))));
    assert_eq!(store.due_callbacks(at(70), HOLD, 10).await, Ok(vec![callback.clone()]), "that one has died");
    assert_eq!(store.settle_callback(callback.id, Settlement::Retry(at(500))).await, Ok(()));
    assert_eq!(store.next_callback().await, Ok(Some(at(500))));
    let again = Callback { failures: 1, ..callback.clone() };
    assert_eq!(store.due_callbacks(at(500), HOLD, 10).await, Ok(vec![again]));
    assert_eq!(store.settle_callback(callback.id, Settlement::Done).await, Ok(()));
    assert_eq!(store.next_callback().await, Ok(None));
    assert_eq!(store.settle_callback(callback.id, Settlement::Retry(at(600))).await, Ok(()), "it is gone");
    assert_eq!(store.next_callback().await, Ok(None));
}

#[rstest]
#[tokio::test]
async fn the_oldest_callbacks_are_taken_first(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let world = World::new(kind).await;
    let store = &*world.store;
    let (late, early, middle) = (called(store, 30).await, called(store, 10).await, called(store, 20).await);
    assert_eq!(store.due_callbacks(at(100), HOLD, 2).await, Ok(vec![early, middle]));
    assert_eq!(store.due_callbacks(at(100), HOLD, 2).await, Ok(vec![late]));
}

#[rstest]
#[tokio::test]
async fn a_callback_outlives_its_job(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let world = World::new(kind).await;
    let callback = called(&*world.store, 10).await;
    assert_eq!(world.store.expire(at(11), 10).await, Ok(1));
    assert_eq!(world.store.due_callbacks(at(11), HOLD, 10).await, Ok(vec![callback]));
}

#[rstest]
#[tokio::test]
async fn a_step_that_is_refused_calls_nobody(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let record = started(&*world.store, &job(), plane).await;
    let id = CallbackId(Uuid::new_v4());
    let callback = Some(NewCallback { id, url: "https://h".to_owned(), payload: "{}".to_owned() });
    let mut late = Transition { callback, ..step(&record, &cancelled(record.job.clone(), 4), Fate::Ended) };
    late.expected.attempt = 7;
    assert!(world.store.transition(late).await.is_err());
    assert_eq!(world.store.next_callback().await, Ok(None));
}
