//! New rows.

use rusqlite::{Connection, params};

use crate::{
    job::{Job, JobId},
    store::{Error, Fate, StoredEvent, row::Columns},
};

/// A client's job that is new.
pub(super) struct NewRow {
    pub(super) columns: Columns,
    pub(super) idempotency_key: Option<String>,
    pub(super) event: StoredEvent,
}

/// Inserts a job of a client with its first event.
pub(super) fn job(connection: &Connection, row: &NewRow) -> Result<(), Error> {
    if !insert(connection, &row.columns, row.idempotency_key.as_deref(), 0)? {
        return Err(Error::Broken("the id of a new job is taken".to_owned()));
    }
    event(connection, row.columns.id.into(), &row.event)
}

/// Inserts tasks, but for those that are there. Each takes its turn after so many others of the job that is due.
pub(super) fn tasks(connection: &Connection, tasks: &[Job], fate: Fate) -> Result<(), Error> {
    for (turn, task) in (0..).zip(tasks) {
        insert(connection, &Columns::new(task, fate)?, None, turn)?;
    }
    Ok(())
}

/// Keeps an event.
pub(super) fn event(connection: &Connection, id: JobId, event: &StoredEvent) -> Result<(), Error> {
    let mut insert = connection.prepare_cached("INSERT INTO events (job, number, json) VALUES (?, ?, ?)")?;
    insert.execute(params![id.uuid(), event.number, event.json])?;
    Ok(())
}

/// False where the id is taken. `turn`: how many others of the job that is due have their turn first.
fn insert(connection: &Connection, row: &Columns, key: Option<&str>, turn: i64) -> Result<bool, Error> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO jobs (id, document, status, attempt, owner, running, waiting, due, priority, preset, provisional,
             progress, created_at, finished_at, idempotency_key, parent, turn)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
             ?17 + (SELECT coalesce(min(turn), 0) FROM jobs WHERE waiting AND priority = ?9))
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
    ])?;
    Ok(rows == 1)
}
