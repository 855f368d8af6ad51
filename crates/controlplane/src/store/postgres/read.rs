//! Reads of jobs and events.

use sqlx::{PgPool, QueryBuilder};

use crate::{
    job::JobId,
    store::{
        Error, Filter, Page, PlaneId, Record, StoredEvent,
        row::{self, EventRow, JobRow},
    },
};

/// Reads a job.
pub(super) async fn get(pool: &PgPool, id: JobId) -> Result<Option<Record>, Error> {
    let query =
        sqlx::query_as("SELECT document, progress, cancel_requested, owner, provisional FROM jobs WHERE id = $1");
    let row: Option<JobRow> = query.bind(id.uuid()).fetch_optional(pool).await?;
    row.map(Record::try_from).transpose()
}

/// Reads the job that an idempotency key stands for.
pub(super) async fn by_key(pool: &PgPool, key: String) -> Result<Option<Record>, Error> {
    let query = sqlx::query_as(
        "SELECT document, progress, cancel_requested, owner, provisional FROM jobs WHERE idempotency_key = $1",
    );
    let row: Option<JobRow> = query.bind(key).fetch_optional(pool).await?;
    row.map(Record::try_from).transpose()
}

/// Reads the jobs that a control plane drives.
pub(super) async fn held(pool: &PgPool, plane: PlaneId) -> Result<Vec<Record>, Error> {
    let query =
        sqlx::query_as("SELECT document, progress, cancel_requested, owner, provisional FROM jobs WHERE owner = $1");
    let rows: Vec<JobRow> = query.bind(plane.0).fetch_all(pool).await?;
    Ok(row::records(rows))
}

/// Reads the tasks of a split job.
pub(super) async fn family(pool: &PgPool, parent: JobId) -> Result<Vec<Record>, Error> {
    let query =
        sqlx::query_as("SELECT document, progress, cancel_requested, owner, provisional FROM jobs WHERE parent = $1");
    let rows: Vec<JobRow> = query.bind(parent.uuid()).fetch_all(pool).await?;
    Ok(row::records(rows))
}

/// Reads what proves the output of a job whole.
pub(super) async fn certificate(pool: &PgPool, id: JobId) -> Result<Option<String>, Error> {
    let query = sqlx::query_scalar("SELECT json FROM certificates WHERE job = $1");
    Ok(query.bind(id.uuid()).fetch_optional(pool).await?)
}

/// Reads jobs, newest first.
pub(super) async fn list(pool: &PgPool, filter: Filter) -> Result<Page, Error> {
    let mut query = QueryBuilder::new(
        "SELECT document, progress, cancel_requested, owner, provisional FROM jobs
         WHERE NOT provisional AND parent IS NULL",
    );
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status.name());
    }
    if let Some(preset) = filter.preset {
        // The server has no texts with this character.
        query.push(" AND preset = ").push_bind(preset.replace('\0', "\u{fffd}"));
    }
    if let Some(time) = filter.created_after {
        query.push(" AND created_at > ").push_bind(time.as_microsecond());
    }
    if let Some(cursor) = filter.after {
        query.push(" AND (created_at, id) < (").push_bind(cursor.created_at.as_microsecond());
        query.push(", ").push_bind(cursor.id.uuid()).push(")");
    }
    let limit = filter.limit.max(1);
    query.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(i64::from(limit) + 1);
    let rows: Vec<JobRow> = query.build_query_as().fetch_all(pool).await?;
    Ok(row::page(rows, limit))
}

/// Reads the events of a job.
pub(super) async fn events(pool: &PgPool, id: JobId, after: u32) -> Result<Vec<StoredEvent>, Error> {
    let query = sqlx::query_as("SELECT number, json FROM events WHERE job = $1 AND number > $2 ORDER BY number");
    let rows: Vec<EventRow> = query.bind(id.uuid()).bind(i64::from(after)).fetch_all(pool).await?;
    rows.into_iter().map(StoredEvent::try_from).collect()
}
