//! Takes a job from request to outcome. Every step is in the store before anybody is told of it.
//!
//! - `submit`: the way of a new job into the store
//! - `scheduler`: starts the jobs that wait
//! - `choice`: which workers a job is offered to, in which order
//! - `place`: writes an attempt down and offers it to workers
//! - `drive`, `link`, `keeper`, `fence`: one attempt, from its submission to its certain end
//! - `policy`: what follows from that end
//! - `conduct`: a split job, from its plan to its end
//! - `write`: writes steps down, and waits out a store that is away
//! - `adopt`: takes over what another process drove
//! - `cancel`, `follow`: what clients ask for
//! - `live`: what this process holds in memory
//! - `ownership`: its lease on the jobs that it drives
//! - `upkeep`: what is to be done from time to time

mod adopt;
mod cancel;
mod choice;
mod conduct;
mod drive;
mod fence;
mod follow;
mod keeper;
mod link;
mod live;
mod ownership;
mod place;
mod policy;
mod scheduler;
mod submit;
mod upkeep;
mod write;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use service::lifecycle::Lifecycle;
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

pub use self::{cancel::CancelError, submit::SubmitError};
use self::{
    drive::{Drive, Link},
    live::Live,
    ownership::Ownership,
    submit::Request,
};
use crate::{
    balancer::Balancer,
    event::JobFeed,
    job::{Job, JobId, JobSpec, TaskKind, spec::Split},
    limits::Limits,
    metrics::Metrics,
    store::{self, Filter, JobStore, Page, Progress, Record},
};

/// What the operator has set.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How many jobs may wait for a worker. 0: a job is accepted only when a worker takes it at once.
    pub max_queued: u64,
    /// How many attempts at a job may fail.
    pub max_attempts: u32,
    /// How long finished jobs are kept.
    pub retention: Duration,
    /// Other control planes may use the same store.
    pub shared_store: bool,
    /// The store outlives the process, so that another one can go on with its jobs.
    pub durable_store: bool,
    /// How long a chunk of a split job is, in seconds of video.
    pub chunk_seconds: f64,
    /// Whether jobs that do not say are split.
    pub split: Split,
}

/// Takes jobs from request to outcome. Clones share one state.
#[derive(Debug, Clone)]
pub struct Dispatcher(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    balancer: Balancer,
    store: Arc<dyn JobStore>,
    metrics: Metrics,
    limits: Limits,
    rules: Rules,
    lifecycle: Lifecycle,
    ownership: Ownership,
    live: Live,
    /// Wakes the scheduler: a slot may be free.
    room: Notify,
    admissions: Arc<Semaphore>,
    /// Jobs that are being offered to workers and that no client was told of.
    offered: Mutex<HashSet<JobId>>,
    /// Progress that the store does not have yet.
    unsaved: Mutex<HashMap<JobId, Progress>>,
    /// Jobs that are watched and whose events could not be read.
    stale: Mutex<HashSet<JobId>>,
    drives: TaskTracker,
}

impl Dispatcher {
    /// A dispatcher whose tasks belong to `lifecycle`. It does nothing by itself before [`Dispatcher::start`].
    #[must_use]
    pub fn new(
        balancer: Balancer,
        store: Arc<dyn JobStore>,
        metrics: Metrics,
        limits: Limits,
        rules: Rules,
        lifecycle: Lifecycle,
    ) -> Self {
        Self(Arc::new(Shared {
            balancer,
            store,
            metrics,
            limits,
            rules,
            lifecycle,
            ownership: Ownership::new(rules.shared_store),
            live: Live::default(),
            room: Notify::new(),
            admissions: Arc::new(Semaphore::new(limits.admissions)),
            offered: Mutex::default(),
            unsaved: Mutex::default(),
            stale: Mutex::default(),
            drives: TaskTracker::new(),
        }))
    }

