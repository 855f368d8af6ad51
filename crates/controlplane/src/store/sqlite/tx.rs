//! A transaction of the writer, and what it knows without asking.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::{
    insert::{self, NewRow},
    log::{self, Beside, Due, Mover, Schedule},
};
use crate::store::{Change, Error};

/// A connection and the transaction on it.
pub(super) struct Tx {
    connection: Connection,
    /// Another one to the same file.
    beside: Option<Beside>,
    schedule: Schedule,
    /// What is told to listeners once it is committed.
    changes: Vec<Change>,
    /// How many jobs wait, tasks apart, once somebody has counted.
    waiting: Option<i64>,
    /// How many jobs have tasks that wait, once somebody has counted and until something is written.
    unfinished: Option<i64>,
    /// Whose turn is due, by priority, once somebody has looked and until something else than a job is written: a new
    /// job has that turn and does not change it.
    turns: BTreeMap<i64, i64>,
    /// The latest turn that was claimed, by priority, once somebody has looked.
    claimed: BTreeMap<i64, Option<i64>>,
}

impl Tx {
    /// No transaction yet.
    pub(super) fn new(connection: Connection, beside: Option<Beside>) -> Self {
        Self {
            connection,
            beside,
            schedule: Schedule::new(),
            changes: Vec::new(),
            waiting: None,
            unfinished: None,
            turns: BTreeMap::new(),
            claimed: BTreeMap::new(),
        }
    }

    /// The connection, for reads.
    pub(super) fn read(&self) -> &Connection {
        &self.connection
    }

    /// The connection, for writes.
    pub(super) fn write(&mut self) -> &Connection {
        self.unfinished = None;
        self.turns.clear();
        &self.connection
    }

    /// Inserts a client's job with its first event.
    pub(super) fn insert(&mut self, row: &NewRow) -> Result<(), Error> {
        let turn = self.turn(row.columns.priority)?;
        // What is known of tasks still holds.
        insert::job(&self.connection, row, turn)
    }

    /// The turn that is due: the one after the latest that was claimed. The least of those that wait alone would stay as it
    /// is for as long as new jobs come.
    pub(super) fn turn(&mut self, priority: i64) -> Result<i64, Error> {
        if let Some(turn) = self.turns.get(&priority) {
            return Ok(*turn);
        }
        let next = self.last_claimed(priority)?.map(|turn| turn + 1);
        let turn = next.max(insert::least_turn(&self.connection, priority)?).unwrap_or_default();
        self.turns.insert(priority, turn);
        Ok(turn)
    }

    /// Notes the turn of a row that was claimed. One that comes back, and is claimed again, does not turn it back.
    pub(super) fn claimed(&mut self, priority: i64, turn: i64) -> Result<(), Error> {
        let last = self.last_claimed(priority)?;
        self.claimed.insert(priority, last.max(Some(turn)));
        Ok(())
    }

    /// What an earlier process has claimed may be driven still.
    fn last_claimed(&mut self, priority: i64) -> Result<Option<i64>, Error> {
        if let Some(turn) = self.claimed.get(&priority) {
            return Ok(*turn);
        }
        let turn = insert::driven_turn(&self.connection, priority)?;
        self.claimed.insert(priority, turn);
        Ok(turn)
    }

    /// Tells listeners of a change, once it is committed.
    pub(super) fn tell(&mut self, change: Change) {
        // Many at once are as good as one.
        let is_known = matches!((self.changes.last(), &change), (Some(Change::Queued), Change::Queued));
        if !is_known {
            self.changes.push(change);
        }
    }

    /// What is to be told.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// How many jobs wait, tasks apart.
    pub(super) fn waiting(&mut self) -> Result<i64, Error> {
        let waiting = match self.waiting {
            Some(waiting) => waiting,
            // The index has all that is asked for; the one that would be taken without being named has not.
            None => {
                self.count("SELECT count(*) FROM jobs INDEXED BY jobs_to_claim WHERE waiting AND parent IS NULL")?
            }
        };
        self.waiting = Some(waiting);
        Ok(waiting)
    }

    /// How many jobs wait, or have tasks that do.
    pub(super) fn queued(&mut self) -> Result<i64, Error> {
        let unfinished = match self.unfinished {
            Some(unfinished) => unfinished,
            None => self.count("SELECT count(DISTINCT parent) FROM jobs WHERE waiting AND parent IS NOT NULL")?,
        };
        self.unfinished = Some(unfinished);
        Ok(self.waiting()? + unfinished)
    }

    /// Notes that jobs have joined the queue or left it.
    pub(super) fn moved(&mut self, joined: i64) {
        self.waiting = self.waiting.map(|waiting| waiting + joined);
    }

    pub(super) fn begin(&mut self) -> Result<(), Error> {
        self.execute("BEGIN IMMEDIATE")
    }

    /// Makes it durable.
    pub(super) fn commit(&mut self) -> Result<(), Error> {
        self.execute("COMMIT")
    }

    /// Has the log moved into the file, if it is time.
    pub(super) fn tend(&mut self, mover: &Mover) {
        match (self.schedule.due(log::pages()), &self.beside) {
            (Some(Due::Here), beside) => log::move_end(&self.connection, beside.as_ref()),
            (Some(Due::Beside), Some(beside)) => mover.order(beside),
            (Some(Due::Beside), None) | (None, _) => {}
        }
    }

    /// Takes everything back.
    pub(super) fn roll_back(&mut self) {
        self.changes.clear();
        (self.waiting, self.unfinished) = (None, None);
        self.turns.clear();
        // SQLite may have done it by itself.
        let _ = self.execute("ROLLBACK");
    }

    fn count(&self, sql: &str) -> Result<i64, Error> {
        Ok(self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    fn execute(&self, sql: &str) -> Result<(), Error> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}
