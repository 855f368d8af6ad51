//! New jobs, and those that were never told of.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::{
    insert::{self, NewRow},
    pending::Operation,
    tx::Tx,
};
use crate::{
    job::{Job, JobId},
    store::{Change, Created, Error, Expected, Fate, NewJob, Record, StoredEvent, row::JobRow},
};

/// Writes a job down.
pub(super) struct Create(pub(super) NewJob);

impl Operation for Create {
    type Answer = Created;

    async fn run(&self, tx: &mut Tx) -> Result<Created, Error> {
        let new = &self.0;
        if let Some(key) = &new.idempotency_key
            && let Some(before) = by_key(tx.read().await?, key).await?
        {
            return same(before, &new.job);
        }
        let waits = matches!(new.fate, Fate::Waiting { .. });
        if let (true, Some(limit)) = (waits, new.queue_limit)
            && tx.queued().await? >= i64::try_from(limit).unwrap_or(i64::MAX)
        {
            return Err(Error::QueueFull);
        }
        tx.insert(NewRow::job(new)?);
        if waits {
            tx.moved(1);
            tx.tell(Change::Queued);
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

/// Writes the tasks of a job down: they wait, and take turns from the one that is due.
pub(super) async fn insert_tasks(tx: &mut Tx, tasks: &[Job]) -> Result<(), Error> {
    if tasks.is_empty() {
        return Ok(());
    }
    let fate = Fate::Waiting { due: Timestamp::UNIX_EPOCH };
    let rows = (0..).zip(tasks).map(|(turn, task)| NewRow::task(task, fate, turn)).collect::<Result<Vec<_>, _>>()?;
    insert::tasks(tx.write().await?, &rows).await?;
    tx.tell(Change::Queued);
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
        let done = query.bind(self.expected.owner.map(|owner| owner.0)).execute(tx.write().await?).await?;
        if done.rows_affected() != 1 {
            return Err(Error::Conflict(self.id));
        }
        // One that was told of is not withdrawn, and one that was not never waits.
        tx.tell(Change::Job(self.id));
        Ok(())
    }
}