    /// Takes over what dead processes left behind, and starts what runs beside the requests.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn start(&self) -> Result<(), store::Error> {
        let changes = self.0.store.changes();
        if let Err(lease) = self.0.ownership.renew(self.0.store.as_ref()).await? {
            self.0.ownership.hold(lease);
        }
        adopt::adopt(&self.0).await?;
        let lifecycle = &self.0.lifecycle;
        lifecycle.spawn("lease", adopt::renew(Arc::clone(&self.0)));
        lifecycle.spawn("follower", follow::run(Arc::clone(&self.0), changes));
        lifecycle.spawn("scheduler", scheduler::run(Arc::clone(&self.0)));
        lifecycle.spawn("adoption", adopt::run(Arc::clone(&self.0)));
        lifecycle.spawn("upkeep", upkeep::run(Arc::clone(&self.0)));
        Ok(())
    }

    /// Takes a job in. It is durable when this ends well.
    ///
    /// # Errors
    /// When there is no room for it, when a worker says that none could run it, or when it cannot be written down.
    pub async fn submit(&self, spec: JobSpec, key: Option<String>) -> Result<JobId, SubmitError> {
        let request = Request { spec: Arc::new(spec), key };
        Arc::clone(&self.0).take_in(request).await.inspect_err(|error| {
            if error.is_rejection() {
                self.0.metrics.job_rejected();
            }
        })
    }

    /// The job as it stands; `None` when there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn job(&self, id: JobId) -> Result<Option<Record>, store::Error> {
        // Clients do not see tasks.
        let record = self.0.store.get(id).await?.filter(|record| record.job.parent().is_none());
        Ok(record.map(|record| self.0.newest(record)))
    }

    /// The tasks of a split job, in the order of their work; none of a job that is not split.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tasks(&self, parent: &Job) -> Result<Vec<Job>, store::Error> {
        if parent.plan.is_none() {
            return Ok(Vec::new());
        }
        let records = self.0.store.family(parent.id).await?;
        let mut tasks: Vec<_> = records.into_iter().map(|record| self.0.newest(record).job).collect();
        tasks.sort_by_cached_key(|task| {
            let kind = task.spec.task.as_ref().map(|task| &task.kind);
            (kind.map(TaskKind::rank), kind.and_then(TaskKind::index), task.created_at)
        });
        Ok(tasks)
    }

    /// What proves the output of a job whole, as JSON; `None` where its worker did not say.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn certificate(&self, id: JobId) -> Result<Option<String>, store::Error> {
        self.0.store.certificate(id).await
    }

    /// Some jobs, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, filter: Filter) -> Result<Page, store::Error> {
        let mut page = self.0.store.list(filter).await?;
        page.records = page.records.into_iter().map(|record| self.0.newest(record)).collect();
        Ok(page)
    }

    /// Tries whether the store takes writes.
    ///
    /// # Errors
    /// Why not.
    pub async fn store_health(&self) -> Result<(), store::Error> {
        self.0.store.check().await
    }

    /// The workers.
    #[must_use]
    pub fn balancer(&self) -> &Balancer {
        &self.0.balancer
    }

    /// Waits for the attempts that would end with this process: those on workers without leases. New jobs must have
    /// been ruled out.
    pub async fn drained(&self) {
        self.0.drives.close();
        self.0.drives.wait().await;
    }

    /// Gives up what this process drives, for others to take over at once.
    pub async fn resign(&self) {
        if let Err(error) = self.0.store.resign(self.0.ownership.plane).await {
            tracing::warn!(%error, "jobs are not handed over now, but when this process's lease has lapsed");
        }
    }
}

impl Shared {
    /// Percentages reach listeners at once and the store a little later.
    fn newest(&self, mut record: Record) -> Record {
        if let Some(latest) = self.live.latest(record.job.id)
            && (latest.milestones, latest.attempt()) == (record.job.milestones, record.job.attempt())
        {
            record.job = latest;
        }
        record
    }

    fn spawn(&self, drive: Drive, link: Link) {
        self.lifecycle.spawn("drive", self.drives.track_future(drive.run(link)));
    }

    /// Tells listeners that a job has ended, and forgets it.
    fn ended(&self, job: &Job, feed: &JobFeed) {
        self.metrics.job_ended(job);
        feed.close();
        self.live.forget(job.id);
    }

    fn offered(&self) -> MutexGuard<'_, HashSet<JobId>> {
        // No code that can panic runs under this lock.
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stale(&self) -> MutexGuard<'_, HashSet<JobId>> {
        // No code that can panic runs under this lock.
        self.stale.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unsaved(&self) -> MutexGuard<'_, HashMap<JobId, Progress>> {
        // No code that can panic runs under this lock.
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
