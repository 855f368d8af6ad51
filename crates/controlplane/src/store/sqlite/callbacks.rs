//! Callbacks that are to be sent.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

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

    fn run(&self, tx: &mut Tx) -> Result<Vec<Callback>, Error> {
        let mut update = tx.write().prepare_cached(
            "UPDATE callbacks SET due = ?
             WHERE id IN (SELECT id FROM callbacks WHERE due <= ? ORDER BY due LIMIT ?)
             RETURNING id, job, url, payload, created_at, failures",
        )?;
        let params = params![row::after(self.now, self.hold), self.now.as_microsecond(), self.limit];
        let rows = update.query_map(params, callback)?.collect::<Result<_, _>>()?;
        row::callbacks(rows)
    }
}

fn callback(row: &Row<'_>) -> rusqlite::Result<CallbackRow> {
    Ok(CallbackRow {
        id: row.get(0)?,
        job: row.get(1)?,
        url: row.get(2)?,
        payload: row.get(3)?,
        created_at: row.get(4)?,
        failures: row.get(5)?,
    })
}

/// When the next callback is due.
pub(super) struct Next;

impl Read for Next {
    type Answer = Option<Timestamp>;

    fn run(&self, connection: &Connection) -> Result<Option<Timestamp>, Error> {
        let mut select = connection.prepare_cached("SELECT min(due) FROM callbacks")?;
        let due: Option<i64> = select.query_row([], |row| row.get(0))?;
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

    fn run(&self, tx: &mut Tx) -> Result<(), Error> {
        let (id, connection) = (self.id.0, tx.write());
        match self.settlement {
            Settlement::Done => connection.prepare_cached("DELETE FROM callbacks WHERE id = ?")?.execute([id])?,
            Settlement::Retry(due) => {
                let sql = "UPDATE callbacks SET due = ?, failures = failures + 1 WHERE id = ?";
                connection.prepare_cached(sql)?.execute(params![due.as_microsecond(), id])?
            }
        };
        Ok(())
    }
}
