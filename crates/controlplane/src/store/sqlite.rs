//! Jobs in SQLite, in a file or in memory, for one control plane.
//!
//! One thread has the only connection that writes. Everything that waits for it goes into one transaction, so that many
//! callers share one sync to the disk; each is answered after the commit. Reads have connections of their own, except
//! in memory, where they go through the writer.
//!
//! - `writer`: transactions and answers
//! - `log`: moving the log into the file
//! - `pending`: what waits for the writer
//! - `readers`: connections for reads
//! - `place`: the file, its lock, its connections
//! - `tx`: the transaction that is under way
//! - `create`, `insert`, `step`, `queue`, `callbacks`, `read`: the statements

mod callbacks;
mod create;
mod insert;
mod log;
mod pending;
mod place;
mod queue;
mod read;
mod readers;
mod step;
mod tx;
mod writer;

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::broadcast;

use self::{
    pending::{Operation, Read, Reading},
    place::Place,
    readers::Readers,
    writer::Writer,
};
use super::{
    Callback, CallbackId, Change, Created, Error, Expected, Filter, JobStore, NewJob, OpenError, Page, PlaneId,
    Progress, Record, Settlement, StoredEvent, Transition,
};
use crate::job::JobId;

/// How many changes a listener may lag behind.
const CHANGES: usize = 1024;

/// Jobs in SQLite.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    /// `None` in memory.
    readers: Option<Arc<Readers>>,
    changes: broadcast::Sender<Change>,
    /// No other process can be there, so their leases never lapse.
    planes: Mutex<HashSet<PlaneId>>,
}

impl SqliteStore {
    /// A store that ends with the process.
    ///
    /// # Errors
    /// When SQLite has no memory.
    pub async fn memory() -> Result<Self, OpenError> {
        Self::open(Place::memory()).await
    }

    /// The store in this file, which is made when it is not there.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub async fn file(path: &Path) -> Result<Self, OpenError> {
        Self::open(Place::file(path)?).await
    }

    async fn open(place: Place) -> Result<Self, OpenError> {
        let connection = place.begin().await?;
        let changes = broadcast::Sender::new(CHANGES);
        let readers = place.readers();
        let name = place.name().to_owned();
        let writer = Writer::start(place, connection, changes.clone());
        let writer = writer.map_err(|error| OpenError::File { path: name, reason: error.to_string() })?;
        Ok(Self { writer, readers, changes, planes: Mutex::default() })
    }

    fn write<O: Operation>(&self, operation: O) -> BoxFuture<'_, Result<O::Answer, Error>> {
        Box::pin(self.writer.run(operation))
    }

    fn read<R: Read>(&self, read: R) -> BoxFuture<'_, Result<R::Answer, Error>> {
        Box::pin(async {
            match &self.readers {
                Some(readers) => readers.run(read).await,
                None => self.writer.run(Reading(read)).await,
            }
        })
    }

    fn planes(&self) -> std::sync::MutexGuard<'_, HashSet<PlaneId>> {
        // No code that can panic runs under this lock.
        self.planes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobStore for SqliteStore {
    fn create(&self, new: NewJob) -> BoxFuture<'_, Result<Created, Error>> {
        Box::pin(async { self.writer.run(create::Create::new(new)?).await })
    }

    fn withdraw(&self, id: JobId, expected: Expected) -> BoxFuture<'_, Result<(), Error>> {
        self.write(create::Withdraw { id, expected })
    }

    fn get(&self, id: JobId) -> BoxFuture<'_, Result<Option<Record>, Error>> {
        self.read(read::Get(id))
    }

    fn by_key(&self, key: String) -> BoxFuture<'_, Result<Option<Record>, Error>> {
        self.read(read::ByKey(key))
    }

    fn family(&self, parent: JobId) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        self.read(read::Family(parent))
    }

    fn certificate(&self, id: JobId) -> BoxFuture<'_, Result<Option<String>, Error>> {
        self.read(read::Certificate(id))
    }

    fn list(&self, filter: Filter) -> BoxFuture<'_, Result<Page, Error>> {
        self.read(filter)
    }

    fn events(&self, id: JobId, after: u32) -> BoxFuture<'_, Result<Vec<StoredEvent>, Error>> {
        self.read(read::Events { id, after })
    }

    fn transition(&self, transition: Transition) -> BoxFuture<'_, Result<(), Error>> {
        self.write(transition)
    }

    fn save_progress(&self, progress: Vec<Progress>) -> BoxFuture<'_, Result<(), Error>> {
        self.write(step::SaveProgress(progress))
    }

    fn request_cancel(&self, id: JobId) -> BoxFuture<'_, Result<Option<Record>, Error>> {
        self.write(step::RequestCancel(id))
    }

    fn claim(&self, plane: PlaneId, now: Timestamp, tasks: bool) -> BoxFuture<'_, Result<Option<Record>, Error>> {
        self.write(queue::Claim { plane, now, tasks })
    }

    fn next_due(&self, now: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        self.read(read::NextDue(now))
    }

    fn waiting(&self) -> BoxFuture<'_, Result<u64, Error>> {
        self.write(queue::Waiting)
    }

    fn renew(&self, plane: PlaneId, _lease: Duration) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(async move { Ok(!self.planes().insert(plane)) })
    }

    fn adopt(&self, plane: PlaneId) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        self.write(queue::Adopt(plane))
    }

    fn held(&self, plane: PlaneId) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        self.read(read::Held(plane))
    }

    fn resign(&self, plane: PlaneId) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            self.planes().remove(&plane);
            Ok(())
        })
    }

    fn expire(&self, before: Timestamp, limit: u32) -> BoxFuture<'_, Result<u64, Error>> {
        self.write(queue::Expire { before, limit })
    }

    fn due_callbacks(&self, now: Timestamp, hold: Duration, limit: u32) -> BoxFuture<'_, Result<Vec<Callback>, Error>> {
        self.write(callbacks::Take { now, hold, limit })
    }

    fn next_callback(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        self.read(callbacks::Next)
    }

    fn settle_callback(&self, id: CallbackId, settlement: Settlement) -> BoxFuture<'_, Result<(), Error>> {
        self.write(callbacks::Settle { id, settlement })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.write(queue::Probe)
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(readers) = &self.readers {
                readers.close();
            }
            // The last to leave moves the log into the file.
            self.writer.close().await;
        })
    }
}
