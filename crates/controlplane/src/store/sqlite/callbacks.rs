//! Callbacks that are to be sent.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::{
    pending::{Operation, Read},
    tx::Tx,
};
use crate::store::{
    Callback, CallbackId, Error, Settlement,
    row::{self, CallbackRow},
};

/// Takes callbacks that are due.
pub(super) struct Take {
    pub(super) now: Timestamp,
    pub(super) hold: Duration,
    pub(super) limit: u32,
}

impl Operation for Take {
    type Answer = Vec<Callback>;

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Callback>, Error> {
        let query = sqlx::query_as(
            "UPDATE callbacks SET due = ?
             WHERE id IN (SELECT id FROM callbacks WHERE due <= ? ORDER BY due LIMIT ?)
             RETURNING id, job, url, payload, created_at, failures",
        );
        let query = query.bind(row::after(self.now, self.hold)).bind(self.now.as_microsecond()).bind(self.limit);
        let rows: Vec<CallbackRow> = query.fetch_all(tx.write().await?).await?;
        row::callbacks(rows)
    }
}

/// When the next callback is due.
pub(super) struct Next;

impl Read for Next {
    type Answer = Option<Timestamp>;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Option<Timestamp>, Error> {
        let query = sqlx::query_scalar("SELECT min(due) FROM callbacks");
        let due: Option<i64> = query.fetch_one(connection).await?;
        due.map(row::time).transpose()
    }
}

/// Notes how a delivery went.
pub(super) struct Settle {
    pub(super) id: CallbackId,
    pub(super) settlement: Settlement,
}

impl Operation for Settle {
    type Answer = ();

    async fn run(&self, tx: &mut Tx) -> Result<(), Error> {
        let query = match self.settlement {
            Settlement::Done => sqlx::query("DELETE FROM callbacks WHERE id = ?"),
            Settlement::Retry(due) => {
                let query = sqlx::query("UPDATE callbacks SET due = ?, failures = failures + 1 WHERE id = ?");
                query.bind(due.as_microsecond())
            }
        };
        query.bind(self.id.0).execute(tx.write().await?).await?;
        Ok(())
    }
}
