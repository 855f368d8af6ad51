//! Who starts next.

use controlplane::{job::JobId, store::PlaneId};
use futures_util::future::join_all;
use rstest::rstest;

use super::world::*;

#[rstest]
#[tokio::test]
async fn the_highest_priority_starts_first_and_then_the_oldest(
    #[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind,
) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let jobs = [job_at(50, 3), job_at(0, 1), job_at(100, 9), job_at(50, 2), job_at(100, 8)];
    for job in &jobs {
        queue(&*world.store, job).await;
    }
    assert_eq!(world.store.waiting().await, Ok(5));
    for expected in [4, 2, 3, 0, 1] {
        let claimed = claim(&*world.store, plane).await;
        assert_eq!((claimed.job.id, claimed.owner), (jobs[expected].id, Some(plane)));
    }
    assert_eq!(world.store.claim(plane, at(1000), true).await, Ok(None));
    assert_eq!(world.store.waiting().await, Ok(0));
}

#[rstest]
#[tokio::test]
async fn eight_who_claim_at_once_get_eight_jobs(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let world = World::new(kind).await;
    let jobs: Vec<_> = (0..12).map(|seconds| job_at(50, seconds)).collect();
    for job in &jobs {
        queue(&*world.store, job).await;
    }
    let claims = (0..8).map(|_| world.store.claim(PlaneId::random(), at(1000), true));
    let claimed = join_all(claims).await.into_iter().map(|claimed| claimed.expect("the store answers"));
    let mut claimed: Vec<JobId> = claimed.map(|record| record.expect("enough wait").job.id).collect();
    claimed.sort_unstable();
    let mut oldest: Vec<_> = jobs[..8].iter().map(|job| job.id).collect();
    oldest.sort_unstable();
    assert_eq!(claimed, oldest);
}

#[rstest]
#[tokio::test]
async fn the_next_time_is_that_of_a_job_that_is_not_due(
    #[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind,
) {
    let world = World::new(kind).await;
    assert_eq!(world.store.next_due(at(0)).await, Ok(None));
    for due in [10, 30, 20] {
        let fate = controlplane::store::Fate::Waiting { due: at(due) };
        world.store.create(new(&job(), fate)).await.expect("a new job");
    }
    assert_eq!(world.store.next_due(at(0)).await, Ok(Some(at(10))));
    assert_eq!(world.store.next_due(at(10)).await, Ok(Some(at(20))));
    assert_eq!(world.store.next_due(at(30)).await, Ok(None));
}

#[rstest]
#[tokio::test]
async fn a_row_that_cannot_be_read_does_not_keep_the_others_waiting(#[values(Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let jobs = [job_at(50, 1), job_at(50, 2), job_at(50, 3)];
    for job in &jobs {
        queue(&*world.store, job).await;
    }
    world.execute("UPDATE jobs SET document = '{}' WHERE created_at < 3000000").await;
    assert_eq!(claim(&*world.store, plane).await.job.id, jobs[2].id);
    // Tried once: they are left as they are, and are not looked at again and again.
    assert_eq!(world.store.claim(plane, at(1000), true).await, Ok(None));
    assert_eq!(world.store.claim(plane, at(1000), false).await, Ok(None));
    assert_eq!(world.store.waiting().await, Ok(0));
}
