//! A store of each kind, and jobs for it.

use std::{path::Path, sync::Arc};

use controlplane::{
    job::{
        Attempt, Job, JobId, JobSpec,
        attempt::{Ended, Outcome, Worker},
        spec::JobRequest,
    },
    store::{
        Created, Database, Error, Expected, Fate, JobStore, NewJob, OpenError, PlaneId, Record, StoreConfig,
        StoredEvent, Transition, open,
    },
};
use e2e::Postgres;
use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;

/// The kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Memory,
    File,
    Postgres,
}

/// A store and where it is.
pub(super) struct World {
    pub(super) store: Arc<dyn JobStore>,
    config: StoreConfig,
    url: String,
    /// Dropped last.
    pub(super) folder: TempDir,
}

impl World {
    pub(super) async fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = match kind {
            Kind::Memory => "memory:".to_owned(),
            Kind::File => "sqlite://flux.db".to_owned(),
            Kind::Postgres => Postgres::shared().await.database(),
        };
        let config = config(&url, folder.path());
        let store = open(&config).await.expect("a good store");
        Self { store, config, url, folder }
    }

    /// Another control plane's view of the same store.
    pub(super) async fn again(&self) -> Result<Arc<dyn JobStore>, OpenError> {
        open(&self.config).await
    }

    /// Changes what is written down behind the store's back; not in memory.
    pub(super) async fn execute(&self, sql: &str) {
        match self.url.rsplit_once('/') {
            Some((server, database)) if server.starts_with("postgres") => {
                let _ = Postgres::shared().await.ask(database, sql);
            }
            _ => {
                let file = rusqlite::Connection::open(self.folder.path().join("flux.db")).expect("it is there");
                file.execute_batch(sql).expect("a good statement");
            }
        }
    }

    /// Ends the store and opens it anew.
    pub(super) async fn reopen(&mut self) {
        self.store.close().await;
        self.store = self.again().await.expect("a store that was good");
    }
}

pub(super) fn config(url: &str, folder: &Path) -> StoreConfig {
    StoreConfig { database: Database::parse(url, folder).expect("a good URL") }
}

/// So many seconds after the beginning.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a small number")
}

pub(super) fn spec(path: &str, priority: u8) -> Arc<JobSpec> {
    let request = json!({
        "input_url": "https://example.com/video.mp4",
        "preset": "720p_h264",
        "output": {"storage": "s3", "path": path, "metadata": {"title": "x"}},
        "priority": priority,
    });
    let request: JobRequest = serde_json::from_value(request).expect("the right JSON types");
    Arc::new(request.check().expect("a good request"))
}

pub(super) fn job() -> Job {
    job_at(50, 0)
}

pub(super) fn job_at(priority: u8, seconds: i64) -> Job {
    Job::new(JobId::random(), spec("out.mp4", priority), at(seconds))
}

pub(super) fn event(number: u32) -> StoredEvent {
    StoredEvent { number, json: format!("{{\"number\":{number}}}") }
}

pub(super) const WAITS: Fate = Fate::Waiting { due: Timestamp::UNIX_EPOCH };

pub(super) fn driven(by: PlaneId) -> Fate {
    Fate::Driven { by, provisional: false }
}

pub(super) fn new(job: &Job, fate: Fate) -> NewJob {
    NewJob { job: job.clone(), event: event(1), fate, idempotency_key: None, queue_limit: None }
}

pub(super) fn keyed(job: &Job, key: &str) -> NewJob {
    NewJob { idempotency_key: Some(key.to_owned()), ..new(job, WAITS) }
}

pub(super) fn limited(job: &Job, limit: u64) -> NewJob {
    NewJob { queue_limit: Some(limit), ..new(job, WAITS) }
}

/// Writes a job down that waits.
pub(super) async fn queue(store: &dyn JobStore, job: &Job) {
    assert_eq!(store.create(new(job, WAITS)).await, Ok(Created::New));
}

pub(super) async fn get(store: &dyn JobStore, id: JobId) -> Record {
    store.get(id).await.expect("the store answers").expect("there is such a job")
}

pub(super) async fn claim(store: &dyn JobStore, plane: PlaneId) -> Record {
    store.claim(plane, at(1000), true).await.expect("the store answers").expect("a job waits")
}

/// The step from a job as it was read to what it is to be.
pub(super) fn step(record: &Record, job: &Job, fate: Fate) -> Transition {
    let Record { job: before, owner, .. } = record;
    let expected = Expected { status: before.state.status(), attempt: before.attempt(), owner: *owner };
    Transition::new(job.clone(), expected, fate)
}

/// The job with a new attempt.
pub(super) fn attempted(mut job: Job) -> Job {
    let worker = Worker { address: "worker-1:50051".to_owned(), lease: None };
    job.attempts.push(Attempt { number: job.attempt() + 1, worker, started_at: at(2), ended: None });
    job
}

/// The job after a failed attempt, queued for the next.
pub(super) fn requeued(mut job: Job) -> Job {
    let last = job.attempts.last_mut().expect("an attempt");
    last.ended = Some(Ended { at: at(3), outcome: Outcome::Lost, error: Some("gone".to_owned()) });
    job.state = job.state.requeue().expect("a job that has not ended");
    job
}

/// The job after it has been cancelled.
pub(super) fn cancelled(mut job: Job, seconds: i64) -> Job {
    job.state = job.state.cancel(at(seconds)).expect("a job that has not ended");
    job
}

/// Writes a job down and gives it an attempt that runs.
pub(super) async fn started(store: &dyn JobStore, job: &Job, plane: PlaneId) -> Record {
    let job = attempted(job.clone());
    assert_eq!(store.create(new(&job, driven(plane))).await, Ok(Created::New));
    get(store, job.id).await
}

/// Takes a step that must be taken.
pub(super) async fn go(store: &dyn JobStore, transition: Transition) {
    let id = transition.job.id;
    let done: Result<(), Error> = store.transition(transition).await;
    assert_eq!(done, Ok(()), "job {id}");
}
