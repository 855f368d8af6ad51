//! The one writer: everything that waits goes into one transaction, and is answered after its commit.

use std::{mem, sync::Mutex, sync::PoisonError, time::Duration};

use sqlx::SqliteConnection;
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use super::{
    pending::{Operation, Pending, Slot},
    place::Place,
    tx::Tx,
};
use crate::store::{Change, Error};

/// How many operations may wait. More would only wait longer.
const WAITING: usize = 1024;

/// How many operations share a transaction at most.
const BATCH: usize = 256;

/// How long a caller waits for room and for its answer each: a disk that takes longer is as good as gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hands operations to the task that writes.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Box<dyn Pending>>>>,
    task: TaskTracker,
}

impl Writer {
    pub(super) fn start(place: Place, connection: SqliteConnection, listeners: broadcast::Sender<Change>) -> Self {
        let (sender, queue) = mpsc::channel(WAITING);
        let tx = Some(Tx::new(connection));
        let task = TaskTracker::new();
        task.spawn(Task { place, tx, listeners }.run(queue));
        task.close();
        Self { queue: Mutex::new(Some(sender)), task }
    }

    /// Runs an operation; its answer comes once it is durable.
    pub(super) async fn run<O: Operation>(&self, operation: O) -> Result<O::Answer, Error> {
        let (caller, answer) = oneshot::channel();
        let slot = Box::new(Slot { operation, answer: None, caller });
        let queue = self.queue().clone().ok_or_else(closed)?;
        match timeout(PATIENCE, queue.reserve()).await {
            Ok(Ok(room)) => room.send(slot),
            Ok(Err(_)) => return Err(closed()),
            Err(_) => return Err(unavailable("too much waits to be written")),
        }
        drop(queue);
        match timeout(PATIENCE, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(closed())),
            Err(_) => Err(unavailable("the disk takes too long")),
        }
    }

    /// Writes what waits, then ends.
    pub(super) async fn close(&self) {
        self.queue().take();
        if timeout(PATIENCE, self.task.wait()).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<Box<dyn Pending>>>> {
        // No code that can panic runs under this lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that writes.
struct Task {
    place: Place,
    /// `None` after a failure, until the next transaction.
    tx: Option<Tx>,
    listeners: broadcast::Sender<Change>,
}

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Pending>>) {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            batch.retain(|pending| !pending.is_abandoned());
            self.write(mem::take(&mut batch)).await;
        }
        if let Some(tx) = self.tx.take() {
            tx.close().await;
        }
    }

    /// Writes all of them in one transaction. Where one cannot be written, each gets a transaction of its own.
    async fn write(&mut self, mut batch: Vec<Box<dyn Pending>>) {
        match self.commit(&mut batch).await {
            Err(Error::Broken(_)) if batch.len() > 1 => {
                for pending in batch {
                    Box::pin(self.write(vec![pending])).await;
                }
            }
            Err(error) => {
                tracing::error!(%error, operations = batch.len(), "cannot write jobs down");
                for pending in batch {
                    pending.fail(&error);
                }
            }
            Ok(()) => batch.into_iter().for_each(Pending::settle),
        }
    }

    async fn commit(&mut self, batch: &mut [Box<dyn Pending>]) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        let done = Self::transaction(&mut tx, batch).await;
        match done {
            Ok(()) => {
                for change in tx.take_changes() {
                    // Nobody may listen.
                    let _ = self.listeners.send(change);
                }
                self.tx = Some(tx);
            }
            Err(_) => self.undo(tx).await,
        }
        done
    }

    /// The connection, a new one if the last is gone or the file is another.
    async fn begin(&mut self) -> Result<Tx, Error> {
        let moved = self.place.has_moved().await?;
        match self.tx.take() {
            Some(tx) if !moved => Ok(tx),
            Some(_) | None => {
                let connection = self.place.again(moved).await?;
                Ok(Tx::new(connection))
            }
        }
    }

    async fn transaction(tx: &mut Tx, batch: &mut [Box<dyn Pending>]) -> Result<(), Error> {
        tx.begin().await?;
        for pending in batch {
            pending.run(tx).await?;
        }
        tx.commit().await
    }

    /// Takes everything back. A connection to a file is closed after that, since what is wrong may be wrong with it;
    /// one to memory is all there is.
    async fn undo(&mut self, mut tx: Tx) {
        tx.roll_back().await;
        if self.place.is_memory() {
            self.tx = Some(tx);
        }
    }
}

fn closed() -> Error {
    unavailable("it is closed")
}

fn unavailable(reason: &str) -> Error {
    Error::Unavailable(reason.to_owned())
}
