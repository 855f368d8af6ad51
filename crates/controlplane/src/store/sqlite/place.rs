//! The file, its lock and its connections; or memory.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteError, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::store::{Error, OpenError, failure};

static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// Connections that only read. Readers are short, and there are two cores or a few more.
const READERS: u32 = 4;

/// How long a connection waits for a lock in the file: nobody but a backup or a curious operator should have one.
const BUSY: Duration = Duration::from_secs(5);

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
    readers: Readers,
}

/// Device and inode: whether a name still means the same file.
type Identity = (u64, u64);

/// The connections that only read. They are replaced when the file is.
#[derive(Debug, Clone)]
pub(super) struct Readers(Arc<Mutex<SqlitePool>>);

impl Readers {
    /// The connections.
    pub(super) fn pool(&self) -> SqlitePool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn of(path: &Path) -> Self {
        Self(Arc::new(Mutex::new(Self::connect(path))))
    }

    fn replace(&self, path: &Path) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Self::connect(path);
    }

    fn connect(path: &Path) -> SqlitePool {
        let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new().max_connections(READERS).acquire_timeout(BUSY);
        pool.connect_lazy_with(options.disable_statement_logging())
    }
}

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
        Ok(Self::File(OnDisk { path: path.to_owned(), identity, lock, readers: Readers::of(path) }))
    }

    /// True in memory.
    pub(super) fn is_memory(&self) -> bool {
        matches!(self, Self::Memory)
    }

    /// The connections that only read; none in memory.
    pub(super) fn readers(&self) -> Option<Readers> {
        match self {
            Self::Memory => None,
            Self::File(file) => Some(file.readers.clone()),
        }
    }

    /// The first connection, after the migrations.
    pub(super) async fn begin(&mut self) -> Result<SqliteConnection, OpenError> {
        let connect = async {
            let mut connection = self.connect().await.map_err(MigrateError::Execute)?;
            MIGRATOR.run_direct(None, &mut connection, false).await?;
            Ok(connection)
        };
        connect.await.map_err(|error| self.explain(error))
    }

    /// Whether the name stands for another file than it did.
    pub(super) async fn has_moved(&self) -> Result<bool, Error> {
        let Self::File(file) = self else { return Ok(false) };
        match tokio::fs::metadata(&file.path).await {
            Ok(metadata) => Ok((metadata.dev(), metadata.ino()) != file.identity),
            // An open file can still be written after that, but what is written is lost.
            Err(error) => Err(Error::Unavailable(format!("{} is gone: {error}", file.path.display()))),
        }
    }

    /// A connection after a failure. Never makes a file: an empty one would forget jobs that were accepted.
    pub(super) async fn again(&mut self, moved: bool) -> Result<SqliteConnection, Error> {
        if let (Self::File(file), true) = (&mut *self, moved) {
            file.lock.renew(&file.path)?;
            file.identity = identity(&file.path).map_err(|error| Error::Unavailable(error.to_string()))?;
            file.readers.replace(&file.path);
            tracing::warn!(path = %file.path.display(), "the database is another file now");
        }
        let mut connection = self.connect().await?;
        if moved {
            let migrated = MIGRATOR.run_direct(None, &mut connection, false).await;
            migrated.map_err(|error| Error::Unavailable(error.to_string()))?;
        }
        Ok(connection)
    }

    async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        let options = SqliteConnectOptions::new().disable_statement_logging().busy_timeout(BUSY);
        let options = match self {
            Self::Memory => options.in_memory(true),
            Self::File(file) => options
                .filename(&file.path)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                // The log is cut back to this after a burst.
                .pragma("journal_size_limit", "67108864"),
        };
        SqliteConnection::connect_with(&options).await
    }

    fn explain(&self, error: MigrateError) -> OpenError {
        let path = match self {
            Self::Memory => Path::new(":memory:"),
            Self::File(file) => &file.path,
        };
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => explain(path, &error),
            error @ (MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_)) => {
                OpenError::Version { database: path.display().to_string(), reason: error.to_string() }
            }
            error => OpenError::File { path: path.to_owned(), reason: error.to_string() },
        }
    }
}

fn explain(path: &Path, error: &sqlx::Error) -> OpenError {
    let reason = failure::reason(error);
    let sqlite = error.as_database_error().and_then(|error| error.try_downcast_ref::<SqliteError>());
    if sqlite.and_then(failure::primary_code).is_some_and(failure::is_damage) {
        OpenError::Damaged { path: path.to_owned(), reason }
    } else {
        OpenError::File { path: path.to_owned(), reason }
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
