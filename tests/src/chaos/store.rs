//! The server behind the store, where there is one.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, task::spawn_blocking, time::sleep};

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
pub struct Store {
    server: Option<Arc<Postgres>>,
    /// Held while it is stopped.
    stopped: Mutex<()>,
}

impl Store {
    /// Starts what there is to start.
    pub async fn start(kind: Kind) -> Self {
        let server = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(Arc::new(Postgres::start().await)),
        };
        Self { server, stopped: Mutex::default() }
    }

    /// `DATABASE_URL` of a new database, unless it is the default.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        self.server.as_ref().map(|server| server.database())
    }

    /// True where it can be stopped.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.server.is_some()
    }

    /// Stops the server without warning, and starts it again after `lasts`. One that is stopped already is left alone.
    pub async fn strike(&self, lasts: Duration) {
        let (Some(server), Ok(_stopped)) = (self.server.clone(), self.stopped.try_lock()) else { return };
        let struck = Arc::clone(&server);
        // It ends with the server; it cannot be told before.
        let _ = spawn_blocking(move || struck.crash()).await;
        sleep(lasts).await;
        server.restart().await;
    }
}
