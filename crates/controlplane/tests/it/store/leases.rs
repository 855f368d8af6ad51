//! Control planes that live, and what becomes of the jobs of those that do not.

use std::time::Duration;

use controlplane::{
    job::Job,
    store::{Created, Error, Fate, JobStore, PlaneId},
};
use rstest::rstest;

use super::world::*;

const LONG: Duration = Duration::from_hours(1);
const NOTHING: Duration = Duration::ZERO;

/// A job of `plane` in each state that it can be left in: claimed, running, told to nobody, offered to a worker.
async fn leave(store: &dyn JobStore, plane: PlaneId) -> [Job; 4] {
    let claimed = job();
    queue(store, &claimed).await;
    claim(store, plane).await;
    let running = started(store, &job(), plane).await.job;
    let (secret, offered) = (job(), attempted(job()));
    for job in [&secret, &offered] {
        let fate = Fate::Driven { by: plane, provisional: true };
        assert_eq!(store.create(new(job, fate)).await, Ok(Created::New));
    }
    [claimed, running, secret, offered]
}

async fn is_taken_over(store: &dyn JobStore, left: [Job; 4], heir: PlaneId) {
    let adopted = store.adopt(heir).await.expect("the store answers");
    let [claimed, running, secret, offered] = left;
    let mut adopted: Vec<_> = adopted.iter().map(|record| (record.job.id, record.owner)).collect();
    adopted.sort_unstable_by_key(|(id, _)| *id);
    let mut expected = [(running.id, Some(heir)), (offered.id, Some(heir))];
    expected.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(adopted, expected);
    assert_eq!(get(store, running.id).await.owner, Some(heir));
    assert!(get(store, offered.id).await.provisional);
    assert_eq!(store.get(secret.id).await, Ok(None));
    assert_eq!(get(store, claimed.id).await.owner, None);
    assert_eq!(store.waiting().await, Ok(1));
    assert_eq!(claim(store, heir).await.job.id, claimed.id);
    assert_eq!(store.adopt(heir).await, Ok(vec![]), "its own jobs are not taken again");
}

#[rstest]
#[tokio::test]
async fn a_successor_takes_over_what_was_left(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, dead, heir) = (World::new(kind).await, PlaneId::random(), PlaneId::random());
    world.store.renew(dead, NOTHING).await.expect("the store answers");
    world.store.renew(heir, LONG).await.expect("the store answers");
    let left = leave(&*world.store, dead).await;
    is_taken_over(&*world.store, left, heir).await;
}

#[rstest]
#[tokio::test]
async fn a_plane_is_told_what_it_drives(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let left = leave(&*world.store, plane).await;
    started(&*world.store, &job(), PlaneId::random()).await;
    queue(&*world.store, &job()).await;
    let mut held: Vec<_> =
        world.store.held(plane).await.expect("the store answers").into_iter().map(|record| record.job.id).collect();
    let mut expected = left.map(|job| job.id);
    held.sort_unstable();
    expected.sort_unstable();
    assert_eq!(held, expected);
}

#[rstest]
#[tokio::test]
async fn who_resigns_is_followed_at_once(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, old, heir) = (World::new(kind).await, PlaneId::random(), PlaneId::random());
    for plane in [old, heir] {
        world.store.renew(plane, LONG).await.expect("the store answers");
    }
    let left = leave(&*world.store, old).await;
    assert_eq!(world.store.resign(old).await, Ok(()));
    is_taken_over(&*world.store, left, heir).await;
}

#[rstest]
#[tokio::test]
async fn who_was_followed_writes_nothing_any_more(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, dead, heir) = (World::new(kind).await, PlaneId::random(), PlaneId::random());
    world.store.renew(dead, NOTHING).await.expect("the store answers");
    let record = started(&*world.store, &job(), dead).await;
    world.store.adopt(heir).await.expect("the store answers");
    let late = step(&record, &cancelled(record.job.clone(), 4), Fate::Ended);
    assert_eq!(world.store.transition(late).await, Err(Error::Conflict(record.job.id)));
}

#[rstest]
#[tokio::test]
async fn a_renewal_tells_whether_there_was_a_lease(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    assert_eq!(world.store.renew(plane, LONG).await, Ok(false), "the first");
    assert_eq!(world.store.renew(plane, LONG).await, Ok(true));
    assert_eq!(world.store.resign(plane).await, Ok(()));
    assert_eq!(world.store.renew(plane, LONG).await, Ok(false));
}

#[tokio::test]
async fn nobody_is_followed_while_it_lives() {
    let (world, plane, other) = (World::new(Kind::Postgres).await, PlaneId::random(), PlaneId::random());
    world.store.renew(plane, LONG).await.expect("the store answers");
    leave(&*world.store, plane).await;
    assert_eq!(world.store.adopt(other).await, Ok(vec![]));
    assert_eq!(world.store.waiting().await, Ok(0));
    assert_eq!(world.store.renew(plane, LONG).await, Ok(true));
}

#[tokio::test]
async fn a_late_renewal_is_good_unless_somebody_came_before() {
    let (world, late, heir) = (World::new(Kind::Postgres).await, PlaneId::random(), PlaneId::random());
    world.store.renew(late, NOTHING).await.expect("the store answers");
    let record = started(&*world.store, &job(), late).await;
    assert_eq!(world.store.renew(late, NOTHING).await, Ok(true), "nobody has taken anything");
    assert_eq!(get(&*world.store, record.job.id).await, record);
    assert_eq!(world.store.adopt(heir).await.expect("the store answers").len(), 1);
    assert_eq!(world.store.renew(late, LONG).await, Ok(false));
}

#[tokio::test]
async fn of_two_successors_one_gets_a_job() {
    let (world, dead) = (World::new(Kind::Postgres).await, PlaneId::random());
    let second = world.again().await.expect("a second control plane");
    world.store.renew(dead, NOTHING).await.expect("the store answers");
    for _ in 0..20 {
        started(&*world.store, &job(), dead).await;
    }
    let heirs = [PlaneId::random(), PlaneId::random()];
    for heir in heirs {
        world.store.renew(heir, LONG).await.expect("the store answers");
    }
    let (one, two) = tokio::join!(world.store.adopt(heirs[0]), second.adopt(heirs[1]));
    let taken = [one, two].map(|taken| taken.expect("the store answers").len());
    assert!(taken == [20, 0] || taken == [0, 20], "{taken:?}");
    second.close().await;
}
