//! New rows, many to a statement: each statement is a trip to SQLite's own thread and back.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::{
    job::Job,
    store::{Error, Fate, NewJob, StoredEvent, row::Columns},
};

/// How many rows go into one statement at most: a power of two, and its values are fewer than SQLite allows.
const ROWS: usize = 64;

/// A job that is new.
pub(super) struct NewRow {
    columns: Columns,
    idempotency_key: Option<String>,
    /// How many others of the job that is due have their turn first.
    turn: i64,
    event: Option<StoredEvent>,
}

impl NewRow {
    /// A client's job.
    pub(super) fn job(new: &NewJob) -> Result<Self, Error> {
        let (idempotency_key, event) = (new.idempotency_key.clone(), Some(new.event.clone()));
        Ok(Self { columns: Columns::new(&new.job, new.fate)?, idempotency_key, turn: 0, event })
    }

    /// A task of a split job.
    pub(super) fn task(task: &Job, fate: Fate, turn: i64) -> Result<Self, Error> {
        Ok(Self { columns: Columns::new(task, fate)?, idempotency_key: None, turn, event: None })
    }
}

/// Inserts jobs of clients with their first events.
pub(super) async fn jobs(connection: &mut SqliteConnection, rows: &[NewRow]) -> Result<(), Error> {
    for rows in groups(rows) {
        if insert(connection, rows).await? != rows.len() {
            return Err(Error::Broken("the id of a new job is taken".to_owned()));
        }
        insert_events(connection, rows).await?;
    }
    Ok(())
}

/// Inserts tasks, but for those that are there.
pub(super) async fn tasks(connection: &mut SqliteConnection, rows: &[NewRow]) -> Result<(), Error> {
    for rows in groups(rows) {
        insert(connection, rows).await?;
    }
    Ok(())
}

/// Groups of few different lengths, so that each statement is prepared once.
pub(super) fn groups<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = 1 << rows.len().checked_ilog2()?;
        let (group, rest) = rows.split_at(ROWS.min(length));
        rows = rest;
        Some(group)
    })
}

/// Answers how many were new.
async fn insert(connection: &mut SqliteConnection, rows: &[NewRow]) -> Result<usize, Error> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO jobs (id, document, status, attempt, owner, running, waiting, due, priority, preset, provisional,
             progress, created_at, finished_at, idempotency_key, parent, turn) ",
    );
    query.push_values(rows, |mut values, row| {
        let NewRow { columns, idempotency_key, turn, .. } = row;
        values.push_bind(columns.id).push_bind(columns.document.clone()).push_bind(columns.status);
        values.push_bind(columns.attempt).push_bind(columns.owner).push_bind(columns.running);
        values.push_bind(columns.waiting).push_bind(columns.due.unwrap_or(columns.created_at));
        values.push_bind(columns.priority).push_bind(columns.preset).push_bind(columns.provisional);
        values.push_bind(columns.progress).push_bind(columns.created_at).push_bind(columns.finished_at);
        values.push_bind(idempotency_key.clone()).push_bind(columns.parent).push_bind(*turn);
        values.push_unseparated(" + (SELECT coalesce(min(turn), 0) FROM jobs WHERE waiting AND priority = ");
        values.push_bind_unseparated(columns.priority).push_unseparated(")");
    });
    query.push(" ON CONFLICT (id) DO NOTHING");
    let done = query.build().execute(connection).await?;
    usize::try_from(done.rows_affected()).map_err(|error| Error::Broken(error.to_string()))
}

async fn insert_events(connection: &mut SqliteConnection, rows: &[NewRow]) -> Result<(), Error> {
    let events = rows.iter().filter_map(|row| Some((row.columns.id, row.event.as_ref()?)));
    let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO events (job, number, json) ");
    query.push_values(events, |mut values, (job, event)| {
        values.push_bind(job).push_bind(event.number).push_bind(event.json.clone());
    });
    query.build().execute(connection).await?;
    Ok(())
}
