//! Takes a job from request to outcome: finds a worker that admits it, then relays what the worker says.
//!
//! - `admit`: the way to an admitted job
//! - `relay`: from then on, one task a job

mod admit;
mod relay;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use service::{feed::Subscription, lifecycle::Lifecycle};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use admit::SubmitError;

use crate::{
    balancer::Balancer,
    event::{JobFeed, Published},
    job::{Job, JobId, JobSpec, State},
    limits::Limits,
    metrics::Metrics,
    recent::{FINISHED_JOBS, Recent},
    store::memory::{self as store, JobStore},
};

/// Why a job cannot be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// There is no such job.
    #[error("job not found")]
    Unknown,
    /// The job has ended.
    #[error("job is already finished")]
    Finished,
    /// The store failed.
    #[error("cannot read the job")]
    Store(#[from] store::Error),
}

/// Takes jobs from request to outcome. Clones share one state.
#[derive(Clone)]
pub struct Dispatcher(Arc<Shared>);

struct Shared {
    balancer: Balancer,
    store: Arc<dyn JobStore>,
    live: Mutex<Recent<Live>>,
    metrics: Metrics,
    limits: Limits,
    lifecycle: Lifecycle,
    admissions: Semaphore,
    relays: TaskTracker,
}

/// What this process knows of a job beyond what the store does.
#[derive(Debug, Clone)]
struct Live {
    feed: JobFeed,
    cancel: CancellationToken,
}

impl Dispatcher {
    /// A dispatcher whose tasks belong to `lifecycle`.
    #[must_use]
    pub fn new(
        balancer: Balancer,
        store: Arc<dyn JobStore>,
        metrics: Metrics,
        limits: Limits,
        lifecycle: Lifecycle,
    ) -> Self {
        Self(Arc::new(Shared {
            balancer,
            store,
            live: Mutex::new(Recent::new(FINISHED_JOBS)),
            metrics,
            limits,
            lifecycle,
            admissions: Semaphore::new(limits.admissions),
            relays: TaskTracker::new(),
        }))
    }

    /// Finds a worker that admits the job, writes the job down and lets it run. Dropped midway, nothing runs.
    ///
    /// # Errors
    /// When no worker takes it, when a worker says that none could, or when it cannot be written down.
    pub async fn submit(&self, spec: JobSpec) -> Result<JobId, SubmitError> {
        let (id, spec) = (JobId::random(), Arc::new(spec));
        let admitted = self.0.admit(id, &spec).await.inspect_err(|_| self.0.metrics.job_rejected())?;
        let job = Job::new(id, spec, Timestamp::now());
        self.0.store.create(&job).await?;
        tracing::info!(job.id = %id, job.preset = job.spec.preset.name, worker.address = %admitted.worker, "job accepted");
        let live = Live { feed: JobFeed::new(), cancel: CancellationToken::new() };
        live.feed.milestone(Published::new(&job, job.created_at));
        self.0.live().insert(id, live.clone());
        let relay = relay::Relay::new(Arc::clone(&self.0), admitted.task, job, live);
        self.0.lifecycle.spawn("relay", self.0.relays.track_future(relay.run()));
        Ok(id)
    }

    /// The job as it stands; `None` when there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn job(&self, id: JobId) -> Result<Option<Job>, store::Error> {
        let stored = self.0.store.get(id).await?;
        // Percentages reach the feed at once and the store only with the next status.
        let latest = self.0.live().get(id).and_then(|live| live.feed.latest());
        Ok(stored.map(|stored| match latest {
            Some(latest) if latest.job.state.status() == stored.state.status() => latest.job.clone(),
            Some(_) | None => stored,
        }))
    }

    /// A listener who starts with the job's first event; `None` when there is no such job.
    #[must_use]
    pub fn subscribe(&self, id: JobId) -> Option<Subscription<Arc<Published>>> {
        self.0.live().get(id).map(|live| live.feed.subscribe())
    }

    /// Asks for a job to be stopped. Asking twice changes nothing.
    ///
    /// # Errors
    /// When the job is unknown or has ended.
    pub async fn cancel(&self, id: JobId) -> Result<(), CancelError> {
        let job = self.0.store.get(id).await?.ok_or(CancelError::Unknown)?;
        if job.state.status().is_terminal() {
            return Err(CancelError::Finished);
        }
        let live = self.0.live().get(id).cloned().ok_or(CancelError::Unknown)?;
        live.cancel.cancel();
        Ok(())
    }

    /// The workers.
    #[must_use]
    pub fn balancer(&self) -> &Balancer {
        &self.0.balancer
    }

    /// Waits for every running job to end. New ones must have been ruled out.
    pub async fn drained(&self) {
        self.0.relays.close();
        self.0.relays.wait().await;
    }
}

impl Shared {
    fn live(&self) -> MutexGuard<'_, Recent<Live>> {
        // No code that can panic runs under this lock.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of a job whose worker is gone.
fn lost(state: State, reason: &str, now: Timestamp) -> Result<State, crate::job::InvalidTransition> {
    state.fail(format!("encoding failed: worker lost: {reason}"), now)
}
