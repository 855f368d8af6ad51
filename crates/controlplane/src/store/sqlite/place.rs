//! The file, its lock and its connections; or memory.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use rusqlite::{Connection, OpenFlags};
use sqlx::{
    ConnectOptions as _, Connection as _,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteError, SqliteJournalMode, SqliteSynchronous},
};
use tokio::runtime::Handle;

use super::{
    log::{self, Beside},
    readers::Readers,
};
use crate::store::{Error, OpenError, failure};

static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// How many different statements a connection keeps ready: more than there are.
const STATEMENTS: usize = 64;

/// How long a connection waits for a lock in the file: nobody but a backup or a curious operator should have one.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Where the database is.
pub(super) enum Place {
    /// In memory.
    Memory,
    /// In a file.
    File(OnDisk),
}

/// A file, as it was when it was opened.
pub(super) struct OnDisk {
    path: PathBuf,
    identity: Identity,
    lock: Lock,
    readers: Arc<Readers>,
    /// For migrations: whoever finds another file in its place is not one of its tasks.
    runtime: Handle,
}

/// Device and inode: whether a name still means the same file.
type Identity = (u64, u64);

impl Place {
    /// In memory.
    pub(super) fn memory() -> Self {
        Self::Memory
    }

    /// In this file, which is made and locked.
    pub(super) fn file(path: &Path) -> Result<Self, OpenError> {
        make_folder(path)?;
        let lock = Lock::take(path)?;
        make_file(path).map_err(|error| file_error(path, error))?;
        let identity = identity(path).map_err(|error| file_error(path, error))?;
        let (path, readers, runtime) = (path.to_owned(), Readers::of(path), Handle::current());
        Ok(Self::File(OnDisk { path, identity, lock, readers: Arc::new(readers), runtime }))
    }

    /// True in memory.
    pub(super) fn is_memory(&self) -> bool {
        matches!(self, Self::Memory)
    }

    /// What errors call it.
    pub(super) fn name(&self) -> &Path {
        match self {
            Self::Memory => Path::new(":memory:"),
            Self::File(file) => &file.path,
        }
    }

    /// The connections that only read; none in memory.
    pub(super) fn readers(&self) -> Option<Arc<Readers>> {
        match self {
            Self::Memory => None,
            Self::File(file) => Some(Arc::clone(&file.readers)),
        }
    }

    /// The first connection, after the migrations.
    pub(super) async fn begin(&self) -> Result<Connection, OpenError> {
        let path = self.name();
        if self.is_memory() {
            return memory().map_err(|error| explain(path, &error));
        }
        migrate(path).await.map_err(|error| explain_migration(path, error))?;
        connect(path).map_err(|error| explain(path, &error))
    }

    /// A connection that moves the log, beside the one that was opened just now; none in memory.
    pub(super) fn beside(&self) -> Option<Beside> {
        let Self::File(file) = self else { return None };
        // A first look opens the log, too: later there may be no room for another open file.
        let opened = open(&file.path, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|connection| {
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            Ok(connection)
        });
        let warn = |error: &rusqlite::Error| tracing::warn!(%error, "only the writer moves the log of the database");
        opened.inspect_err(warn).ok().map(|connection| Arc::new(Mutex::new(connection)))
    }

    /// Whether the name stands for another file than it did.
    pub(super) fn has_moved(&self) -> Result<bool, Error> {
        let Self::File(file) = self else { return Ok(false) };
        match identity(&file.path) {
            Ok(identity) => Ok(identity != file.identity),
            // An open file can still be written after that, but what is written is lost.
            Err(error) => Err(Error::Unavailable(format!("{} is gone: {error}", file.path.display()))),
        }
    }

    /// A connection after a failure. Never makes a file: an empty one would forget jobs that were accepted.
    pub(super) fn again(&mut self, moved: bool) -> Result<Connection, Error> {
        let Self::File(file) = self else { return Ok(memory()?) };
        if moved {
            file.lock.renew(&file.path)?;
            let identity = identity(&file.path).map_err(|error| Error::Unavailable(error.to_string()))?;
            file.readers.forget();
            tracing::warn!(path = %file.path.display(), "the database is another file now");
            let migrated = file.runtime.block_on(migrate(&file.path));
            migrated.map_err(|error| Error::Unavailable(error.to_string()))?;
            // Only now: a file that could not be migrated is another one at the next try, too.
            file.identity = identity;
        }
        Ok(connect(&file.path)?)
    }
}

/// A database in memory, with its tables.
fn memory() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    for migration in MIGRATOR.iter() {
        connection.execute_batch(migration.sql.as_str())?;
    }
    connection.execute_batch("PRAGMA foreign_keys = ON")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Brings the tables of a file up to date, over a connection of its own.
async fn migrate(path: &Path) -> Result<(), MigrateError> {
    let options = SqliteConnectOptions::new().filename(path).disable_statement_logging().busy_timeout(BUSY);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let mut connection = options.connect().await?;
    let done = MIGRATOR.run_direct(None, &mut connection, false).await;
    connection.close().await?;
    done
}

/// The connection that writes.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch(
        "PRAGMA foreign_keys = ON;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         -- KiB.
         PRAGMA cache_size = -8192;
         -- Bytes. The log is cut back to this after a burst.
         PRAGMA journal_size_limit = 67108864;",
    )?;
    log::watch(&connection);
    Ok(connection)
}

/// A connection to a file that is there.
pub(super) fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    // Only one thread at a time has it.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

fn explain_migration(path: &Path, error: MigrateError) -> OpenError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            let sqlite = error.as_database_error().and_then(|error| error.try_downcast_ref::<SqliteError>());
            unusable(path, failure::reason(&error), sqlite.and_then(failure::primary_code))
        }
        error @ (MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_)) => {
            OpenError::Version { database: path.display().to_string(), reason: error.to_string() }
        }
        error => OpenError::File { path: path.to_owned(), reason: error.to_string() },
    }
}

fn explain(path: &Path, error: &rusqlite::Error) -> OpenError {
    unusable(path, error.to_string(), failure::code(error))
}

fn unusable(path: &Path, reason: String, code: Option<u32>) -> OpenError {
    let path = path.to_owned();
    if code.is_some_and(failure::is_damage) {
        OpenError::Damaged { path, reason }
    } else {
        OpenError::File { path, reason }
    }
}

fn make_folder(path: &Path) -> Result<(), OpenError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| OpenError::Folder { path: folder.to_owned(), reason: error.to_string() })
}

/// SQLite gives the files beside it the same mode.
fn make_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn file_error(path: &Path, error: io::Error) -> OpenError {
    OpenError::File { path: path.to_owned(), reason: error.to_string() }
}

/// Keeps a second process off. The kernel lets go of it when this one dies.
struct Lock {
    path: PathBuf,
    file: Flock<File>,
}

impl Lock {
    fn take(database: &Path) -> Result<Self, OpenError> {
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let file = make_file(&path).map_err(|error| file_error(&path, error))?;
        let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        let file = locked.map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => OpenError::InUse { path: database.to_owned() },
            errno => file_error(&path, errno.into()),
        })?;
        Ok(Self { path, file })
    }

    /// Takes the lock anew, unless it is still on the file that others would look at.
    fn renew(&mut self, database: &Path) -> Result<(), Error> {
        let held = self.file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        if held.is_ok_and(|held| identity(&self.path).is_ok_and(|named| named == held)) {
            return Ok(());
        }
        *self = Self::take(database).map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(())
    }
}
