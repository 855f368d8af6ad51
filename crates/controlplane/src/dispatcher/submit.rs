//! The way of a new job into the store, and from there to a worker.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{OwnedSemaphorePermit, TryAcquireError},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    choice::Choice,
    place::{Placed, Placement, Unplaced, begin},
};
use crate::{
    event,
    job::{Job, JobId, JobSpec},
    store::{self, Created, Expected, Fate, NewJob, Record},
};

/// Pause between two tries to remove a job that no worker took.
const WITHDRAWAL_PAUSE: Duration = Duration::from_secs(1);

/// Why a job was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Every worker is full, asleep for too long, or gone.
    #[error("no available workers")]
    NoWorker,
    /// As many jobs wait as may.
    #[error("the queue is full")]
    QueueFull,
    /// Too many requests wait for a worker already.
    #[error("too many jobs are waiting for a worker")]
    Busy,
    /// This control plane is stopping.
    #[error("the service is stopping")]
    Stopping,
    /// A worker says that the request can run nowhere, and why.
    #[error("{0}")]
    Refused(String),
    /// The idempotency key was used for another request.
    #[error("Idempotency-Key: was used for another request")]
    KeyTaken,
    /// A worker is still being looked for, for an earlier request with the same key.
    #[error("a request with this Idempotency-Key is under way")]
    UnderWay,
    /// The job could not be written down.
    #[error("the job cannot be written down")]
    Store(store::Error),
}

impl From<store::Error> for SubmitError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::KeyTaken => Self::KeyTaken,
            store::Error::QueueFull => Self::QueueFull,
            error @ (store::Error::Conflict(_) | store::Error::Unavailable(_) | store::Error::Broken(_)) => {
                Self::Store(error)
            }
        }
    }
}

impl SubmitError {
    /// True for a job that could not be taken, false for a request that was wrong or came twice.
    #[must_use]
    pub fn is_rejection(&self) -> bool {
        match self {
            Self::NoWorker | Self::QueueFull | Self::Busy | Self::Stopping | Self::Refused(_) | Self::Store(_) => true,
            Self::KeyTaken | Self::UnderWay => false,
        }
    }
}

/// A request for a job.
pub(super) struct Request {
    pub(super) spec: Arc<JobSpec>,
    /// The client's name for it.
    pub(super) key: Option<String>,
}

impl Shared {
    /// Takes a job in: it is durable when this ends well.
    pub(super) async fn take_in(self: Arc<Self>, request: Request) -> Result<JobId, SubmitError> {
        if self.lifecycle.is_stopping() {
            return Err(SubmitError::Stopping);
        }
        if self.rules.max_queued > 0 { self.enqueue(request).await } else { self.admit(request).await }
    }

    /// Writes a job down that then waits for its turn.
    async fn enqueue(&self, request: Request) -> Result<JobId, SubmitError> {
        let job = Job::new(JobId::random(), request.spec, Timestamp::now());
        let new = NewJob {
            event: event::milestone(&job, job.created_at),
            // Not by the clock: it may be set back, and other machines have other ones.
            fate: Fate::Waiting { due: Timestamp::UNIX_EPOCH },
            idempotency_key: request.key,
            queue_limit: Some(self.rules.max_queued),
            job,
        };
        let (id, preset) = (new.job.id, new.job.spec.preset.name);
        match self.store.create(new).await? {
            Created::New => {
                tracing::info!(job.id = %id, job.preset = preset, "job accepted");
                Ok(id)
            }
            Created::Before(record) => self.before(&record).await,
        }
    }

    /// The job of an earlier request with the same key.
    async fn before(&self, record: &Record) -> Result<JobId, SubmitError> {
        let id = record.job.id;
        if !record.provisional {
            return Ok(id);
        }
        let offered = self.offered().contains(&id);
        if offered || record.owner != Some(self.ownership.plane) {
            return Err(SubmitError::UnderWay);
        }
        // It was placed or removed between the two looks.
        self.store.get(id).await?.map(|_| id).ok_or(SubmitError::UnderWay)
    }

