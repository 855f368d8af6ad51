//! Jobs in PostgreSQL, which several control planes may share.
//!
//! Each change is one statement, mostly: what depends on it hangs on it as a common table expression, the word to the
//! other control planes too. Who drives a job is in its row; which control planes live is in a table of leases by the
//! server's clock.
//!
//! - `connect`: connections and migrations
//! - `listen`: what changes, as the server tells it
//! - `notice`: the same on the wire
//! - `room`: whether the queue is full
//! - `turns`: whose turn it is
//! - `create`, `step`, `queue`, `leases`, `callbacks`, `read`: the statements

mod callbacks;
mod connect;
mod create;
mod leases;
mod listen;
mod notice;
mod queue;
mod read;
mod room;
mod step;
mod turns;

use std::{future::Future, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::PgPool;
use tokio::{sync::broadcast, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{room::Room, turns::Turns};
use super::{
    Callback, CallbackId, Change, Created, Error, Expected, Filter, JobStore, NewJob, OpenError, Page, PlaneId,
    Progress, Record, Settlement, StoredEvent, Transition, url::Postgres,
};
use crate::job::JobId;

/// How many changes a listener may lag behind.
const CHANGES: usize = 1024;

/// How long a call may take, the wait for a connection included. The server's own limit is shorter.
const PATIENCE: Duration = Duration::from_secs(10);

/// Jobs in PostgreSQL.
#[derive(Debug)]
pub struct PostgresStore {
    pool: PgPool,
    room: Room,
    turns: Turns,
    changes: broadcast::Sender<Change>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl PostgresStore {
    /// Connects, brings the tables up to date, and listens.
    ///
    /// # Errors
    /// Why the server cannot be used.
    pub async fn open(url: &Postgres) -> Result<Self, OpenError> {
        let pool = connect::open(url).await?;
        let changes = broadcast::Sender::new(CHANGES);
        let listener = listen::start(&pool).await.map_err(|error| connect::refused(url, &error))?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(listen::run(listener, pool.clone(), changes.clone(), stop.clone()));
        tasks.close();
        Ok(Self { pool, room: Room::default(), turns: Turns::default(), changes, stop, tasks })
    }
}

/// Gives a call its time. What the server does with a statement that is given up is not known.
fn bounded<'a, T>(work: impl Future<Output = Result<T, Error>> + Send + 'a) -> BoxFuture<'a, Result<T, Error>> {
    Box::pin(async {
        let late = || Err(Error::Unavailable(format!("no answer for {} s", PATIENCE.as_secs())));
        timeout(PATIENCE, work).await.unwrap_or_else(|_| late())
    })
}

impl JobStore for PostgresStore {
    fn create(&self, new: NewJob) -> BoxFuture<'_, Result<Created, Error>> {
        bounded(create::create(&self.pool, &self.room, &self.turns, new))
    }

    fn withdraw(&self, id: JobId, expected: Expected) -> BoxFuture<'_, Result<(), Error>> {
        bounded(create::withdraw(&self.pool, id, expected))
    }

    fn get(&self, id: JobId) -> BoxFuture<'_, Result<Option<Record>, Error>> {
        bounded(read::get(&self.pool, id))
    }

    fn by_key(&self, key: String) -> BoxFuture<'_, Result<Option<Record>, Error>> {
        bounded(read::by_key(&self.pool, key))
    }

    fn family(&self, parent: JobId) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        bounded(read::family(&self.pool, parent))
    }

    fn certificate(&self, id: JobId) -> BoxFuture<'_, Result<Option<String>, Error>> {
        bounded(read::certificate(&self.pool, id))
    }

    fn list(&self, filter: Filter) -> BoxFuture<'_, Result<Page, Error>> {
        bounded(read::list(&self.pool, filter))
    }

    fn events(&self, id: JobId, after: u32) -> BoxFuture<'_, Result<Vec<StoredEvent>, Error>> {
        bounded(read::events(&self.pool, id, after))
    }

    fn transition(&self, transition: Transition) -> BoxFuture<'_, Result<(), Error>> {
        bounded(step::transition(&self.pool, &self.turns, transition))
    }

    fn save_progress(&self, progress: Vec<Progress>) -> BoxFuture<'_, Result<(), Error>> {
        bounded(step::save_progress(&self.pool, progress))
    }

    fn request_cancel(&self, id: JobId) -> BoxFuture<'_, Result<Option<Record>, Error>> {
        bounded(step::request_cancel(&self.pool, id))
    }

    fn claim(&self, plane: PlaneId, now: Timestamp, tasks: bool) -> BoxFuture<'_, Result<Option<Record>, Error>> {
        bounded(queue::claim(&self.pool, &self.turns, plane, now, tasks))
    }

    fn next_due(&self, now: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        bounded(queue::next_due(&self.pool, now))
    }

    fn waiting(&self) -> BoxFuture<'_, Result<u64, Error>> {
        bounded(queue::waiting(&self.pool))
    }

    fn renew(&self, plane: PlaneId, lease: Duration) -> BoxFuture<'_, Result<bool, Error>> {
        bounded(leases::renew(&self.pool, plane, lease))
    }

    fn adopt(&self, plane: PlaneId) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        bounded(leases::adopt(&self.pool, plane))
    }

    fn held(&self, plane: PlaneId) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        bounded(read::held(&self.pool, plane))
    }

    fn resign(&self, plane: PlaneId) -> BoxFuture<'_, Result<(), Error>> {
        bounded(leases::resign(&self.pool, plane))
    }

    fn expire(&self, before: Timestamp, limit: u32) -> BoxFuture<'_, Result<u64, Error>> {
        bounded(queue::expire(&self.pool, before, limit))
    }

    fn due_callbacks(&self, now: Timestamp, hold: Duration, limit: u32) -> BoxFuture<'_, Result<Vec<Callback>, Error>> {
        bounded(callbacks::take(&self.pool, now, hold, limit))
    }

    fn next_callback(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        bounded(callbacks::next(&self.pool))
    }

    fn settle_callback(&self, id: CallbackId, settlement: Settlement) -> BoxFuture<'_, Result<(), Error>> {
        bounded(callbacks::settle(&self.pool, id, settlement))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), Error>> {
        bounded(queue::probe(&self.pool))
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.stop.cancel();
            self.tasks.wait().await;
            // A connection whose server is gone would be waited for.
            if timeout(PATIENCE, self.pool.close()).await.is_err() {
                tracing::warn!("connections to the database did not close in time");
            }
        })
    }
}
