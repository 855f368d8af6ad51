//! Reads of jobs and events.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, ToSql, params, params_from_iter};

use super::pending::Read;
use crate::{
    job::JobId,
    store::{
        Error, Filter, Page, PlaneId, Record, StoredEvent,
        row::{self, EventRow, JobRow},
    },
};

/// A row of `document, progress, cancel_requested, owner, provisional`.
pub(super) fn job(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    Ok(JobRow {
        document: row.get(0)?,
        progress: row.get(1)?,
        cancel_requested: row.get(2)?,
        owner: row.get(3)?,
        provisional: row.get(4)?,
    })
}

/// Reads the one job that a statement finds.
pub(super) fn one(connection: &Connection, sql: &str, params: impl Params) -> Result<Option<Record>, Error> {
    all(connection, sql, params)?.pop().map(Record::try_from).transpose()
}

/// Reads the jobs that a statement finds.
pub(super) fn all(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<JobRow>, Error> {
    Ok(connection.prepare_cached(sql)?.query_map(params, job)?.collect::<Result<_, _>>()?)
}

/// Reads a job.
pub(super) fn get(connection: &Connection, id: JobId) -> Result<Option<Record>, Error> {
    let sql = "SELECT document, progress, cancel_requested, owner, provisional FROM jobs WHERE id = ?";
    one(connection, sql, [id.uuid()])
}

/// Reads the job that an idempotency key stands for.
pub(super) fn by_key(connection: &Connection, key: &str) -> Result<Option<Record>, Error> {
    let sql = "SELECT document, progress, cancel_requested, owner, provisional FROM jobs WHERE idempotency_key = ?";
    one(connection, sql, [key])
}

/// Reads a job.
pub(super) struct Get(pub(super) JobId);

impl Read for Get {
    type Answer = Option<Record>;

    fn run(&self, connection: &Connection) -> Result<Option<Record>, Error> {
        get(connection, self.0)
    }
}

/// Reads the job that an idempotency key stands for.
pub(super) struct ByKey(pub(super) String);

impl Read for ByKey {
    type Answer = Option<Record>;

    fn run(&self, connection: &Connection) -> Result<Option<Record>, Error> {
        by_key(connection, &self.0)
    }
}

/// Reads the jobs that a control plane drives.
pub(super) struct Held(pub(super) PlaneId);

impl Read for Held {
    type Answer = Vec<Record>;

    fn run(&self, connection: &Connection) -> Result<Vec<Record>, Error> {
        let sql = "SELECT document, progress, cancel_requested, owner, provisional FROM jobs WHERE owner = ?";
        all(connection, sql, [self.0.0]).map(row::records)
    }
}

/// Reads the tasks of a split job.
pub(super) struct Family(pub(super) JobId);

impl Read for Family {
    type Answer = Vec<Record>;

    fn run(&self, connection: &Connection) -> Result<Vec<Record>, Error> {
        let sql = "SELECT document, progress, cancel_requested, owner, provisional FROM jobs WHERE parent = ?";
        all(connection, sql, [self.0.uuid()]).map(row::records)
    }
}

/// Reads what proves the output of a job whole.
pub(super) struct Certificate(pub(super) JobId);

impl Read for Certificate {
    type Answer = Option<String>;

    fn run(&self, connection: &Connection) -> Result<Option<String>, Error> {
        let mut select = connection.prepare_cached("SELECT json FROM certificates WHERE job = ?")?;
        Ok(select.query_row([self.0.uuid()], |row| row.get(0)).optional()?)
    }
}

impl Read for Filter {
    type Answer = Page;

    fn run(&self, connection: &Connection) -> Result<Page, Error> {
        let limit = self.limit.max(1);
        let (sql, params) = select(self, i64::from(limit) + 1);
        let params = params_from_iter(params);
        all(connection, &sql, params).map(|rows| row::page(rows, limit))
    }
}

/// The statement for what passes the filter, and its parameters.
fn select(filter: &Filter, limit: i64) -> (String, Vec<Box<dyn ToSql>>) {
    let mut sql = "SELECT document, progress, cancel_requested, owner, provisional FROM jobs
                   WHERE NOT provisional AND parent IS NULL"
        .to_owned();
    let mut params: Vec<Box<dyn ToSql>> = Vec::new();
    if let Some(status) = filter.status {
        sql.push_str(" AND status = ?");
        params.push(Box::new(status.name()));
    }
    if let Some(preset) = &filter.preset {
        sql.push_str(" AND preset = ?");
        params.push(Box::new(preset.clone()));
    }
    if let Some(time) = filter.created_after {
        sql.push_str(" AND created_at > ?");
        params.push(Box::new(time.as_microsecond()));
    }
    if let Some(cursor) = filter.after {
        sql.push_str(" AND (created_at, id) < (?, ?)");
        params.push(Box::new(cursor.created_at.as_microsecond()));
        params.push(Box::new(cursor.id.uuid()));
    }
    sql.push_str(" ORDER BY created_at DESC, id DESC LIMIT ?");
    params.push(Box::new(limit));
    (sql, params)
}

/// Reads the events of a job.
pub(super) struct Events {
    pub(super) id: JobId,
    pub(super) after: u32,
}

impl Read for Events {
    type Answer = Vec<StoredEvent>;

    fn run(&self, connection: &Connection) -> Result<Vec<StoredEvent>, Error> {
        let mut select = connection.prepare_cached(
            "SELECT 1 AS number, event AS json FROM jobs WHERE id = ?1 AND event IS NOT NULL AND ?2 < 1
             UNION ALL
             SELECT number, json FROM events WHERE job = ?1 AND number > ?2
             ORDER BY number",
        )?;
        let rows = select.query_map(params![self.id.uuid(), self.after], |row| {
            Ok(EventRow { number: row.get(0)?, json: row.get(1)? })
        })?;
        rows.map(|row| StoredEvent::try_from(row?)).collect()
    }
}

/// When the next job that waits for its time may start.
pub(super) struct NextDue(pub(super) Timestamp);

impl Read for NextDue {
    type Answer = Option<Timestamp>;

    fn run(&self, connection: &Connection) -> Result<Option<Timestamp>, Error> {
        let mut select = connection.prepare_cached("SELECT min(due) FROM jobs WHERE waiting AND due > ?")?;
        let due: Option<i64> = select.query_row([self.0.as_microsecond()], |row| row.get(0))?;
        due.map(row::time).transpose()
    }
}
