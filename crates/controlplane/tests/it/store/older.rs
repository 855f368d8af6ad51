//! A file that an older release has made.

use std::path::Path;

use controlplane::{
    job::Job,
    store::{PlaneId, open},
};
use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use uuid::Uuid;

use super::world::*;

static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// The last migration before a new job was in one row: its first event was a row of its own.
const BEFORE: i64 = 2;

async fn older(folder: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.join("flux.db")).create_if_missing(true);
    let mut connection = options.journal_mode(SqliteJournalMode::Wal).connect().await.expect("a new file");
    MIGRATOR.run_to(BEFORE, &mut connection).await.expect("tables");
    connection
}

/// Writes a job down that waits, as the older release did.
async fn write(connection: &mut SqliteConnection, job: &Job) {
    let query = sqlx::query(
        "INSERT INTO jobs (id, document, status, attempt, running, waiting, due, priority, preset, provisional,
             progress, created_at)
         VALUES (?, ?, ?, 0, FALSE, TRUE, 0, ?, ?, FALSE, 0.0, ?)",
    );
    let query = query.bind(job.id.uuid()).bind(serde_json::to_string(job).expect("JSON"));
    let query = query.bind(job.state.status().name()).bind(i64::from(job.spec.priority)).bind(job.spec.preset.name);
    query.bind(job.created_at.as_microsecond()).execute(&mut *connection).await.expect("a new row");
    let query = sqlx::query("INSERT INTO events (job, number, json) VALUES (?, ?, ?)").bind(job.id.uuid());
    query.bind(1).bind(event(1).json).execute(connection).await.expect("a new row");
}

#[tokio::test]
async fn jobs_of_an_older_release_wait_on_with_new_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut old, new) = (job_at(50, 1), job_at(50, 2));
    // Names were random from their first bit on.
    old.id = Uuid::new_v4().into();
    let mut connection = older(folder.path()).await;
    write(&mut connection, &old).await;
    connection.close().await.expect("it closes");

    let store = open(&config("sqlite://flux.db", folder.path())).await.expect("a good store");
    queue(&*store, &new).await;
    assert_eq!(store.waiting().await, Ok(2));
    for job in [&old, &new] {
        assert_eq!(get(&*store, job.id).await.job, *job);
        assert_eq!(store.events(job.id, 0).await, Ok(vec![event(1)]));
        assert_eq!(store.events(job.id, 1).await, Ok(vec![]));
    }
    let plane = PlaneId::random();
    for job in [&old, &new] {
        let claimed = claim(&*store, plane).await;
        assert_eq!(claimed.job.id, job.id);
        let ended = cancelled(claimed.job.clone(), 9);
        go(&*store, step(&claimed, &ended, controlplane::store::Fate::Ended)).await;
    }
    assert_eq!(store.expire(at(10), 9).await, Ok(2));
    assert_eq!(store.events(old.id, 0).await, Ok(vec![]));
    store.close().await;
}
