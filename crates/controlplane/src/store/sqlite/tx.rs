//! A transaction of the writer, and what it knows without asking.

use sqlx::{Connection as _, SqliteConnection};

use super::insert::{self, NewRow};
use crate::store::{Change, Error};

/// A connection and the transaction on it.
pub(super) struct Tx {
    connection: SqliteConnection,
    /// What is told to listeners once it is committed.
    changes: Vec<Change>,
    /// New jobs. They are written together: a statement costs more than a row.
    new: Vec<NewRow>,
    /// How many jobs wait, tasks apart, once somebody has counted.
    waiting: Option<i64>,
    /// How many jobs have tasks that wait, once somebody has counted and until something is written.
    unfinished: Option<i64>,
}

impl Tx {
    /// No transaction yet.
    pub(super) fn new(connection: SqliteConnection) -> Self {
        Self { connection, changes: Vec::new(), new: Vec::new(), waiting: None, unfinished: None }
    }

    /// The connection, for reads. Everything is there that was inserted.
    pub(super) async fn read(&mut self) -> Result<&mut SqliteConnection, Error> {
        insert::jobs(&mut self.connection, &self.new).await?;
        self.new.clear();
        Ok(&mut self.connection)
    }

    /// The connection, for writes.
    pub(super) async fn write(&mut self) -> Result<&mut SqliteConnection, Error> {
        self.unfinished = None;
        self.read().await
    }

    /// Inserts a job, before anything else is read or written.
    pub(super) fn insert(&mut self, row: NewRow) {
        self.new.push(row);
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

    /// How many jobs wait, or have tasks that do.
    pub(super) async fn queued(&mut self) -> Result<i64, Error> {
        let waiting = match self.waiting {
            Some(waiting) => waiting,
            None => self.count("SELECT count(*) FROM jobs WHERE waiting AND parent IS NULL").await?,
        };
        self.waiting = Some(waiting);
        let unfinished = match self.unfinished {
            Some(unfinished) => unfinished,
            None => self.count("SELECT count(DISTINCT parent) FROM jobs WHERE waiting AND parent IS NOT NULL").await?,
        };
        self.unfinished = Some(unfinished);
        Ok(waiting + unfinished)
    }

    /// Notes that jobs have joined the queue or left it.
    pub(super) fn moved(&mut self, joined: i64) {
        self.waiting = self.waiting.map(|waiting| waiting + joined);
    }

    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        self.execute("BEGIN IMMEDIATE").await
    }

    /// Makes it durable.
    pub(super) async fn commit(&mut self) -> Result<(), Error> {
        self.execute("COMMIT").await
    }

    /// Takes everything back.
    pub(super) async fn roll_back(&mut self) {
        self.changes.clear();
        self.new.clear();
        (self.waiting, self.unfinished) = (None, None);
        // SQLite may have done it by itself.
        let _ = self.execute("ROLLBACK").await;
    }

    /// Moves the log into the file.
    pub(super) async fn close(self) {
        // Whatever stops that is found at the next start.
        let _ = self.connection.close().await;
    }

    async fn count(&mut self, sql: &'static str) -> Result<i64, Error> {
        Ok(sqlx::query_scalar(sql).fetch_one(self.read().await?).await?)
    }

    async fn execute(&mut self, sql: &'static str) -> Result<(), Error> {
        sqlx::query(sql).execute(self.read().await?).await?;
        Ok(())
    }
}
