//! Connections that only read, on threads that may wait for the disk.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OpenFlags};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::timeout,
};

use super::{
    pending::Read,
    place::{self, BUSY},
};
use crate::store::Error;

/// How many there are at most. Reads are short, and there are two cores or a few more.
const READERS: usize = 4;

/// The connections to one file.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    room: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

/// Those that nobody uses.
#[derive(Debug, Default)]
struct Idle {
    connections: Vec<Connection>,
    /// How often the file was another one.
    file: u64,
}

impl Readers {
    /// No connection yet.
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), room: Arc::new(Semaphore::new(READERS)), idle: Mutex::default() }
    }

    /// Reads, when a connection is free.
    pub(super) async fn run<R: Read>(self: &Arc<Self>, read: R) -> Result<R::Answer, Error> {
        let permit = match timeout(BUSY, Arc::clone(&self.room).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(Error::Unavailable("it is closed".to_owned())),
            Err(_) => return Err(Error::Unavailable("no connection within the time allowed".to_owned())),
        };
        let readers = Arc::clone(self);
        let answer = spawn_blocking(move || readers.read(&read, permit)).await;
        answer.unwrap_or_else(|error| Err(Error::Unavailable(error.to_string())))
    }

    fn read<R: Read>(&self, read: &R, permit: OwnedSemaphorePermit) -> Result<R::Answer, Error> {
        let (idle, file) = {
            let mut idle = self.idle();
            (idle.connections.pop(), idle.file)
        };
        let connection = match idle {
            Some(connection) => connection,
            None => place::open(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        };
        let answer = read.run(&connection);
        // One that failed may be what is wrong.
        if answer.is_ok() {
            self.give_back(connection, file);
        }
        drop(permit);
        answer
    }

    fn give_back(&self, connection: Connection, file: u64) {
        let mut idle = self.idle();
        if idle.file == file && !self.room.is_closed() {
            idle.connections.push(connection);
        }
    }

    /// Closes what is open to a file that is another one now.
    pub(super) fn forget(&self) {
        let mut idle = self.idle();
        idle.file += 1;
        idle.connections.clear();
    }

    /// Takes no more reads; those that run close their connection when they are done.
    pub(super) fn close(&self) {
        self.room.close();
        self.forget();
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // No code that can panic runs under this lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
