//! Who drives which job.

use jiff::Timestamp;
use rusqlite::params;

use super::{pending::Operation, read, tx::Tx};
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

    fn run(&self, tx: &mut Tx) -> Result<Option<Record>, Error> {
        while let Some(row) = self.take(tx)? {
            // What cannot be read stays claimed: it would be the first again and again, and nothing else would start.
            if let Some(record) = row::record(row) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}

impl Claim {
    fn take(&self, tx: &mut Tx) -> Result<Option<JobRow>, Error> {
        // The sign keeps the index of times out of it: nearly all that wait are due, and they would have to be sorted.
        let sql = if self.tasks {
            "UPDATE jobs SET owner = ?1, waiting = FALSE
             WHERE id = (SELECT id
                         FROM (SELECT * FROM (SELECT id, priority, turn, created_at FROM jobs
                                              WHERE waiting AND parent IS NULL AND +due <= ?2
                                              ORDER BY priority DESC, turn, created_at, id LIMIT 1)
                               UNION ALL
                               SELECT * FROM (SELECT id, priority, turn, created_at FROM jobs
                                              WHERE waiting AND parent IS NOT NULL AND +due <= ?2
                                              ORDER BY priority DESC, turn, created_at, id LIMIT 1))
                         ORDER BY priority DESC, turn, created_at, id LIMIT 1)
             RETURNING document, progress, cancel_requested, owner, provisional, parent IS NULL, priority, turn"
        } else {
            "UPDATE jobs SET owner = ?1, waiting = FALSE
             WHERE id = (SELECT id FROM jobs WHERE waiting AND parent IS NULL AND +due <= ?2
                         ORDER BY priority DESC, turn, created_at, id LIMIT 1)
             RETURNING document, progress, cancel_requested, owner, provisional, parent IS NULL, priority, turn"
        };
        let mut update = tx.write().prepare_cached(sql)?;
        let rows = update.query_map(params![self.plane.0, self.now.as_microsecond()], |row| {
            Ok((read::job(row)?, row.get::<_, bool>(5)?, row.get(6)?, row.get(7)?))
        })?;
        let claimed = rows.collect::<Result<Vec<_>, _>>()?.pop();
        drop(update);
        let Some((row, is_job, priority, turn)) = claimed else { return Ok(None) };
        if is_job {
            tx.moved(-1);
        }
        tx.claimed(priority, turn)?;
        Ok(Some(row))
    }
}

/// Takes over what others left.
pub(super) struct Adopt(pub(super) PlaneId);

impl Operation for Adopt {
    type Answer = Vec<Record>;

    fn run(&self, tx: &mut Tx) -> Result<Vec<Record>, Error> {
        let (plane, connection) = (self.0.0, tx.write());
        // No client was told of these, and no worker was.
        let sql = "DELETE FROM jobs WHERE owner <> ? AND NOT running AND provisional";
        connection.prepare_cached(sql)?.execute([plane])?;
        let sql =
            "UPDATE jobs SET owner = NULL, waiting = TRUE WHERE owner <> ? AND NOT running RETURNING parent IS NULL";
        let mut update = connection.prepare_cached(sql)?;
        let freed = update.query_map([plane], |row| row.get(0))?.collect::<Result<Vec<bool>, _>>()?;
        drop(update);
        let sql = "UPDATE jobs SET owner = ?1 WHERE owner <> ?1
                   RETURNING document, progress, cancel_requested, owner, provisional";
        let rows = read::all(connection, sql, [plane])?;
        let jobs = freed.iter().filter(|is_job| **is_job).count();
        tx.moved(i64::try_from(jobs).unwrap_or(i64::MAX));
        if !freed.is_empty() {
            tx.tell(Change::Queued);
        }
        Ok(row::records(rows))
    }
}

/// How many jobs wait. The writer knows, and whoever counts a long queue holds up the log of the file meanwhile.
pub(super) struct Waiting;

impl Operation for Waiting {
    type Answer = u64;

    fn run(&self, tx: &mut Tx) -> Result<u64, Error> {
        tx.waiting().map(row::count)
    }
}

/// Removes old jobs. A cleanup that is not done yet keeps its family: without it, what it is to remove would stay for ever.
pub(super) struct Expire {
    pub(super) before: Timestamp,
    pub(super) limit: u32,
}

impl Operation for Expire {
    type Answer = u64;

    fn run(&self, tx: &mut Tx) -> Result<u64, Error> {
        let mut delete = tx.write().prepare_cached(
            "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs
                                           WHERE finished_at IS NOT NULL AND parent IS NULL AND finished_at < ?
                                               AND NOT EXISTS (SELECT 1 FROM jobs AS task
                                                               WHERE task.parent = jobs.id AND task.finished_at IS NULL)
                                           ORDER BY finished_at LIMIT ?)",
        )?;
        let rows = delete.execute(params![self.before.as_microsecond(), self.limit])?;
        Ok(u64::try_from(rows).unwrap_or(u64::MAX))
    }
}

/// Writes something.
pub(super) struct Probe;

impl Operation for Probe {
    type Answer = ();

    fn run(&self, tx: &mut Tx) -> Result<(), Error> {
        // The same bytes again would not be written.
        tx.write().prepare_cached("UPDATE probe SET filler = randomblob(65536)")?.execute([])?;
        Ok(())
    }
}
