//! Writing jobs down, and reading them.

use controlplane::{
    job::{Job, JobId},
    store::{Created, Error, Expected, Fate, PlaneId, Record},
};
use futures_util::future::join_all;
use rstest::rstest;

use super::world::*;

#[rstest]
#[tokio::test]
async fn a_job_is_found_as_it_was_written(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let world = World::new(kind).await;
    let job = job();
    queue(&*world.store, &job).await;
    let expected = Record { job: job.clone(), cancel_requested: false, owner: None, provisional: false };
    assert_eq!(get(&*world.store, job.id).await, expected);
    assert_eq!(world.store.events(job.id, 0).await, Ok(vec![event(1)]));
    assert_eq!(world.store.events(job.id, 1).await, Ok(vec![]));
    assert_eq!(world.store.get(JobId::random()).await, Ok(None));
    assert_eq!(world.store.events(JobId::random(), 0).await, Ok(vec![]));
}

#[rstest]
#[tokio::test]
async fn a_job_that_is_offered_belongs_to_its_plane(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let job = attempted(job());
    let fate = Fate::Driven { by: plane, provisional: true };
    assert_eq!(world.store.create(new(&job, fate)).await, Ok(Created::New));
    let record = get(&*world.store, job.id).await;
    assert_eq!((record.owner, record.provisional), (Some(plane), true));
    assert_eq!(world.store.claim(PlaneId::random(), at(1000), true).await, Ok(None));
}

#[rstest]
#[tokio::test]
async fn only_a_job_that_no_client_knows_is_withdrawn(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let (secret, public) = (attempted(job()), attempted(job()));
    let fate = Fate::Driven { by: plane, provisional: true };
    world.store.create(new(&secret, fate)).await.expect("a new job");
    world.store.create(new(&public, driven(plane))).await.expect("a new job");
    let expected = |job: &Job, attempt| Expected { status: job.state.status(), attempt, owner: Some(plane) };
    let conflict = |job: &Job| Err(Error::Conflict(job.id));
    assert_eq!(world.store.withdraw(secret.id, expected(&secret, 0)).await, conflict(&secret));
    assert_eq!(world.store.withdraw(public.id, expected(&public, 1)).await, conflict(&public));
    assert_eq!(world.store.withdraw(secret.id, expected(&secret, 1)).await, Ok(()));
    assert_eq!(world.store.withdraw(secret.id, expected(&secret, 1)).await, conflict(&secret));
    assert_eq!(world.store.get(secret.id).await, Ok(None));
    assert_eq!(world.store.events(secret.id, 0).await, Ok(vec![]));
    assert!(world.store.get(public.id).await.expect("the store answers").is_some());
}

#[rstest]
#[tokio::test]
async fn a_key_stands_for_one_request(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let world = World::new(kind).await;
    let (first, again) = (job(), job());
    let other = Job::new(JobId::random(), spec("other.mp4", 50), at(0));
    assert_eq!(world.store.create(keyed(&first, "k")).await, Ok(Created::New));
    let Ok(Created::Before(before)) = world.store.create(keyed(&again, "k")).await else { panic!("it is repeated") };
    assert_eq!(before.job, first);
    assert_eq!(world.store.create(keyed(&other, "k")).await, Err(Error::KeyTaken));
    assert_eq!(world.store.create(keyed(&other, "l")).await, Ok(Created::New));
    assert_eq!(world.store.get(again.id).await, Ok(None));
    assert_eq!(world.store.by_key("k".to_owned()).await, Ok(Some(*before)));
    assert_eq!(world.store.by_key("m".to_owned()).await, Ok(None));
}

#[rstest]
#[tokio::test]
async fn a_key_is_free_again_when_its_job_is_withdrawn(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let (first, second) = (job(), job());
    let mut new = keyed(&first, "k");
    new.fate = Fate::Driven { by: plane, provisional: true };
    assert_eq!(world.store.create(new).await, Ok(Created::New));
    let expected = Expected { status: first.state.status(), attempt: 0, owner: Some(plane) };
    assert_eq!(world.store.withdraw(first.id, expected).await, Ok(()));
    assert_eq!(world.store.create(keyed(&second, "k")).await, Ok(Created::New));
}

