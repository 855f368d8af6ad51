//! Jobs and callbacks as rows: what both databases share.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Callback, CallbackId, Cursor, Error, Fate, Page, PlaneId, Record, StoredEvent};
use crate::job::{Job, Status};

/// What is read of a job.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct JobRow {
    pub(super) document: String,
    pub(super) progress: f32,
    pub(super) cancel_requested: bool,
    pub(super) owner: Option<Uuid>,
    pub(super) provisional: bool,
}

impl TryFrom<JobRow> for Record {
    type Error = Error;

    fn try_from(row: JobRow) -> Result<Self, Error> {
        let mut job: Job = serde_json::from_str(&row.document).map_err(broken)?;
        job.state = job.state.at_least(row.progress);
        let JobRow { cancel_requested, owner, provisional, .. } = row;
        Ok(Self { job, cancel_requested, owner: owner.map(PlaneId), provisional })
    }
}

/// The row as a record; `None` where it cannot be read, such as one of a later version.
pub(super) fn record(row: JobRow) -> Option<Record> {
    let warn = |error: &Error| tracing::error!(%error, "a job cannot be read and is left alone");
    Record::try_from(row).inspect_err(warn).ok()
}

/// Every row as a record. One that cannot be read does not keep the others away.
pub(super) fn records(rows: Vec<JobRow>) -> Vec<Record> {
    rows.into_iter().filter_map(record).collect()
}

/// The first `limit` rows as a page; one row more says that there is another page.
pub(super) fn page(mut rows: Vec<JobRow>, limit: u32) -> Page {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let records = records(rows);
    let last = records.last().filter(|_| more);
    let next = last.map(|record| Cursor { created_at: record.job.created_at, id: record.job.id });
    Page { records, next }
}

/// What is written of a job.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) id: Uuid,
    pub(super) document: String,
    pub(super) status: &'static str,
    pub(super) attempt: i64,
    pub(super) owner: Option<Uuid>,
    pub(super) running: bool,
    pub(super) waiting: bool,
    /// `None` leaves it as it was.
    pub(super) due: Option<i64>,
    pub(super) priority: i64,
    pub(super) preset: &'static str,
    pub(super) provisional: bool,
    pub(super) progress: f32,
    pub(super) created_at: i64,
    pub(super) finished_at: Option<i64>,
    pub(super) parent: Option<Uuid>,
}

impl Columns {
    /// The row of `job`, which is to have that fate.
    pub(super) fn new(job: &Job, fate: Fate) -> Result<Self, Error> {
        let (owner, due, provisional) = match fate {
            Fate::Waiting { due } => (None, Some(due.as_microsecond()), false),
            Fate::Driven { by, provisional } => (Some(by.0), None, provisional),
            Fate::Conducted { by } => (Some(by.0), None, false),
            Fate::Ended => (None, None, false),
        };
        let status = job.state.status();
        let fits = match fate {
            Fate::Waiting { .. } => status == Status::Queued,
            Fate::Driven { .. } | Fate::Conducted { .. } => !status.is_terminal(),
            Fate::Ended => status.is_terminal(),
        };
        if !fits {
            return Err(Error::Broken(format!("a job in status {} cannot be {fate:?}", status.name())));
        }
        Ok(Self {
            id: job.id.uuid(),
            document: document(job)?,
            status: status.name(),
            attempt: i64::from(job.attempt()),
            owner,
            // Whoever follows takes a conducted job over as it does one whose attempt runs.
            running: matches!(fate, Fate::Conducted { .. })
                || job.attempts.last().is_some_and(|attempt| attempt.ended.is_none()),
            waiting: matches!(fate, Fate::Waiting { .. }),
            due,
            priority: i64::from(job.spec.priority),
            preset: job.spec.preset.name,
            provisional,
            progress: job.state.progress(),
            created_at: job.created_at.as_microsecond(),
            finished_at: job.state.finished_at().map(Timestamp::as_microsecond),
            parent: job.parent().map(crate::job::JobId::uuid),
        })
    }
}

fn document(job: &Job) -> Result<String, Error> {
    // Most fit, so that none is moved while it grows.
    let mut json = Vec::with_capacity(1024);
    serde_json::to_writer(&mut json, job).map_err(broken)?;
    String::from_utf8(json).map_err(broken)
}

/// What is read of a callback.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct CallbackRow {
    pub(super) id: Uuid,
    pub(super) job: Uuid,
    pub(super) url: String,
    pub(super) payload: String,
    pub(super) created_at: i64,
    pub(super) failures: i64,
}

impl TryFrom<CallbackRow> for Callback {
    type Error = Error;

    fn try_from(row: CallbackRow) -> Result<Self, Error> {
        Ok(Self {
            id: CallbackId(row.id),
            job: row.job.into(),
            url: row.url,
            payload: row.payload,
            created_at: time(row.created_at)?,
            failures: u32::try_from(row.failures).map_err(broken)?,
        })
    }
}

/// Every row as a callback, the oldest first.
pub(super) fn callbacks(rows: Vec<CallbackRow>) -> Result<Vec<Callback>, Error> {
    let mut callbacks = rows.into_iter().map(Callback::try_from).collect::<Result<Vec<_>, _>>()?;
    callbacks.sort_by_key(|callback| callback.created_at);
    Ok(callbacks)
}

/// When a callback of `job` is made, in microseconds.
pub(super) fn called_at(job: &Job) -> i64 {
    job.state.finished_at().unwrap_or_else(Timestamp::now).as_microsecond()
}

/// What is read of an event.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct EventRow {
    pub(super) number: i64,
    pub(super) json: String,
}

impl TryFrom<EventRow> for StoredEvent {
    type Error = Error;

    fn try_from(row: EventRow) -> Result<Self, Error> {
        Ok(Self { number: u32::try_from(row.number).map_err(broken)?, json: row.json })
    }
}

/// A time of the store.
pub(super) fn time(microseconds: i64) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(microseconds).map_err(broken)
}

/// A time for the store, `hold` after `now`.
pub(super) fn after(now: Timestamp, hold: std::time::Duration) -> i64 {
    let hold = i64::try_from(hold.as_micros()).unwrap_or(i64::MAX);
    now.as_microsecond().saturating_add(hold)
}

/// A count of the store.
pub(super) fn count(count: i64) -> u64 {
    // Counts are never negative.
    u64::try_from(count).unwrap_or_default()
}

/// What is written there makes no sense.
pub(super) fn broken(error: impl std::fmt::Display) -> Error {
    Error::Broken(error.to_string())
}
