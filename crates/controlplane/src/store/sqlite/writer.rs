//! The one writer: everything that waits goes into one transaction, and is answered after its commit.

use std::{
    io,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use rusqlite::Connection;
use tokio::{
    sync::{
        broadcast,
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::timeout,
};
use tokio_util::task::TaskTracker;

use super::{
    log::Mover,
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

/// Hands operations to the thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Box<dyn Pending>>>>,
    /// Gives the answers, and ends after the thread.
    answers: TaskTracker,
}

impl Writer {
    /// Starts a thread of its own: nothing waits for the disk there but what must.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        place: Place,
        connection: Connection,
        listeners: broadcast::Sender<Change>,
    ) -> io::Result<Self> {
        let (sender, queue) = mpsc::channel(WAITING);
        let (done, written) = mpsc::unbounded_channel();
        let mover = Mover::start(done.clone())?;
        let tx = Some(Tx::new(connection, place.beside()));
        let work = Work { tx, place, listeners, mover, done };
        thread::Builder::new().name("sqlite".to_owned()).spawn(move || {
            let _crash = Crash;
            work.run(queue);
        })?;
        let answers = TaskTracker::new();
        answers.spawn(settle(written));
        answers.close();
        Ok(Self { queue: Mutex::new(Some(sender)), answers })
    }

    /// Runs an operation; its answer comes once it is durable.
    pub(super) async fn run<O: Operation>(&self, operation: O) -> Result<O::Answer, Error> {
        let (caller, answer) = oneshot::channel();
        self.send(Box::new(Slot { operation, answer: None, caller })).await?;
        match timeout(PATIENCE, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(closed())),
            Err(_) => Err(unavailable("the disk takes too long")),
        }
    }

    async fn send(&self, slot: Box<dyn Pending>) -> Result<(), Error> {
        let queue = self.queue().clone().ok_or_else(closed)?;
        let slot = match queue.try_send(slot) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(closed()),
            Err(TrySendError::Full(slot)) => slot,
        };
        match timeout(PATIENCE, queue.send(slot)).await {
            Ok(sent) => sent.map_err(|_| closed()),
            Err(_) => Err(unavailable("too much waits to be written")),
        }
    }

    /// Writes what waits, then ends.
    pub(super) async fn close(&self) {
        self.queue().take();
        if timeout(PATIENCE, self.answers.wait()).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<Box<dyn Pending>>>> {
        // No code that can panic runs under this lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers what is durable. Not the thread's work: it would wake as many tasks, with many others waiting for it.
async fn settle(mut written: mpsc::UnboundedReceiver<Batch>) {
    while let Some(batch) = written.recv().await {
        batch.into_iter().for_each(Pending::settle);
    }
}

/// Ends the process with a thread that panics: without it nothing is written any more, and the lock of the file is gone.
struct Crash;

impl Drop for Crash {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!("the thread that writes to the database has crashed");
            std::process::abort();
        }
    }
}

/// What shares a transaction.
type Batch = Vec<Box<dyn Pending>>;

/// What the thread does.
struct Work {
    /// `None` after a failure, until the next transaction.
    tx: Option<Tx>,
    place: Place,
    listeners: broadcast::Sender<Change>,
    mover: Mover,
    /// Dropped after the connection.
    done: mpsc::UnboundedSender<Batch>,
}

impl Work {
    fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Pending>>) {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.blocking_recv_many(&mut batch, BATCH) > 0 {
            batch.retain(|pending| !pending.is_abandoned());
            self.write(batch);
            batch = Vec::with_capacity(BATCH);
            // After the answers: nobody waits for it who was there before.
            if let Some(tx) = &mut self.tx {
                tx.tend(&self.mover);
            }
        }
    }

    /// Writes all of them in one transaction. Where one cannot be written, each gets a transaction of its own.
    fn write(&mut self, mut batch: Batch) {
        match self.commit(&mut batch) {
            Err(Error::Broken(_)) if batch.len() > 1 => batch.into_iter().for_each(|pending| self.write(vec![pending])),
            Err(error) => {
                tracing::error!(%error, operations = batch.len(), "cannot write jobs down");
                for pending in batch {
                    pending.fail(&error);
                }
            }
            // Without a runtime nobody waits.
            Ok(()) => drop(self.done.send(batch)),
        }
    }

    fn commit(&mut self, batch: &mut [Box<dyn Pending>]) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin()?;
        let done = Self::transaction(&mut tx, batch);
        match done {
            Ok(()) => {
                for change in tx.take_changes() {
                    // Nobody may listen.
                    let _ = self.listeners.send(change);
                }
                self.tx = Some(tx);
            }
            Err(_) => self.undo(tx),
        }
        done
    }

    /// The connection, a new one if the last is gone or the file is another.
    fn begin(&mut self) -> Result<Tx, Error> {
        let moved = self.place.has_moved()?;
        match self.tx.take() {
            Some(tx) if !moved => Ok(tx),
            // Closed before the next is opened.
            last => {
                drop(last);
                let connection = self.place.again(moved)?;
                Ok(Tx::new(connection, self.place.beside()))
            }
        }
    }

    fn transaction(tx: &mut Tx, batch: &mut [Box<dyn Pending>]) -> Result<(), Error> {
        tx.begin()?;
        for pending in batch {
            pending.run(tx)?;
        }
        tx.commit()
    }

    /// Takes everything back. A connection to a file is closed after that, since what is wrong may be wrong with it;
    /// one to memory is all there is.
    fn undo(&mut self, mut tx: Tx) {
        tx.roll_back();
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
