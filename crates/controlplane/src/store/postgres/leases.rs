//! Which control planes live, and what is done with the jobs of those that do not.
//!
//! A lease is a row that says when it ends. Only [`adopt`] removes rows that have lapsed, and it takes the jobs of
//! whoever has no row in the same transaction. So a row that is still there means that nobody has taken anything.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};

use super::notice::{self, CHANNEL};
use crate::store::{
    Change, Error, PlaneId, Record,
    row::{self, JobRow},
};

/// Makes the lease of `plane` last from now. True when it had one.
pub(super) async fn renew(pool: &PgPool, plane: PlaneId, lease: Duration) -> Result<bool, Error> {
    // Waits for an `adopt` that is removing the row, and then makes a new one.
    let query = sqlx::query_scalar(
        "INSERT INTO planes (id, lease_ends) VALUES ($1, clock_timestamp() + $2 * interval '1 second')
         ON CONFLICT (id) DO UPDATE SET lease_ends = excluded.lease_ends
         RETURNING xmax <> 0",
    );
    Ok(query.bind(plane.0).bind(lease.as_secs_f64()).fetch_one(pool).await?)
}

/// Ends the lease of `plane`.
pub(super) async fn resign(pool: &PgPool, plane: PlaneId) -> Result<(), Error> {
    sqlx::query("DELETE FROM planes WHERE id = $1").bind(plane.0).execute(pool).await?;
    Ok(())
}

/// Takes over what others left.
pub(super) async fn adopt(pool: &PgPool, plane: PlaneId) -> Result<Vec<Record>, Error> {
    let mut tx = pool.begin().await?;
    // A renewal that is under way is waited for, and then the row is looked at again.
    let query = sqlx::query("DELETE FROM planes WHERE lease_ends < clock_timestamp() AND id <> $1");
    query.bind(plane.0).execute(&mut *tx).await?;
    free(&mut tx, plane).await?;
    let query = sqlx::query_as(
        "UPDATE jobs SET owner = $1 WHERE owner <> $1 AND NOT EXISTS (SELECT FROM planes WHERE planes.id = owner)
         RETURNING document, progress, cancel_requested, owner, provisional",
    );
    let rows: Vec<JobRow> = query.bind(plane.0).fetch_all(&mut *tx).await?;
    let records = row::records(rows);
    tx.commit().await?;
    Ok(records)
}

/// Gives back what had no attempt that runs. A job that neither a client nor a worker was told of is removed.
async fn free(connection: &mut PgConnection, plane: PlaneId) -> Result<(), Error> {
    let query = sqlx::query(
        "DELETE FROM jobs WHERE owner <> $1 AND NOT running AND provisional
             AND NOT EXISTS (SELECT FROM planes WHERE planes.id = owner)",
    );
    query.bind(plane.0).execute(&mut *connection).await?;
    let query = sqlx::query(
        "WITH freed AS (
             UPDATE jobs SET owner = NULL, waiting = TRUE
             WHERE owner <> $1 AND NOT running AND NOT EXISTS (SELECT FROM planes WHERE planes.id = owner)
             RETURNING id
         )
         SELECT pg_notify($2, $3) WHERE EXISTS (SELECT FROM freed)",
    );
    query.bind(plane.0).bind(CHANNEL).bind(notice::write(&Change::Queued)).execute(connection).await?;
    Ok(())
}
