//! Reads of jobs and events.

use jiff::Timestamp;
use sqlx::{QueryBuilder, SqliteConnection};

use super::pending::Read;
use crate::{
    job::JobId,
    store::{
        Error, Filter, Page, PlaneId, Record, StoredEvent,
        row::{self, EventRow, JobRow},
    },
};

/// Reads a job.
pub(super) async fn get(connection: &mut SqliteConnection, id: JobId) -> Result<Option<Record>, Error> {
    let query =
        sqlx::query_as("SELECT document, progress, cancel_requested, owner, provisional FROM jobs WHERE id = ?");
    let row: Option<JobRow> = query.bind(id.uuid()).fetch_optional(connection).await?;
    row.map(Record::try_from).transpose()
}

/// Reads a job.
pub(super) struct Get(pub(super) JobId);

impl Read for Get {
    type Answer = Option<Record>;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Option<Record>, Error> {
        get(connection, self.0).await
    }
}

/// Reads the job that an idempotency key stands for.
pub(super) struct ByKey(pub(super) String);

impl Read for ByKey {
    type Answer = Option<Record>;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Option<Record>, Error> {
        let query = sqlx::query_as(
            "SELECT document, progress, cancel_requested, owner, provisional FROM jobs WHERE idempotency_key = ?",
        );
        let row: Option<JobRow> = query.bind(&self.0).fetch_optional(connection).await?;
        row.map(Record::try_from).transpose()
    }
}

/// Reads the jobs that a control plane drives.
pub(super) struct Held(pub(super) PlaneId);

impl Read for Held {
    type Answer = Vec<Record>;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Vec<Record>, Error> {
        let query =
            sqlx::query_as("SELECT document, progress, cancel_requested, owner, provisional FROM jobs WHERE owner = ?");
        let rows: Vec<JobRow> = query.bind(self.0.0).fetch_all(connection).await?;
        Ok(row::records(rows))
    }
}

/// Reads the tasks of a split job.
pub(super) struct Family(pub(super) JobId);

impl Read for Family {
    type Answer = Vec<Record>;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Vec<Record>, Error> {
        let query = sqlx::query_as(
            "SELECT document, progress, cancel_requested, owner, provisional FROM jobs WHERE parent = ?",
        );
        let rows: Vec<JobRow> = query.bind(self.0.uuid()).fetch_all(connection).await?;
        Ok(row::records(rows))
    }
}

/// Reads what proves the output of a job whole.
pub(super) struct Certificate(pub(super) JobId);

impl Read for Certificate {
    type Answer = Option<String>;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Option<String>, Error> {
        let query = sqlx::query_scalar("SELECT json FROM certificates WHERE job = ?");
        Ok(query.bind(self.0.uuid()).fetch_optional(connection).await?)
    }
}

impl Read for Filter {
    type Answer = Page;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Page, Error> {
        let mut query = QueryBuilder::new(
            "SELECT document, progress, cancel_requested, owner, provisional FROM jobs
             WHERE NOT provisional AND parent IS NULL",
        );
        if let Some(status) = self.status {
            query.push(" AND status = ").push_bind(status.name());
        }
        if let Some(preset) = &self.preset {
            query.push(" AND preset = ").push_bind(preset.clone());
        }
        if let Some(time) = self.created_after {
            query.push(" AND created_at > ").push_bind(time.as_microsecond());
        }
        if let Some(cursor) = self.after {
            query.push(" AND (created_at, id) < (").push_bind(cursor.created_at.as_microsecond());
            query.push(", ").push_bind(cursor.id.uuid()).push(")");
        }
        let limit = self.limit.max(1);
        query.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(i64::from(limit) + 1);
        let rows: Vec<JobRow> = query.build_query_as().fetch_all(connection).await?;
        Ok(row::page(rows, limit))
    }
}

/// Reads the events of a job.
pub(super) struct Events {
    pub(super) id: JobId,
    pub(super) after: u32,
}

impl Read for Events {
    type Answer = Vec<StoredEvent>;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Vec<StoredEvent>, Error> {
        let query = sqlx::query_as("SELECT number, json FROM events WHERE job = ? AND number > ? ORDER BY number");
        let rows: Vec<EventRow> = query.bind(self.id.uuid()).bind(self.after).fetch_all(connection).await?;
        rows.into_iter().map(StoredEvent::try_from).collect()
    }
}

/// When the next job that waits for its time may start.
pub(super) struct NextDue(pub(super) Timestamp);

impl Read for NextDue {
    type Answer = Option<Timestamp>;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Option<Timestamp>, Error> {
        let query = sqlx::query_scalar("SELECT min(due) FROM jobs WHERE waiting AND due > ?");
        let due: Option<i64> = query.bind(self.0.as_microsecond()).fetch_one(connection).await?;
        due.map(row::time).transpose()
    }
}

/// How many jobs wait.
pub(super) struct Waiting;

impl Read for Waiting {
    type Answer = u64;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<u64, Error> {
        let query = sqlx::query_scalar("SELECT count(*) FROM jobs WHERE waiting AND parent IS NULL");
        Ok(row::count(query.fetch_one(connection).await?))
    }
}