#[rstest]
#[tokio::test]
async fn of_many_requests_with_one_key_one_makes_a_job(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let world = World::new(kind).await;
    let jobs: Vec<_> = (0..16).map(|_| job()).collect();
    let created = join_all(jobs.iter().map(|job| world.store.create(keyed(job, "k")))).await;
    let made: Vec<_> = created.iter().zip(&jobs).filter(|(created, _)| **created == Ok(Created::New)).collect();
    assert_eq!(made.len(), 1);
    let id = made[0].1.id;
    for created in &created {
        match created {
            Ok(Created::New) => {}
            Ok(Created::Before(before)) => assert_eq!(before.job.id, id),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(world.store.waiting().await, Ok(1));
}

#[rstest]
#[tokio::test]
async fn a_full_queue_takes_repeats_and_jobs_that_do_not_wait(
    #[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind,
) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let (first, second, offered) = (job(), job(), attempted(job()));
    let new_first = || controlplane::store::NewJob { queue_limit: Some(1), ..keyed(&first, "k") };
    assert_eq!(world.store.create(new_first()).await, Ok(Created::New));
    assert_eq!(world.store.create(limited(&second, 1)).await, Err(Error::QueueFull));
    assert_eq!(world.store.get(second.id).await, Ok(None));
    assert!(matches!(world.store.create(new_first()).await, Ok(Created::Before(_))));
    let unlisted = controlplane::store::NewJob { queue_limit: Some(1), ..new(&offered, driven(plane)) };
    assert_eq!(world.store.create(unlisted).await, Ok(Created::New));
    let new_key = controlplane::store::NewJob { queue_limit: Some(1), ..keyed(&second, "l") };
    assert_eq!(world.store.create(new_key).await, Err(Error::QueueFull));
    claim(&*world.store, plane).await;
    assert_eq!(world.store.create(limited(&second, 1)).await, Ok(Created::New));
}

#[rstest]
#[tokio::test]
async fn the_limit_of_the_queue_is_exact(#[values(Kind::Memory, Kind::File)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    for round in 0..3 {
        let jobs: Vec<_> = (0..40).map(|_| job()).collect();
        let created = join_all(jobs.iter().map(|job| world.store.create(limited(job, 10)))).await;
        assert_eq!(created.iter().filter(|created| created.is_ok()).count(), 10, "round {round}");
        assert_eq!(world.store.waiting().await, Ok(10));
        // Out of the queue, and one of them back into it and out again.
        for _ in 0..10 {
            let claimed = claim(&*world.store, plane).await;
            let running = attempted(claimed.job.clone());
            go(&*world.store, step(&claimed, &running, driven(plane))).await;
        }
        let record = get(&*world.store, jobs[created.iter().position(Result::is_ok).expect("ten")].id).await;
        go(&*world.store, step(&record, &requeued(record.job.clone()), WAITS)).await;
        let record = get(&*world.store, record.job.id).await;
        go(&*world.store, step(&record, &cancelled(record.job.clone(), 4), Fate::Ended)).await;
        assert_eq!(world.store.waiting().await, Ok(0));
    }
}

#[tokio::test]
async fn one_control_plane_keeps_to_the_limit_on_postgres() {
    let world = World::new(Kind::Postgres).await;
    let jobs: Vec<_> = (0..60).map(|_| job()).collect();
    let created = join_all(jobs.iter().map(|job| world.store.create(limited(job, 10)))).await;
    let accepted = created.iter().filter(|created| created.is_ok()).count();
    assert!((1..=10).contains(&accepted), "{accepted}");
    assert_eq!(world.store.waiting().await, Ok(accepted as u64));
}

#[rstest]
#[tokio::test]
async fn a_store_that_works_says_so(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let world = World::new(kind).await;
    assert_eq!(world.store.check().await, Ok(()));
    world.store.close().await;
    assert!(matches!(world.store.check().await, Err(Error::Unavailable(_))));
}
