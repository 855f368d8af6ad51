//! Changing jobs.

use controlplane::{
    job::{Job, JobId, Report, Status},
    store::{Error, Expected, Fate, PlaneId, Progress, Record, Transition},
};
use futures_util::future::join_all;
use rstest::rstest;

use super::world::*;

fn reported(job: &Job, report: Report) -> Job {
    let mut job = job.clone();
    job.apply(report, "encoding".to_owned(), at(5)).expect("a legal report");
    job
}

fn progress(record: &Record, percent: f32) -> Progress {
    let owner = record.owner.expect("somebody drives it");
    let (id, attempt) = (record.job.id, record.job.attempt());
    Progress { id, is_task: false, attempt, owner, percent, event: event(2), update: 1 }
}

#[rstest]
#[tokio::test]
async fn a_step_is_taken_with_all_that_belongs_to_it(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let record = started(&*world.store, &job(), plane).await;
    let running = reported(&record.job, Report::Processing(10.0));
    let transition = Transition { event: Some(event(2)), ..step(&record, &running, driven(plane)) };
    go(&*world.store, transition).await;
    let stored = get(&*world.store, running.id).await;
    assert_eq!(stored.job, running);
    assert_eq!(stored.owner, Some(plane));
    assert_eq!(world.store.events(running.id, 0).await, Ok(vec![event(1), event(2)]));
    let done = reported(&running, Report::Completed { output_url: "s3://b/o".to_owned() });
    go(&*world.store, step(&stored, &done, Fate::Ended)).await;
    let ended = get(&*world.store, running.id).await;
    assert_eq!((ended.job, ended.owner), (done, None));
}

#[rstest]
#[tokio::test]
async fn whoever_expects_something_else_is_refused(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let record = started(&*world.store, &job(), plane).await;
    let good = Expected { status: Status::Queued, attempt: 1, owner: Some(plane) };
    let wrong = [
        Expected { status: Status::Processing, ..good },
        Expected { attempt: 0, ..good },
        Expected { attempt: 2, ..good },
        Expected { owner: None, ..good },
        Expected { owner: Some(PlaneId::random()), ..good },
    ];
    let running = reported(&record.job, Report::Processing(10.0));
    for expected in wrong {
        let transition = Transition { expected, event: Some(event(2)), ..step(&record, &running, driven(plane)) };
        assert_eq!(world.store.transition(transition).await, Err(Error::Conflict(running.id)), "{expected:?}");
    }
    assert_eq!(get(&*world.store, running.id).await, record);
    assert_eq!(world.store.events(running.id, 0).await, Ok(vec![event(1)]));
    let mut gone = running.clone();
    gone.id = JobId::random();
    let transition = step(&record, &gone, driven(plane));
    assert_eq!(world.store.transition(transition).await, Err(Error::Conflict(gone.id)));
}

#[rstest]
#[tokio::test]
async fn of_two_writers_one_wins(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    for _ in 0..10 {
        let record = started(&*world.store, &job(), plane).await;
        let stopped = cancelled(record.job.clone(), 4);
        let done = reported(&record.job, Report::Completed { output_url: "s3://b/o".to_owned() });
        let steps =
            [&stopped, &done].map(|job| Transition { event: Some(event(2)), ..step(&record, job, Fate::Ended) });
        let taken = join_all(steps.into_iter().map(|step| world.store.transition(step))).await;
        assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 1, "{taken:?}");
        let winner = if taken[0].is_ok() { stopped } else { done };
        assert_eq!(get(&*world.store, winner.id).await.job, winner);
        assert_eq!(world.store.events(winner.id, 0).await.expect("the store answers").len(), 2);
    }
}

