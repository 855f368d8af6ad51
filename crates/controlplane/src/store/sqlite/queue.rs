//! Who drives which job.

use jiff::Timestamp;

use super::{pending::Operation, tx::Tx};
use crate::store::{
    Change, Error, PlaneId, Record,
    row::{self, JobRow},
};

/// Takes the job that is to start next.
pub(super) struct Claim {
    pub(super) plane: PlaneId,
    pub(super) now: Timestamp,
    /// It may be a task.
    pub(super) tasks: bool,
}

impl Operation for Claim {
    type Answer = Option<Record>;

    async fn run(&self, tx: &mut Tx) -> Result<Option<Record>, Error> {
        // The sign keeps the index of times out of it: nearly all that wait are due, and they would have to be sorted.
        let query = sqlx::query_as(if self.tasks {
            "UPDATE jobs SET owner = ?, waiting = FALSE
             WHERE id = (SELECT id FROM jobs WHERE waiting AND +due <= ?
                         ORDER BY priority DESC, turn, created_at, id LIMIT 1)
             RETURNING document, progress, cancel_requested, owner, provisional"
        } else {
            "UPDATE jobs SET owner = ?, waiting = FALSE
             WHERE id = (SELECT id FROM jobs WHERE waiting AND parent IS NULL AND +due <= ?
                         ORDER BY priority DESC, turn, created_at, id LIMIT 1)
             RETURNING document, progress, cancel_requested, owner, provisional"
        });
        let query = query.bind(self.plane.0).bind(self.now.as_microsecond());
        let row: Option<JobRow> = query.fetch_optional(tx.write().await?).await?;
        let record = row.map(Record::try_from).transpose()?;
        if record.as_ref().is_some_and(|record| record.job.parent().is_none()) {
            tx.moved(-1);
        }
        Ok(record)
    }
}

/// Takes over what others left.
pub(super) struct Adopt(pub(super) PlaneId);

impl Operation for Adopt {
    type Answer = Vec<Record>;

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Record>, Error> {
        let plane = self.0.0;
        // No client was told of these, and no worker was.
        let query = sqlx::query("DELETE FROM jobs WHERE owner <> ? AND NOT running AND provisional");
        query.bind(plane).execute(tx.write().await?).await?;
        let query = sqlx::query_scalar(
            "UPDATE jobs SET owner = NULL, waiting = TRUE WHERE owner <> ? AND NOT running RETURNING parent IS NULL",
        );
        let freed: Vec<bool> = query.bind(plane).fetch_all(tx.write().await?).await?;
        let query = sqlx::query_as(
            "UPDATE jobs SET owner = ?1 WHERE owner <> ?1
             RETURNING document, progress, cancel_requested, owner, provisional",
        );
        let rows: Vec<JobRow> = query.bind(plane).fetch_all(tx.write().await?).await?;
        let jobs = freed.iter().filter(|is_job| **is_job).count();
        tx.moved(i64::try_from(jobs).unwrap_or(i64::MAX));
        if !freed.is_empty() {
            tx.tell(Change::Queued);
        }
        Ok(row::records(rows))
    }
}

/// Removes old jobs.
pub(super) struct Expire {
    pub(super) before: Timestamp,
    pub(super) limit: u32,
}

impl Operation for Expire {
    type Answer = u64;

    async fn run(&self, tx: &mut Tx) -> Result<u64, Error> {
        let query = sqlx::query(
            "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs
                                           WHERE finished_at IS NOT NULL AND parent IS NULL AND finished_at < ?
                                           ORDER BY finished_at LIMIT ?)",
        );
        let query = query.bind(self.before.as_microsecond()).bind(self.limit);
        Ok(query.execute(tx.write().await?).await?.rows_affected())
    }
}

/// Writes something.
pub(super) struct Probe;

impl Operation for Probe {
    type Answer = ();

    async fn run(&self, tx: &mut Tx) -> Result<(), Error> {
        // The same bytes again would not be written.
        sqlx::query("UPDATE probe SET filler = randomblob(65536)").execute(tx.write().await?).await?;
        Ok(())
    }
}