    /// Finds a worker first. What is written down is finished even when the client goes away.
    async fn admit(self: Arc<Self>, request: Request) -> Result<JobId, SubmitError> {
        if let Some(key) = &request.key
            && let Some(record) = self.store.by_key(key.clone()).await?
        {
            return if record.job.spec == request.spec {
                self.before(&record).await
            } else {
                Err(SubmitError::KeyTaken)
            };
        }
        let permit = Arc::clone(&self.admissions).try_acquire_owned().map_err(|error| match error {
            TryAcquireError::NoPermits => SubmitError::Busy,
            TryAcquireError::Closed => SubmitError::Stopping,
        })?;
        let gone = CancellationToken::new();
        let _gone = gone.clone().drop_guard();
        let placing = Arc::clone(&self).place_new(request, permit, gone);
        let placed = self.lifecycle.spawn("admission", placing).await;
        placed.unwrap_or(Err(SubmitError::Stopping))
    }

    async fn place_new(
        self: Arc<Self>,
        request: Request,
        _permit: OwnedSemaphorePermit,
        gone: CancellationToken,
    ) -> Result<JobId, SubmitError> {
        let timer = self.metrics.selection();
        let mut candidates = self.balancer.candidates();
        let first = tokio::select! {
            biased;
            () = self.lifecycle.stopping() => return Err(SubmitError::Stopping),
            // Nothing is written down yet: a client that went away wants nothing any more.
            () = gone.cancelled() => return Err(SubmitError::Stopping),
            candidate = candidates.next() => candidate.ok_or(SubmitError::NoWorker)?,
        };
        let mut job = Job::new(JobId::random(), request.spec, Timestamp::now());
        begin(&mut job, &first);
        let id = job.id;
        let offered = Offered::new(&self, id);
        let event = event::milestone(&job, job.created_at);
        let new = NewJob {
            job: job.clone(),
            event: event.clone(),
            fate: Fate::Driven { by: self.ownership.plane, provisional: true },
            idempotency_key: request.key,
            queue_limit: None,
        };
        if let Created::Before(record) = self.store.create(new).await? {
            return self.before(&record).await;
        }
        let (feed, handle) = self.live.drive(id);
        feed.milestone_at(event.number, event.json.into());
        let stored = self.mine(&job);
        let placement = Placement { job, feed, handle: handle.clone(), stored, provisional: true, written: true };
        let placed = placement.offer(&self, Choice::new(first, candidates, None)).await;
        drop(timer);
        match placed {
            Placed::Running(drive, link) => {
                tracing::info!(job.id = %id, job.preset = drive.job.spec.preset.name, "job accepted");
                self.spawn(*drive, link);
                Ok(id)
            }
            Placed::Nowhere(unplaced) => {
                self.withdraw(unplaced, offered).await;
                Err(if self.lifecycle.is_stopping() { SubmitError::Stopping } else { SubmitError::NoWorker })
            }
            Placed::Refused(unplaced, reason) => {
                self.withdraw(unplaced, offered).await;
                Err(SubmitError::Refused(reason))
            }
            Placed::Lost => {
                self.let_go(id, &handle).await;
                Err(SubmitError::Stopping)
            }
        }
    }

    /// Removes a job that no client was told of; in the background where the store is away.
    async fn withdraw(self: &Arc<Self>, unplaced: Unplaced, offered: Offered) {
        let Unplaced { job, stored, .. } = unplaced;
        self.live.forget(job.id);
        if !self.is_withdrawn(job.id, stored).await {
            let shared = Arc::clone(self);
            self.lifecycle.spawn("withdrawal", async move {
                // Nobody takes it for a job that is to be driven meanwhile.
                let _offered = offered;
                while !shared.lifecycle.is_stopping() && !shared.is_withdrawn(job.id, stored).await {
                    sleep(WITHDRAWAL_PAUSE).await;
                }
            });
        }
    }

    async fn is_withdrawn(&self, id: JobId, stored: Expected) -> bool {
        match self.store.withdraw(id, stored).await {
            Ok(()) | Err(store::Error::Conflict(_)) => true,
            Err(error) => {
                tracing::warn!(job.id = %id, %error, "job that no worker took cannot be removed");
                false
            }
        }
    }
}

/// Notes that a job is being offered to workers, until it is dropped.
struct Offered {
    shared: Arc<Shared>,
    id: JobId,
}

impl Offered {
    fn new(shared: &Arc<Shared>, id: JobId) -> Self {
        shared.offered().insert(id);
        Self { shared: Arc::clone(shared), id }
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        self.shared.offered().remove(&self.id);
    }
}
