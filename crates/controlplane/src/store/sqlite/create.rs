//! New jobs, and those that were never told of.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::{pending::Operation, writer::Tx};
use crate::{
    job::{Job, JobId},
    store::{
        Change, Created, Error, Expected, Fate, NewJob, Record, StoredEvent,
        row::{Columns, JobRow},
    },
};

/// Writes a job down.
pub(super) struct Create(pub(super) NewJob);

impl Operation for Create {
    type Answer = Created;

    async fn run(&self, tx: &mut Tx) -> Result<Created, Error> {
        let new = &self.0;
        if let Some(key) = &new.idempotency_key
            && let Some(before) = by_key(&mut tx.connection, key).await?
        {
            return same(before, &new.job);
        }
        let waits = matches!(new.fate, Fate::Waiting { .. });
        if let (true, Some(limit)) = (waits, new.queue_limit)
            && tx.waiting().await? + tx.unfinished().await? >= i64::try_from(limit).unwrap_or(i64::MAX)
        {
            return Err(Error::QueueFull);
        }
        insert(&mut tx.connection, new).await?;
        insert_event(&mut tx.connection, new.job.id, &new.event).await?;
        if waits {
            tx.moved(1);
            tx.changes.push(Change::Queued);
        }
        Ok(Created::New)
    }
}

/// A job that was there before stands for the same request, or the key is taken.
fn same(before: Record, job: &Job) -> Result<Created, Error> {
    if before.job.spec == job.spec { Ok(Created::Before(Box::new(before))) } else { Err(Error::KeyTaken) }
}

async fn by_key(connection: &mut SqliteConnection, key: &str) -> Result<Option<Record>, Error> {
    let query = sqlx::query_as(
        "SELECT document, progress, cancel_requested, owner, provisional FROM jobs WHERE idempotency_key = ?",
    );
    let row: Option<JobRow> = query.bind(key).fetch_optional(connection).await?;
    row.map(Record::try_from).transpose()
}

async fn insert(connection: &mut SqliteConnection, new: &NewJob) -> Result<(), Error> {
    let row = Columns::new(&new.job, new.fate)?;
    let query = sqlx::query(
        "INSERT INTO jobs (id, document, status, attempt, owner, running, waiting, due, priority, preset, provisional,
             progress, created_at, finished_at, idempotency_key, turn)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
             (SELECT coalesce(min(turn), 0) FROM jobs WHERE waiting AND priority = ?9))",
    );
    let query = query.bind(row.id).bind(row.document).bind(row.status).bind(row.attempt).bind(row.owner);
    let query = query.bind(row.running).bind(row.waiting).bind(row.due.unwrap_or(row.created_at)).bind(row.priority);
    let query = query.bind(row.preset).bind(row.provisional).bind(row.progress).bind(row.created_at);
    query.bind(row.finished_at).bind(&new.idempotency_key).execute(connection).await?;
    Ok(())
}

/// Writes the tasks of a job down: they wait, and take turns from the one that is due.
pub(super) async fn insert_tasks(tx: &mut Tx, tasks: &[Job]) -> Result<(), Error> {
    let Some(first) = tasks.first() else { return Ok(()) };
    let query = sqlx::query_scalar("SELECT coalesce(min(turn), 0) FROM jobs WHERE waiting AND priority = ?");
    let turn: i64 = query.bind(first.spec.priority).fetch_one(&mut tx.connection).await?;
    for (turn, task) in (turn..).zip(tasks) {
        let row = Columns::new(task, Fate::Waiting { due: Timestamp::UNIX_EPOCH })?;
        let query = sqlx::query(
            "INSERT INTO jobs (id, document, status, attempt, running, waiting, due, priority, preset, provisional,
                 progress, created_at, parent, turn)
             VALUES (?, ?, ?, ?, FALSE, TRUE, ?, ?, ?, FALSE, ?, ?, ?, ?)
             ON CONFLICT (id) DO NOTHING",
        );
        let query = query.bind(row.id).bind(row.document).bind(row.status).bind(row.attempt).bind(row.due);
        let query = query.bind(row.priority).bind(row.preset).bind(row.progress).bind(row.created_at);
        query.bind(row.parent).bind(turn).execute(&mut tx.connection).await?;
    }
    tx.changes.push(Change::Queued);
    Ok(())
}

/// Keeps an event.
pub(super) async fn insert_event(
    connection: &mut SqliteConnection,
    id: JobId,
    event: &StoredEvent,
) -> Result<(), Error> {
    let query = sqlx::query("INSERT INTO events (job, number, json) VALUES (?, ?, ?)");
    query.bind(id.uuid()).bind(event.number).bind(&event.json).execute(connection).await?;
    Ok(())
}

/// Removes a job that no client was told of.
pub(super) struct Withdraw {
    pub(super) id: JobId,
    pub(super) expected: Expected,
}

impl Operation for Withdraw {
    type Answer = ();

    async fn run(&self, tx: &mut Tx) -> Result<(), Error> {
        let query =
            sqlx::query("DELETE FROM jobs WHERE id = ? AND status = ? AND attempt = ? AND owner IS ? AND provisional");
        let query = query.bind(self.id.uuid()).bind(self.expected.status.name()).bind(self.expected.attempt);
        let done = query.bind(self.expected.owner.map(|owner| owner.0)).execute(&mut tx.connection).await?;
        if done.rows_affected() != 1 {
            return Err(Error::Conflict(self.id));
        }
        // One that was told of is not withdrawn, and one that was not never waits.
        tx.changes.push(Change::Job(self.id));
        Ok(())
    }
}
