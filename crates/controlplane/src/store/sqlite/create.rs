//! New jobs, and those that were never told of.

use std::sync::Arc;

use rusqlite::params;

use super::{insert::NewRow, pending::Operation, read, tx::Tx};
use crate::{
    job::{JobId, JobSpec},
    store::{Change, Created, Error, Expected, NewJob, Record, row::Columns},
};

/// Writes a job down.
pub(super) struct Create {
    row: NewRow,
    spec: Arc<JobSpec>,
    /// How many may wait, for one that is to wait.
    limit: Option<i64>,
}

impl Create {
    /// Makes the row ready: not the writer's work, since everybody waits for the writer.
    pub(super) fn new(new: NewJob) -> Result<Self, Error> {
        let NewJob { job, event, fate, idempotency_key, queue_limit } = new;
        let columns = Columns::new(&job, fate)?;
        let limit = queue_limit.filter(|_| columns.waiting).map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        Ok(Self { row: NewRow { columns, idempotency_key, event }, spec: job.spec, limit })
    }

    /// A job that was there before stands for the same request, or the key is taken.
    fn same(&self, before: Record) -> Result<Created, Error> {
        if before.job.spec == self.spec { Ok(Created::Before(Box::new(before))) } else { Err(Error::KeyTaken) }
    }
}

impl Operation for Create {
    type Answer = Created;

    fn run(&self, tx: &mut Tx) -> Result<Created, Error> {
        if let Some(key) = &self.row.idempotency_key
            && let Some(before) = read::by_key(tx.read(), key)?
        {
            return self.same(before);
        }
        if let Some(limit) = self.limit
            && tx.queued()? >= limit
        {
            return Err(Error::QueueFull);
        }
        tx.insert(&self.row)?;
        if self.row.columns.waiting {
            tx.moved(1);
            tx.tell(Change::Queued);
        }
        Ok(Created::New)
    }
}

/// Removes a job that no client was told of.
pub(super) struct Withdraw {
    pub(super) id: JobId,
    pub(super) expected: Expected,
}

impl Operation for Withdraw {
    type Answer = ();

    fn run(&self, tx: &mut Tx) -> Result<(), Error> {
        let Expected { status, attempt, owner } = self.expected;
        let mut delete = tx.write().prepare_cached(
            "DELETE FROM jobs WHERE id = ? AND status = ? AND attempt = ? AND owner IS ? AND provisional",
        )?;
        let rows = delete.execute(params![self.id.uuid(), status.name(), attempt, owner.map(|owner| owner.0)])?;
        drop(delete);
        if rows != 1 {
            return Err(Error::Conflict(self.id));
        }
        // One that was told of is not withdrawn, and one that was not never waits.
        tx.tell(Change::Job(self.id));
        Ok(())
    }
}
