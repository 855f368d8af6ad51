//! The server behind the store, where there is one.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::Postgres;

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
pub struct Store(Option<Arc<Postgres>>);

impl Store {
    /// Starts what there is to start.
    pub async fn start(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self(None),
            Kind::Postgres => Self(Some(Arc::new(Postgres::start().await))),
        }
    }

    /// `DATABASE_URL` of a new database, unless it is the default.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        self.0.as_ref().map(|server| server.database())
    }

    /// True where it can be stopped.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.0.is_some()
    }

    /// Stops the server without warning.
    pub async fn crash(&self) {
        let Some(server) = self.0.clone() else { return };
        // It ends with the server; it cannot be told before.
        let _ = spawn_blocking(move || server.crash()).await;
    }

    /// Starts it again.
    pub async fn resume(&self) {
        if let Some(server) = &self.0 {
            server.restart().await;
        }
    }
}
