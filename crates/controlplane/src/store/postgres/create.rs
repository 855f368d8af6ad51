//! New jobs, and those that were never told of.

use sqlx::PgPool;

use super::{
    notice::{self, CHANNEL},
    room::Room,
    turns::Turns,
};
use crate::{
    job::JobId,
    store::{
        Change, Created, Error, Expected, Fate, NewJob, Record,
        row::{Columns, JobRow},
    },
};

/// How often a job is written anew when the one that had its key goes away at the same moment.
const TRIES: u32 = 3;

/// Writes a job down.
pub(super) async fn create(pool: &PgPool, room: &Room, turns: &Turns, new: NewJob) -> Result<Created, Error> {
    for _ in 0..TRIES {
        if let Some(before) = before(pool, &new).await? {
            return Ok(before);
        }
        let _seat = match limit(&new) {
            Some(limit) => Some(room.take(pool, limit).await?.ok_or(Error::QueueFull)?),
            None => None,
        };
        if insert(pool, turns, &new).await? {
            return Ok(Created::New);
        }
        // Somebody has just used the key: the next look shows for what.
    }
    Err(Error::Unavailable("the same request comes and goes".to_owned()))
}

/// The job that the key stands for.
async fn before(pool: &PgPool, new: &NewJob) -> Result<Option<Created>, Error> {
    let Some(key) = &new.idempotency_key else { return Ok(None) };
    let query = sqlx::query_as(
        "SELECT document, progress, cancel_requested, owner, provisional FROM jobs WHERE idempotency_key = $1",
    );
    let row: Option<JobRow> = query.bind(key).fetch_optional(pool).await?;
    match row.map(Record::try_from).transpose()? {
        None => Ok(None),
        Some(before) if before.job.spec == new.job.spec => Ok(Some(Created::Before(Box::new(before)))),
        Some(_) => Err(Error::KeyTaken),
    }
}

fn limit(new: &NewJob) -> Option<i64> {
    let waits = matches!(new.fate, Fate::Waiting { .. });
    new.queue_limit.filter(|_| waits).map(|limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

async fn insert(pool: &PgPool, turns: &Turns, new: &NewJob) -> Result<bool, Error> {
    let row = Columns::new(&new.job, new.fate)?;
    let claimed = turns.last(pool, row.priority).await?;
    // One that does not wait takes no turn from those that do.
    let query = sqlx::query(
        "WITH made AS (
             INSERT INTO jobs (id, document, status, attempt, owner, running, waiting, due, priority, preset,
                 provisional, progress, created_at, finished_at, idempotency_key, turn)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
                 coalesce(CASE WHEN $7 THEN greatest($20::bigint + 1,
                              (SELECT min(turn) FROM jobs WHERE waiting AND priority = $9)) ELSE $20 END, 0))
             ON CONFLICT (idempotency_key) DO NOTHING
             RETURNING id
         ), told AS (
             INSERT INTO events (job, number, json) SELECT id, $16, $17 FROM made
         )
         SELECT CASE WHEN $7 THEN pg_notify($18, $19)::text END FROM made",
    );
    let query = query.bind(row.id).bind(row.document).bind(row.status).bind(row.attempt).bind(row.owner);
    let query = query.bind(row.running).bind(row.waiting).bind(row.due.unwrap_or(row.created_at)).bind(row.priority);
    let query = query.bind(row.preset).bind(row.provisional).bind(row.progress).bind(row.created_at);
    let query = query.bind(row.finished_at).bind(&new.idempotency_key);
    let query = query.bind(i64::from(new.event.number)).bind(&new.event.json);
    let query = query.bind(CHANNEL).bind(notice::write(&Change::Queued)).bind(claimed);
    Ok(query.execute(pool).await?.rows_affected() == 1)
}

/// Removes a job that no client was told of.
pub(super) async fn withdraw(pool: &PgPool, id: JobId, expected: Expected) -> Result<(), Error> {
    let query = sqlx::query(
        "WITH gone AS (
             DELETE FROM jobs WHERE id = $1 AND status = $2 AND attempt = $3 AND owner IS NOT DISTINCT FROM $4
                 AND provisional
             RETURNING id
         )
         SELECT pg_notify($5, $6) FROM gone",
    );
    let query = query.bind(id.uuid()).bind(expected.status.name()).bind(i64::from(expected.attempt));
    let query = query.bind(expected.owner.map(|owner| owner.0));
    let done = query.bind(CHANNEL).bind(notice::write(&Change::Job(id))).execute(pool).await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(Error::Conflict(id)) }
}
