//! The way of a new job into the store, and from there to a worker.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    place::{Placed, Placement, Unplaced, begin},
};
use crate::{
    event,
    job::{Job, JobId, JobSpec},
    store::{self, Created, Fate, NewJob, Record},
};

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
            fate: Fate::Waiting { due: job.created_at },
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
            Created::Before(record) => self.before(&record),
        }
    }

    /// The job of an earlier request with the same key.
    fn before(&self, record: &Record) -> Result<JobId, SubmitError> {
        let id = record.job.id;
        let mine = record.owner == Some(self.ownership.plane) && !self.offered().contains(&id);
        if record.provisional && !mine { Err(SubmitError::UnderWay) } else { Ok(id) }
    }

    /// Finds a worker first. What is written down is finished even when the client goes away.
    async fn admit(self: Arc<Self>, request: Request) -> Result<JobId, SubmitError> {
        if let Some(key) = &request.key
            && let Some(record) = self.store.by_key(key.clone()).await?
        {
            return if record.job.spec == request.spec { self.before(&record) } else { Err(SubmitError::KeyTaken) };
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
        let _offered = Offered::new(&self, id);
        let event = event::milestone(&job, job.created_at);
        let new = NewJob {
            job: job.clone(),
            event: event.clone(),
            fate: Fate::Driven { by: self.ownership.plane, provisional: true },
            idempotency_key: request.key,
            queue_limit: None,
        };
        if let Created::Before(record) = self.store.create(new).await? {
            return self.before(&record);
        }
        let (feed, handle) = self.live.drive(id);
        feed.milestone_at(event.number, event.json.into());
        let stored = self.mine(&job);
        let placement = Placement { job, feed, handle, stored, provisional: true, written: true };
        let placed = placement.offer(&self, first, &mut candidates).await;
        drop(timer);
        match placed {
            Placed::Running(drive, link) => {
                tracing::info!(job.id = %id, job.preset = drive.job.spec.preset.name, "job accepted");
                self.spawn(*drive, link);
                Ok(id)
            }
            Placed::Nowhere(unplaced) => Err(self.withdraw(unplaced, SubmitError::NoWorker).await),
            Placed::Refused(unplaced, reason) => Err(self.withdraw(unplaced, SubmitError::Refused(reason)).await),
            Placed::Lost => Err(SubmitError::Stopping),
        }
    }

    /// Removes a job that no client was told of.
    async fn withdraw(&self, unplaced: Unplaced, error: SubmitError) -> SubmitError {
        let id = unplaced.job.id;
        if let Err(error) = self.store.withdraw(id, unplaced.stored).await {
            // It stays and is tried: its client may ask for it by its key.
            tracing::warn!(job.id = %id, %error, "job that no worker took cannot be removed");
        }
        self.live.forget(id);
        error
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
