//! What is still there after the process has ended.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use controlplane::{
    job::{Job, Report},
    store::{CallbackId, Created, Fate, OpenError, PlaneId, Progress, Transition, open, outbox::NewCallback},
};
use rstest::rstest;
use uuid::Uuid;

use super::world::*;

#[rstest]
#[tokio::test]
async fn everything_is_found_again(#[values(Kind::File, Kind::Postgres)] kind: Kind) {
    let (mut world, plane) = (World::new(kind).await, PlaneId::random());
    let waiting = job();
    assert_eq!(world.store.create(keyed(&waiting, "k")).await, Ok(Created::New));
    let record = started(&*world.store, &job(), plane).await;
    let mut running = record.job.clone();
    running.apply(Report::Processing(10.0), "encoding".to_owned(), at(5)).expect("a legal report");
    let transition = Transition { event: Some(event(2)), ..step(&record, &running, driven(plane)) };
    go(&*world.store, transition).await;
    let (id, event) = (running.id, event(2));
    let progress = Progress { id, is_task: false, attempt: 1, owner: plane, percent: 30.0, event, update: 1 };
    world.store.save_progress(vec![progress]).await.expect("the store answers");
    world.store.request_cancel(id).await.expect("the store answers");
    let ended = started(&*world.store, &job(), plane).await;
    let callback =
        NewCallback { id: CallbackId(Uuid::new_v4()), url: "https://h".to_owned(), payload: "{}".to_owned() };
    let end = step(&ended, &cancelled(ended.job.clone(), 9), Fate::Ended);
    go(&*world.store, Transition { callback: Some(callback), ..end }).await;
    let before =
        [get(&*world.store, waiting.id).await, get(&*world.store, id).await, get(&*world.store, ended.job.id).await];

    world.reopen().await;
    let store = &*world.store;
    assert_eq!([get(store, waiting.id).await, get(store, id).await, get(store, ended.job.id).await], before);
    assert!((get(store, id).await.job.state.progress() - 30.0).abs() < f32::EPSILON);
    assert_eq!(store.events(id, 0).await, Ok(vec![super::world::event(1), super::world::event(2)]));
    assert_eq!(store.waiting().await, Ok(1));
    assert_eq!(store.due_callbacks(at(9), Duration::ZERO, 9).await.expect("the store answers").len(), 1);
    assert!(matches!(store.create(keyed(&job(), "k")).await, Ok(Created::Before(_))));
    let adopted = store.adopt(PlaneId::random()).await.expect("the store answers");
    assert_eq!(adopted.iter().map(|record| record.job.id).collect::<Vec<_>>(), [id]);
}

/// The same file under another name, as another process finds it after a crash of this one.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for name in ["flux.db", "flux.db-wal"] {
        fs::copy(from.join(name), to.join(name)).expect("a copy");
    }
}

#[tokio::test]
async fn a_job_is_in_the_file_when_its_client_is_told() {
    let world = World::new(Kind::File).await;
    let jobs: Vec<Job> = (0..50).map(|_| job()).collect();
    for (number, job) in jobs.iter().enumerate() {
        queue(&*world.store, job).await;
        if number % 10 == 0 {
            // Nothing is closed: whoever reads the copy finds what a crash would leave.
            let folder = world.folder.path().join(format!("copy-{number}"));
            copy(world.folder.path(), &folder);
            let store = open(&config("sqlite://flux.db", &folder)).await.expect("a good copy");
            assert_eq!(get(&*store, job.id).await.job, *job);
            store.close().await;
        }
    }
}

#[tokio::test]
async fn one_file_is_for_one_control_plane() {
    let world = World::new(Kind::File).await;
    let path = world.folder.path().join("flux.db");
    let error = world.again().await.expect_err("somebody has it");
    assert_eq!(error, OpenError::InUse { path });
    assert!(error.to_string().contains("let both use one PostgreSQL"), "{error}");
    world.store.close().await;
    let next = world.again().await.expect("nobody has it");
    next.close().await;
}

#[tokio::test]
async fn nobody_else_may_read_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("deep/data");
    let store = open(&config("sqlite://flux.db", &data)).await.expect("a good store");
    queue(&*store, &job()).await;
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for name in ["flux.db", "flux.db-wal", "flux.db-shm", "flux.db.lock"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    store.close().await;
}
