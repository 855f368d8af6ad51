//! What this process holds in memory of jobs: the feeds of those that somebody listens to, and the handles of those
//! that it drives. A cache: the store has everything that matters.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::{
    event::{self, JobFeed},
    job::{Job, JobId},
    store::{Progress, StoredEvent},
    worker_client::Vitals,
};

/// Jobs in memory.
#[derive(Debug, Default)]
pub(super) struct Live {
    entries: Mutex<HashMap<JobId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    feed: JobFeed,
    handle: Option<Handle>,
}

/// A job that this process drives, as the others see it.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    /// A client wants it stopped.
    pub(super) cancel: CancellationToken,
    /// Another process drives it now.
    pub(super) superseded: CancellationToken,
    /// The job as it was last heard of: the store has its progress a little later.
    latest: Arc<Mutex<Option<Job>>>,
}

impl Handle {
    fn new() -> Self {
        Self { cancel: CancellationToken::new(), superseded: CancellationToken::new(), latest: Arc::default() }
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.latest, &other.latest)
    }

    /// Notes how far the job is.
    pub(super) fn note(&self, job: &Job) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(job.clone());
    }
}

impl Shared {
    /// Tells listeners how far a driven job is, and the store a little later.
    pub(super) fn tell_progress(&self, job: &Job, vitals: Vitals, feed: &JobFeed, handle: &Handle) {
        handle.note(job);
        let json = event::json(job, vitals, Timestamp::now());
        let percent = job.state.progress();
        let update = feed.update_from(event::number_of(percent.into()), json.as_str().into());
        let event = StoredEvent { number: job.milestones, json };
        let (id, attempt, owner) = (job.id, job.attempt(), self.ownership.plane);
        let is_task = job.parent().is_some();
        self.unsaved().insert(id, Progress { id, is_task, attempt, owner, percent, event, update });
    }
}

impl Live {
    /// The job's feed, made if need be.
    pub(super) fn feed(&self, id: JobId) -> JobFeed {
        self.entries().entry(id).or_insert_with(Entry::new).feed.clone()
    }

    /// The feed of a job that this process holds but does not drive.
    pub(super) fn watched(&self, id: JobId) -> Option<JobFeed> {
        self.entries().get(&id).filter(|entry| entry.handle.is_none()).map(|entry| entry.feed.clone())
    }

    /// Every job that this process holds but does not drive.
    pub(super) fn all_watched(&self) -> Vec<JobId> {
        let entries = self.entries();
        entries.iter().filter(|(_, entry)| entry.handle.is_none()).map(|(id, _)| *id).collect()
    }

    /// Every job that this process drives.
    pub(super) fn all_driven(&self) -> Vec<(JobId, Handle)> {
        self.entries().iter().filter_map(|(id, entry)| Some((*id, entry.handle.clone()?))).collect()
    }

    /// Begins to drive a job.
    pub(super) fn drive(&self, id: JobId) -> (JobFeed, Handle) {
        let handle = Handle::new();
        let mut entries = self.entries();
        let entry = entries.entry(id).or_insert_with(Entry::new);
        entry.handle = Some(handle.clone());
        (entry.feed.clone(), handle)
    }

    /// Ends the driving of a job by whoever has `handle`. Listeners keep its feed.
    pub(super) fn leave(&self, id: JobId, handle: &Handle) {
        if let Some(entry) = self.entries().get_mut(&id) {
            // The next attempt may be driven already.
            entry.handle.take_if(|other| other.is(handle));
        }
    }

    /// The handle of a job that this process drives.
    pub(super) fn handle(&self, id: JobId) -> Option<Handle> {
        self.entries().get(&id)?.handle.clone()
    }

    /// The job as it was last heard of, if this process drives it.
    pub(super) fn latest(&self, id: JobId) -> Option<Job> {
        let handle = self.handle(id)?;
        let latest = handle.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.clone()
    }

    /// Forgets a job whose feed is closed.
    pub(super) fn forget(&self, id: JobId) {
        self.entries().remove(&id);
    }

    /// Forgets jobs that this process does not drive and that nobody listens to.
    pub(super) fn prune(&self) {
        self.entries().retain(|_, entry| entry.handle.is_some() || entry.feed.is_shared());
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<JobId, Entry>> {
        // No code that can panic runs under this lock.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn new() -> Self {
        Self { feed: JobFeed::new(), handle: None }
    }
}
