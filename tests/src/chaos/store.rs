//! The server behind the store, where there is one.

use anyhow::{Result, bail};

/// Where the jobs are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file; one control plane.
    Sqlite,
    /// A server; one or more control planes.
    Postgres,
}

/// A store that can be struck.
#[derive(Debug)]
pub struct Store(Kind);

impl Store {
    /// Starts what there is to start.
    ///
    /// # Errors
    /// Where that cannot be had.
    pub fn start(kind: Kind) -> Result<Self> {
        match kind {
            Kind::Sqlite => Ok(Self(kind)),
            Kind::Postgres => bail!("PostgreSQL is not wired yet"),
        }
    }

    /// `DATABASE_URL`, unless it is the default.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        None
    }

    /// True where it can be stopped.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.0 == Kind::Postgres
    }

    /// Stops the server.
    pub fn stop(&self) {}

    /// Starts it again.
    pub fn resume(&self) {}
}
