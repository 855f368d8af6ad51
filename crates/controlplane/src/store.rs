//! Where jobs are written down. The store decides; what is elsewhere in memory is a cache of it.
//!
//! Every change names what it expects to find, so that of two writers one is refused: the status, the attempt and the
//! control plane that drives the job. Each method is one transaction, and durable when it ends well.
//!
//! - [`record`]: what is written down of a job beside the job itself
//! - [`change`]: conditional changes
//! - [`list`]: pages of jobs
//! - [`outbox`]: callbacks that are due
//! - [`url`], [`mod@open`]: which store the settings name, and opening it
//! - [`sqlite`], [`postgres`]: the stores; `row` and `failure` are what they share

pub mod change;
mod failure;
pub mod list;
pub mod open;
pub mod outbox;
pub mod postgres;
pub mod record;
mod row;
pub mod sqlite;
pub mod url;

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::broadcast;

pub use self::{
    change::{Created, Expected, Fate, NewJob, Progress, Transition},
    list::{Cursor, Filter, Page},
    open::{OpenError, StoreConfig, open},
    outbox::{Callback, CallbackId, Settlement},
    record::{PlaneId, Record, StoredEvent},
    url::Database,
};
use crate::job::JobId;

/// A place for jobs. Times come from the caller's clock, except for the leases of control planes: those are the
/// store's own, since several machines must agree on them.
pub trait JobStore: std::fmt::Debug + Send + Sync {
    /// Writes a new job and its first event down. Only then may a client be told of it.
    ///
    /// # Errors
    /// [`Error::QueueFull`] where `queue_limit` jobs wait already; [`Error::KeyTaken`] where the idempotency key stands
    /// for another request.
    fn create(&self, new: NewJob) -> BoxFuture<'_, Result<Created, Error>>;

    /// Removes a job that no worker took, and that no client was told of.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is not as expected.
    fn withdraw(&self, id: JobId, expected: Expected) -> BoxFuture<'_, Result<(), Error>>;

    /// Reads a job; `None` when there is none, or none any more.
    fn get(&self, id: JobId) -> BoxFuture<'_, Result<Option<Record>, Error>>;

    /// Reads the job that an idempotency key stands for.
    fn by_key(&self, key: String) -> BoxFuture<'_, Result<Option<Record>, Error>>;

    /// Reads the tasks of a split job, in no order.
    fn family(&self, parent: JobId) -> BoxFuture<'_, Result<Vec<Record>, Error>>;

    /// Reads what proves the output of a job whole.
    fn certificate(&self, id: JobId) -> BoxFuture<'_, Result<Option<String>, Error>>;

    /// Reads jobs, newest first. Tasks are not among them.
    fn list(&self, filter: Filter) -> BoxFuture<'_, Result<Page, Error>>;

    /// The events of a job after the first `after`, oldest first.
    fn events(&self, id: JobId, after: u32) -> BoxFuture<'_, Result<Vec<StoredEvent>, Error>>;

    /// Changes a job, if it still is as expected: all of it, its event, its callback and its tasks, or nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] when somebody else has moved the job on; it is then as they left it.
    fn transition(&self, transition: Transition) -> BoxFuture<'_, Result<(), Error>>;

    /// Notes how far running jobs are; what is not running as named is left alone. May be lost when the machine fails.
    fn save_progress(&self, progress: Vec<Progress>) -> BoxFuture<'_, Result<(), Error>>;

    /// Notes that a client wants a job stopped, and answers the job as it then is; `None` when there is none. A job
    /// that has ended is left alone.
    fn request_cancel(&self, id: JobId) -> BoxFuture<'_, Result<Option<Record>, Error>>;

    /// Takes the job that is to start next for `plane`: of those that wait, are due and belong to nobody, the one with
    /// the highest priority, of those one whose turn it is, and of those the oldest. `tasks`: it may be a task.
    ///
    /// A new job has the turn after the latest that was claimed with its priority, or the least of those that wait where
    /// that is later: it passes none that waits with an earlier turn, and lets each family have one slot before it. So
    /// have the first task of a family, its finish and its cleanup; each further task comes a turn later.
    fn claim(&self, plane: PlaneId, now: Timestamp, tasks: bool) -> BoxFuture<'_, Result<Option<Record>, Error>>;

    /// When the next waiting job or task that is due after `now` will be.
    fn next_due(&self, now: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, Error>>;

    /// How many jobs wait, tasks apart.
    fn waiting(&self) -> BoxFuture<'_, Result<u64, Error>>;

    /// Says that `plane` lives and will for `lease`. False when its last lease had lapsed and somebody may have taken
    /// its jobs over; it has a new one then.
    fn renew(&self, plane: PlaneId, lease: Duration) -> BoxFuture<'_, Result<bool, Error>>;

    /// Takes over the jobs of control planes whose lease has lapsed. Those with a running attempt belong to `plane`
    /// then and are answered; those that wait belong to nobody again.
    fn adopt(&self, plane: PlaneId) -> BoxFuture<'_, Result<Vec<Record>, Error>>;

    /// The jobs that `plane` drives.
    fn held(&self, plane: PlaneId) -> BoxFuture<'_, Result<Vec<Record>, Error>>;

    /// Ends the lease of `plane`: it drives nothing any more.
    fn resign(&self, plane: PlaneId) -> BoxFuture<'_, Result<(), Error>>;

    /// Removes up to `limit` jobs that ended before `before`, with their events and tasks, unless a task has not ended.
    /// Answers how many.
    fn expire(&self, before: Timestamp, limit: u32) -> BoxFuture<'_, Result<u64, Error>>;

    /// Takes up to `limit` callbacks that are due, and makes them due again `hold` later, in case the caller dies.
    fn due_callbacks(&self, now: Timestamp, hold: Duration, limit: u32) -> BoxFuture<'_, Result<Vec<Callback>, Error>>;

    /// When the next callback is due.
    fn next_callback(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>>;

    /// Notes how a delivery went.
    fn settle_callback(&self, id: CallbackId, settlement: Settlement) -> BoxFuture<'_, Result<(), Error>>;

    /// Tries whether the store takes writes.
    fn check(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// What changes from now on, by anybody's hand. Who lags must look for itself.
    fn changes(&self) -> broadcast::Receiver<Change>;

    /// Ends everything that runs for the store.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// News from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A job waits that nobody drives.
    Queued,
    /// A job has moved on.
    Job(JobId),
    /// A client wants a job stopped.
    Cancel(JobId),
    /// A running job has come further: its event, and its number among those since the last status. Where no other process
    /// uses the store, only of tasks: who drives any other job has told its listeners.
    Progress {
        /// Which job.
        id: JobId,
        /// The event.
        event: StoredEvent,
        /// Its number after that of the last status.
        update: u32,
    },
    /// A callback is to be sent.
    Callback,
    /// Anything may have changed: the connection was lost for a while.
    Unknown,
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The job is gone, has another status or attempt, or belongs to another control plane.
    #[error("job {0} is not as expected any more")]
    Conflict(JobId),
    /// The idempotency key stands for another request.
    #[error("the idempotency key was used for another request")]
    KeyTaken,
    /// As many jobs wait as may.
    #[error("the queue is full")]
    QueueFull,
    /// The store cannot be reached or does not take writes; it may later.
    #[error("the job store is not available: {0}")]
    Unavailable(String),
    /// What is written there cannot be read, or the store refuses what it is told: a defect.
    #[error("the job store is broken: {0}")]
    Broken(String),
}
