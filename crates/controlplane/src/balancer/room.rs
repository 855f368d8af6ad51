//! Waits until some worker has room, as long as jobs wait. Workers tell of it themselves; only those of the original
//! service are asked.

use std::time::Duration;

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{sleep, timeout};

use super::{Fill, Worker};
use crate::worker_client::{Connection, Watch, WorkerStatus};

/// Pauses between two tries to reach a worker that does not answer: the first, and the longest. It may come up at any
/// moment, with jobs waiting for it.
const UNREACHABLE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(3));

/// Pause between two questions to a worker that does not tell by itself, or whose room nobody could use.
const ASK: Duration = Duration::from_secs(1);

/// How long a worker that tells by itself may say nothing before it is asked.
const SILENCE: Duration = Duration::from_secs(30);

/// The workers, watched. While it lives, those that say that they are full need not be asked.
pub struct Rooms<'a> {
    workers: &'a [Worker],
    waits: FuturesUnordered<BoxFuture<'a, Watched<'a>>>,
}

impl<'a> Rooms<'a> {
    /// Watches `workers`, each of which may take `limit` to answer.
    pub(super) fn new(workers: &'a [Worker], limit: Duration) -> Self {
        let waits = workers.iter().map(|worker| wait(Watched::new(worker, limit)));
        Self { workers, waits: waits.collect() }
    }

    /// Ends when a worker says that it has room, with `splits` one that knows the tasks of split jobs, unless no worker
    /// does: each says it once, and again after a while. Cancel safe.
    pub async fn next(&mut self, splits: bool) {
        while let Some(watched) = self.waits.next().await {
            let suits = watched.splits || !splits || super::know_no_tasks(self.workers);
            self.waits.push(wait(watched));
            if suits {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

fn wait(watched: Watched<'_>) -> BoxFuture<'_, Watched<'_>> {
    Box::pin(watched.room())
}

/// A worker, and how it is watched.
struct Watched<'a> {
    worker: &'a Worker,
    limit: Duration,
    watch: Option<Watch>,
    /// The last that it said is that it has room.
    has_room: bool,
    /// And that it knows the tasks of split jobs.
    splits: bool,
    /// Pause before the next try to reach it.
    pause: Duration,
}

impl<'a> Watched<'a> {
    fn new(worker: &'a Worker, limit: Duration) -> Self {
        Self { worker, limit, watch: None, has_room: false, splits: false, pause: UNREACHABLE.0 }
    }

    /// Ends when the worker says that it has room.
    async fn room(mut self) -> Self {
        loop {
            let status = if self.watch.is_some() { self.hear().await } else { self.ask().await };
            self.has_room = status.as_ref().is_some_and(WorkerStatus::has_room);
            self.splits = status.as_ref().is_some_and(|status| status.splits);
            if let Some(status) = &status {
                self.worker.splits(Some(status.splits));
            }
            if self.has_room {
                self.worker.tells(Fill::Room);
                return self;
            }
            if status.is_some() && self.watch.is_some() {
                self.worker.tells(Fill::Watched);
            } else {
                self.worker.unwatched();
            }
        }
    }

    /// What it says next.
    async fn hear(&mut self) -> Option<WorkerStatus> {
        let watch = self.watch.as_mut()?;
        // A worker that is gone without a word would be waited for without end.
        let patience = if self.has_room { ASK } else { SILENCE };
        let status = timeout(patience, watch.next()).await.ok().and_then(Result::ok).flatten();
        if status.is_none() {
            self.watch = None;
        }
        status
    }

    /// Connects. What a worker that can be watched answers is heard next.
    async fn ask(&mut self) -> Option<WorkerStatus> {
        if self.has_room {
            sleep(ASK).await;
        }
        let Ok((connection, status)) = Connection::open(&self.worker.address, self.limit).await else {
            self.worker.splits(None);
            self.worker.back(self.pause).await;
            self.pause = (self.pause * 2).min(UNREACHABLE.1);
            return None;
        };
        self.pause = UNREACHABLE.0;
        self.watch = connection.watch(self.limit).await.ok();
        if self.watch.is_some() {
            return None;
        }
        if !status.has_room() {
            sleep(ASK).await;
        }
        Some(status)
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.worker.unwatched();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::{net::TcpListener, sync::Notify, time::Instant};

    use super::*;

    /// A worker that could not be reached, and then answers somebody else, is not waited for any longer.
    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_with_an_answer() {
        let gone = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
        let address = gone.to_string().parse().expect("an address");
        let worker = Worker { address, seen: Mutex::default(), answer: Notify::new() };
        let (longest, start) = (Duration::from_hours(1), Instant::now());
        let mut watched = Watched::new(&worker, longest);
        watched.pause = longest;
        tokio::select! {
            status = watched.ask() => assert!(status.is_none()),
            () = async { loop { sleep(ASK).await; worker.answered(None) } } => {}
        }
        assert!(start.elapsed() < longest, "it waited for the time to pass");
    }
}
