//! New rows.

use rusqlite::{Connection, params};

use crate::{
    job::JobId,
    store::{Error, StoredEvent, row::Columns},
};

/// A client's job that is new.
pub(super) struct NewRow {
    pub(super) columns: Columns,
    pub(super) idempotency_key: Option<String>,
    pub(super) event: StoredEvent,
}

/// The number of the event that is kept beside the job.
const FIRST: u32 = 1;

/// Inserts a job of a client with its first event. `turn`: which is due.
pub(super) fn job(connection: &Connection, row: &NewRow, turn: i64) -> Result<(), Error> {
    let beside = (row.event.number == FIRST).then_some(row.event.json.as_str());
    if !insert(connection, &row.columns, row.idempotency_key.as_deref(), turn, beside)? {
        return Err(Error::Broken("the id of a new job is taken".to_owned()));
    }
    if beside.is_none() {
        event(connection, row.columns.id.into(), &row.event)?;
    }
    Ok(())
}

/// Inserts a task, unless it is there.
pub(super) fn task(connection: &Connection, row: &Columns, turn: i64) -> Result<(), Error> {
    insert(connection, row, None, turn, None)?;
    Ok(())
}

/// The least turn of those that wait with this priority.
pub(super) fn least_turn(connection: &Connection, priority: i64) -> Result<Option<i64>, Error> {
    let mut select = connection.prepare_cached(
        "SELECT min(turn)
         FROM (SELECT min(turn) AS turn FROM jobs WHERE waiting AND parent IS NULL AND priority = ?1
               UNION ALL
               SELECT min(turn) FROM jobs WHERE waiting AND parent IS NOT NULL AND priority = ?1)",
    )?;
    Ok(select.query_row([priority], |row| row.get(0))?)
}

/// The latest turn of those with this priority that somebody drives.
pub(super) fn driven_turn(connection: &Connection, priority: i64) -> Result<Option<i64>, Error> {
    let sql = "SELECT max(turn) FROM jobs WHERE owner IS NOT NULL AND priority = ?";
    Ok(connection.prepare_cached(sql)?.query_row([priority], |row| row.get(0))?)
}

/// Keeps an event of a job that is there.
pub(super) fn event(connection: &Connection, id: JobId, event: &StoredEvent) -> Result<(), Error> {
    if event.number == FIRST && has_first(connection, id)? {
        return Err(Error::Broken("the number of an event is taken".to_owned()));
    }
    let mut insert = connection.prepare_cached("INSERT INTO events (job, number, json) VALUES (?, ?, ?)")?;
    insert.execute(params![id.uuid(), event.number, event.json])?;
    Ok(())
}

/// Whether the first event is beside the job.
fn has_first(connection: &Connection, id: JobId) -> Result<bool, Error> {
    let mut select = connection.prepare_cached("SELECT 1 FROM jobs WHERE id = ? AND event IS NOT NULL")?;
    Ok(select.exists([id.uuid()])?)
}

/// False where the id is taken. `event`: the first.
fn insert(
    connection: &Connection,
    row: &Columns,
    key: Option<&str>,
    turn: i64,
    event: Option<&str>,
) -> Result<bool, Error> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO jobs (id, document, status, attempt, owner, running, waiting, due, priority, preset, provisional,
             progress, created_at, finished_at, idempotency_key, parent, turn, event)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO NOTHING",
    )?;
    let rows = insert.execute(params![
        row.id,
        row.document,
        row.status,
        row.attempt,
        row.owner,
        row.running,
        row.waiting,
        row.due.unwrap_or(row.created_at),
        row.priority,
        row.preset,
        row.provisional,
        row.progress,
        row.created_at,
        row.finished_at,
        key,
        row.parent,
        turn,
        event,
    ])?;
    Ok(rows == 1)
}
