//! Opening the store that the settings name.

use std::{path::PathBuf, sync::Arc};

use super::{JobStore, postgres::PostgresStore, sqlite::SqliteStore, url::Database};

/// Which store.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `DATABASE_URL` and `DATA_DIR`.
    pub database: Database,
}

/// Why a store cannot be opened. Each says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The folder of the database is not there and cannot be made.
    #[error(
        "cannot make the folder {}: {reason}; DATA_DIR must be a folder that the control plane may write in",
        path.display()
    )]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Another process has the database.
    #[error(
        "another control plane uses {}; stop it, give this one another DATA_DIR, or let both use one PostgreSQL",
        path.display()
    )]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// The file cannot be used.
    #[error("cannot use the database {}: {reason}; check DATA_DIR and DATABASE_URL", path.display())]
    File {
        /// The database.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
    /// The file holds something else, or is damaged.
    #[error(
        "{} is damaged or not a database of SQLite: {reason}; restore it from a backup, or move it away to begin anew",
        path.display()
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// A later version of this program has changed the tables.
    #[error(
        "the tables in {database} are those of another version: {reason}; run the version that made them or a later one"
    )]
    Version {
        /// The database, without its password.
        database: String,
        /// What is different.
        reason: String,
    },
    /// There is no database server, or it refuses.
    #[error("cannot use {database}: {reason}; check DATABASE_URL and that the server runs")]
    Server {
        /// The database, without its password.
        database: String,
        /// What failed.
        reason: String,
    },
}

/// Opens the store: afterwards it takes writes.
///
/// # Errors
/// Why it cannot be used.
pub async fn open(config: &StoreConfig) -> Result<Arc<dyn JobStore>, OpenError> {
    Ok(match &config.database {
        Database::Memory => {
            tracing::warn!("jobs are kept in memory: they end with this process");
            Arc::new(SqliteStore::memory().await?)
        }
        Database::File(path) => Arc::new(SqliteStore::file(path).await?),
        Database::Postgres(url) => Arc::new(PostgresStore::open(url).await?),
    })
}