#[rstest]
#[tokio::test]
async fn a_step_that_makes_no_sense_is_a_defect_and_hurts_nobody_else(
    #[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind,
) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let record = started(&*world.store, &job(), plane).await;
    // Its number is taken.
    let twice = Transition { event: Some(event(1)), ..step(&record, &record.job, driven(plane)) };
    let ended = step(&record, &record.job, Fate::Ended);
    let others: Vec<_> = (0..20).map(|_| job()).collect();
    let (twice, ended, created) = tokio::join!(
        world.store.transition(twice),
        world.store.transition(ended),
        join_all(others.iter().map(|job| world.store.create(new(job, WAITS)))),
    );
    assert!(matches!(twice, Err(Error::Broken(_))), "{twice:?}");
    assert!(matches!(ended, Err(Error::Broken(_))), "{ended:?}");
    assert!(created.iter().all(Result::is_ok), "{created:?}");
    assert_eq!(get(&*world.store, record.job.id).await, record);
}

#[rstest]
#[tokio::test]
async fn a_job_between_two_attempts_waits_for_its_time(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let record = started(&*world.store, &job(), plane).await;
    let again = requeued(record.job.clone());
    go(&*world.store, step(&record, &again, Fate::Waiting { due: at(100) })).await;
    assert_eq!(get(&*world.store, again.id).await.owner, None);
    assert_eq!(world.store.waiting().await, Ok(1));
    assert_eq!(world.store.next_due(at(0)).await, Ok(Some(at(100))));
    assert_eq!(world.store.claim(plane, at(99), true).await, Ok(None));
    let claimed = world.store.claim(plane, at(100), true).await.expect("the store answers").expect("it is due");
    assert_eq!((claimed.job, claimed.owner), (again, Some(plane)));
    assert_eq!(world.store.next_due(at(0)).await, Ok(None));
    assert_eq!(world.store.waiting().await, Ok(0));
}

#[rstest]
#[tokio::test]
async fn progress_is_saved_of_the_attempt_that_runs_and_never_falls(
    #[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind,
) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let queued = started(&*world.store, &job(), plane).await;
    let record = started(&*world.store, &job(), plane).await;
    let running = reported(&record.job, Report::Processing(10.0));
    go(&*world.store, step(&record, &running, driven(plane))).await;
    let record = get(&*world.store, running.id).await;
    let percent = async || get(&*world.store, running.id).await.job.state.progress();
    let late = Progress { attempt: 0, ..progress(&record, 90.0) };
    let strange = Progress { owner: PlaneId::random(), ..progress(&record, 91.0) };
    let unknown = Progress { id: JobId::random(), ..progress(&record, 92.0) };
    let all = vec![late, strange, unknown, progress(&queued, 93.0), progress(&record, 40.5)];
    assert_eq!(world.store.save_progress(all).await, Ok(()));
    assert!((percent().await - 40.5).abs() < f32::EPSILON);
    assert_eq!(get(&*world.store, queued.job.id).await, queued);
    assert_eq!(world.store.save_progress(vec![progress(&record, 20.0)]).await, Ok(()));
    assert!((percent().await - 40.5).abs() < f32::EPSILON);
    assert_eq!(world.store.save_progress(vec![]).await, Ok(()));
    // The next attempt goes on from there, though the writer of the step did not know.
    go(&*world.store, step(&record, &requeued(running.clone()), WAITS)).await;
    assert!((percent().await - 40.5).abs() < f32::EPSILON);
}

#[rstest]
#[tokio::test]
async fn a_wish_to_cancel_is_kept_until_the_end(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    assert_eq!(world.store.request_cancel(JobId::random()).await, Ok(None));
    let record = started(&*world.store, &job(), plane).await;
    let noted = world.store.request_cancel(record.job.id).await;
    let wished = Record { cancel_requested: true, ..record.clone() };
    assert_eq!(noted, Ok(Some(wished.clone())));
    assert_eq!(get(&*world.store, record.job.id).await, wished);
    let running = reported(&record.job, Report::Processing(10.0));
    go(&*world.store, step(&record, &running, driven(plane))).await;
    assert!(get(&*world.store, running.id).await.cancel_requested);
    let other = started(&*world.store, &job(), plane).await;
    go(&*world.store, step(&other, &cancelled(other.job.clone(), 4), Fate::Ended)).await;
    let ended = world.store.request_cancel(other.job.id).await.expect("the store answers").expect("it is there");
    assert!(!ended.cancel_requested);
}
