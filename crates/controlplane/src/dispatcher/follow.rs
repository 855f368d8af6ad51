//! Event streams, of jobs that this process drives and of all others.

use std::sync::Arc;

use service::feed::{Position, Subscription};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{Dispatcher, Shared, live::Handle};
use crate::{
    event::JobFeed,
    job::JobId,
    store::{self, Change},
};

impl Dispatcher {
    /// A listener who has seen everything up to `seen`; `None` when there is no such job.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn subscribe(&self, id: JobId, seen: Position) -> Result<Option<Subscription<Arc<str>>>, store::Error> {
        let record = self.0.store.get(id).await?.filter(|record| record.job.parent().is_none());
        let Some(record) = record else { return Ok(None) };
        // Held before it is filled, so that no event can slip between.
        let feed = self.0.live.feed(id);
        if self.0.live.handle(id).is_none() {
            self.0.refresh(id, &feed).await?;
        } else if feed.newest().milestone < record.job.milestones {
            // Whoever drives it has not come to that yet, or could not.
            self.0.fill(id, &feed).await?;
        }
        // A place that this job never came to is another job's, or made up.
        let seen = if seen.milestone > feed.newest().milestone { Position::default() } else { seen };
        Ok(Some(feed.subscribe_after(seen)))
    }
}

impl Shared {
    /// Begins to drive a job: its feed has every event then.
    pub(super) async fn drive(&self, id: JobId, cancelled: bool) -> (JobFeed, Handle) {
        let (feed, handle) = self.live.drive(id);
        if cancelled {
            handle.cancel.cancel();
        }
        self.fill_for(id, &feed).await;
        (feed, handle)
    }

    /// Adds the events that the feed of a driven job lacks, if they can be read.
    pub(super) async fn fill_for(&self, id: JobId, feed: &JobFeed) {
        if let Err(error) = self.fill(id, feed).await {
            // Listeners lack events then, until they come back.
            tracing::warn!(job.id = %id, %error, "cannot read a job's events");
        }
    }

    /// Adds the events that the feed lacks, and closes it when the job has ended.
    pub(super) async fn refresh(&self, id: JobId, feed: &JobFeed) -> Result<(), store::Error> {
        // Read before the events, which then reach at least as far.
        let record = self.store.get(id).await?;
        self.fill(id, feed).await?;
        if record.is_none_or(|record| record.job.state.status().is_terminal()) {
            feed.close();
            self.live.forget(id);
        }
        Ok(())
    }

    async fn fill(&self, id: JobId, feed: &JobFeed) -> Result<(), store::Error> {
        for event in self.store.events(id, feed.newest().milestone).await? {
            feed.milestone_at(event.number, event.json.into());
        }
        Ok(())
    }

    pub(super) async fn refresh_watched(&self, id: JobId) {
        if let Some(feed) = self.live.watched(id)
            && let Err(error) = self.refresh(id, &feed).await
        {
            tracing::warn!(job.id = %id, %error, "cannot follow a job");
            self.stale().insert(id);
        }
    }

    /// Ends the driving of a job that somebody else sees to from now on.
    pub(super) async fn let_go(&self, id: JobId, handle: &Handle) {
        self.live.leave(id, handle);
        // What others did while this process drove it was not listened to.
        self.refresh_watched(id).await;
        if handle.cancel.is_cancelled() {
            // The wish may have come when the job was on its way back into the queue.
            self.cancel_waiting(id).await;
        }
    }
}

/// Follows what others do to jobs that are watched or driven here.
pub(super) async fn run(shared: Arc<Shared>, mut changes: Receiver<Change>) {
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = shared.lifecycle.stopping() => return,
        };
        match change {
            Ok(Change::Job(id)) => shared.refresh_watched(id).await,
            Ok(Change::Cancel(id)) => {
                match shared.live.handle(id) {
                    Some(handle) => handle.cancel.cancel(),
                    // It was on its way back into the queue when the wish was written down.
                    None => shared.cancel_waiting(id).await,
                }
            }
            Ok(Change::Progress { id, event, update }) => {
                if let Some(feed) = shared.live.watched(id) {
                    feed.update_at(Position { milestone: event.number, update }, event.json.into());
                }
            }
            Ok(Change::Queued | Change::Callback) => {}
            Ok(Change::Unknown) | Err(RecvError::Lagged(_)) => {
                // What is told up to now is seen.
                changes = changes.resubscribe();
                look_around(&shared).await;
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Looks at everything: something may have been missed.
async fn look_around(shared: &Shared) {
    for id in shared.live.all_watched() {
        shared.refresh_watched(id).await;
    }
    for (id, handle) in shared.live.all_driven() {
        match shared.store.get(id).await {
            Ok(Some(record)) if record.cancel_requested => handle.cancel.cancel(),
            Ok(Some(_)) => {}
            Ok(None) => handle.superseded.cancel(),
            Err(error) => tracing::warn!(job.id = %id, %error, "cannot follow a job"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use jiff::Timestamp;
    use service::lifecycle::Lifecycle;

    use super::*;
    use crate::{
        balancer::Balancer,
        dispatcher::Rules,
        event,
        job::{spec::Split, tests::job},
        limits::Limits,
        metrics::Metrics,
        store::{Database, Fate, NewJob, StoreConfig},
    };

    async fn dispatcher() -> Dispatcher {
        let store = store::open(&StoreConfig { database: Database::Memory }).await.expect("a store");
        let metrics = Metrics::new();
        let balancer = Balancer::new(Vec::new(), Duration::ZERO, Duration::ZERO, metrics.clone());
        let rules = Rules {
            max_queued: 10,
            max_attempts: 1,
            retention: Duration::MAX,
            shared_store: false,
            durable_store: false,
            chunk_seconds: 15.0,
            split: Split::Auto,
        };
        Dispatcher::new(balancer, store, metrics, Limits::default(), rules, Lifecycle::new())
    }

    #[tokio::test]
    async fn nothing_is_told_again_while_the_feed_of_a_driven_job_is_still_empty() {
        let (dispatcher, job) = (dispatcher().await, job());
        let (id, event) = (job.id, event::milestone(&job, Timestamp::UNIX_EPOCH));
        let fate = Fate::Waiting { due: Timestamp::UNIX_EPOCH };
        let new = NewJob { job, event, fate, idempotency_key: None, queue_limit: None };
        dispatcher.0.store.create(new).await.expect("written down");
        dispatcher.0.live.drive(id);
        let seen = Position { milestone: 1, update: 0 };
        let mut listener = dispatcher.subscribe(id, seen).await.expect("a store").expect("a job");
        assert_eq!(listener.next_at().now_or_never(), None, "there is nothing new");
    }
}
