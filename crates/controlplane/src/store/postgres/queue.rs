//! Jobs that wait, and jobs that are old.

use jiff::Timestamp;
use sqlx::PgPool;

use super::turns::Turns;
use crate::store::{
    Error, PlaneId, Record,
    row::{self, JobRow},
};

/// What was claimed.
#[derive(sqlx::FromRow)]
struct Claimed {
    #[sqlx(flatten)]
    job: JobRow,
    priority: i64,
    turn: i64,
}

/// Takes the job that is to start next.
pub(super) async fn claim(
    pool: &PgPool,
    turns: &Turns,
    plane: PlaneId,
    now: Timestamp,
    tasks: bool,
) -> Result<Option<Record>, Error> {
    while let Some(claimed) = take(pool, plane, now, tasks).await? {
        turns.claimed(claimed.priority, claimed.turn);
        // What cannot be read stays claimed: it would be the first again and again, and nothing else would start.
        if let Some(record) = row::record(claimed.job) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// Those that others are about to take are passed over, not waited for.
async fn take(pool: &PgPool, plane: PlaneId, now: Timestamp, tasks: bool) -> Result<Option<Claimed>, Error> {
    // The sum keeps the index of times out of it: nearly all that wait are due, and they would have to be sorted.
    let query = sqlx::query_as(if tasks {
        "WITH next AS (
             SELECT id FROM jobs WHERE waiting AND due + 0 <= $2
             ORDER BY priority DESC, turn, created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
         )
         UPDATE jobs SET owner = $1, waiting = FALSE FROM next WHERE jobs.id = next.id
         RETURNING document, progress, cancel_requested, owner, provisional, priority, turn"
    } else {
        "WITH next AS (
             SELECT id FROM jobs WHERE waiting AND parent IS NULL AND due + 0 <= $2
             ORDER BY priority DESC, turn, created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
         )
         UPDATE jobs SET owner = $1, waiting = FALSE FROM next WHERE jobs.id = next.id
         RETURNING document, progress, cancel_requested, owner, provisional, priority, turn"
    });
    Ok(query.bind(plane.0).bind(now.as_microsecond()).fetch_optional(pool).await?)
}

/// When the next job that waits for its time may start.
pub(super) async fn next_due(pool: &PgPool, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    let query = sqlx::query_scalar("SELECT min(due) FROM jobs WHERE waiting AND due > $1");
    let due: Option<i64> = query.bind(now.as_microsecond()).fetch_one(pool).await?;
    due.map(row::time).transpose()
}

/// How many jobs wait.
pub(super) async fn waiting(pool: &PgPool) -> Result<u64, Error> {
    let query = sqlx::query_scalar("SELECT count(*) FROM jobs WHERE waiting AND parent IS NULL");
    Ok(row::count(query.fetch_one(pool).await?))
}

/// Removes old jobs. A cleanup that is not done yet keeps its family: without it, what it is to remove would stay for ever.
pub(super) async fn expire(pool: &PgPool, before: Timestamp, limit: u32) -> Result<u64, Error> {
    let query = sqlx::query(
        "DELETE FROM jobs WHERE id IN (
             SELECT id FROM jobs WHERE finished_at IS NOT NULL AND parent IS NULL AND finished_at < $1
                 AND NOT EXISTS (SELECT 1 FROM jobs AS task WHERE task.parent = jobs.id AND task.finished_at IS NULL)
             ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED
         )",
    );
    let query = query.bind(before.as_microsecond()).bind(i64::from(limit));
    Ok(query.execute(pool).await?.rows_affected())
}

/// Writes something.
pub(super) async fn probe(pool: &PgPool) -> Result<(), Error> {
    sqlx::query("UPDATE probe SET writes = writes + 1").execute(pool).await?;
    Ok(())
}
