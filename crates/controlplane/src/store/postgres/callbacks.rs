//! Callbacks that are to be sent.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::PgPool;

use crate::store::{
    Callback, CallbackId, Error, Settlement,
    row::{self, CallbackRow},
};

/// Takes callbacks that are due.
pub(super) async fn take(pool: &PgPool, now: Timestamp, hold: Duration, limit: u32) -> Result<Vec<Callback>, Error> {
    let query = sqlx::query_as(
        "WITH next AS (
             SELECT id FROM callbacks WHERE due <= $2 ORDER BY due LIMIT $3 FOR UPDATE SKIP LOCKED
         )
         UPDATE callbacks SET due = $1 FROM next WHERE callbacks.id = next.id
         RETURNING callbacks.id, job, url, payload, created_at, failures",
    );
    let query = query.bind(row::after(now, hold)).bind(now.as_microsecond()).bind(i64::from(limit));
    let rows: Vec<CallbackRow> = query.fetch_all(pool).await?;
    row::callbacks(rows)
}

/// When the next callback is due.
pub(super) async fn next(pool: &PgPool) -> Result<Option<Timestamp>, Error> {
    let due: Option<i64> = sqlx::query_scalar("SELECT min(due) FROM callbacks").fetch_one(pool).await?;
    due.map(row::time).transpose()
}

/// Notes how a delivery went.
pub(super) async fn settle(pool: &PgPool, id: CallbackId, settlement: Settlement) -> Result<(), Error> {
    let query = match settlement {
        Settlement::Done => sqlx::query("DELETE FROM callbacks WHERE id = $1").bind(id.0),
        Settlement::Retry(due) => {
            let query = sqlx::query("UPDATE callbacks SET due = $2, failures = failures + 1 WHERE id = $1");
            query.bind(id.0).bind(due.as_microsecond())
        }
    };
    query.execute(pool).await?;
    Ok(())
}
