//! Which jobs run, how many may, whether new ones are taken, and which results nobody has collected. Admission is one step
//! under one lock, so a worker can neither run one job too many nor take one while it decides to exit.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use proto::v1::JobProgress;
use service::feed::Feed;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::lease::Lease;

pub(crate) use self::{
    control::{Control, Reason},
    slot::{Kept, Slot},
};

mod control;
mod slot;
#[cfg(test)]
mod tests;

/// How many results wait for their collection at most. While so many do, no job is taken.
const MAX_KEPT: usize = 1024;

/// Why a job is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Every slot is taken.
    #[error("every slot is taken")]
    Full,
    /// The worker is stopping.
    #[error("the worker is stopping")]
    Stopping,
    /// This attempt, or a later one, is here.
    #[error("a job with this id is running")]
    Duplicate,
    /// The caller has given up meanwhile.
    #[error("the lease was over before the task began")]
    Late,
}

/// The jobs of this worker. Clones share one registry.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max: usize,
    jobs: Mutex<Jobs>,
    load: watch::Sender<Load>,
}

#[derive(Debug, Default)]
struct Jobs {
    entries: BTreeMap<String, Entry>,
    stopping: bool,
}

/// A job that runs, or has ended and is kept.
#[derive(Debug)]
struct Entry {
    ticket: Ticket,
    control: Control,
    /// True when it has ended.
    kept: bool,
}

/// What is known of a job by whoever asks for it.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    /// Which try at the job; 0 without a lease.
    pub(crate) attempt: u32,
    /// `None` where the task belongs to its stream.
    pub(crate) lease: Option<Lease>,
    /// Its events, from the first.
    pub(crate) feed: Feed<JobProgress>,
}

/// How busy the worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Load {
    /// Jobs that run.
    pub(crate) running: usize,
    /// Results that wait for their collection.
    kept: usize,
    ended: u64,
    stopping: bool,
}

impl Load {
    /// True when nothing runs, nothing is kept and nothing more will come.
    pub(crate) fn is_last(self) -> bool {
        self.stopping && self.is_idle()
    }

    fn is_idle(self) -> bool {
        self.running == 0 && self.kept == 0
    }
}

impl Registry {
    /// A registry for `max` jobs at once.
    pub(crate) fn new(max: u32) -> Self {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let load = watch::Sender::new(Load::default());
        Self { shared: Arc::new(Shared { max, jobs: Mutex::default(), load }) }
    }

    /// Takes a job, or says why not. `stop` ends the job when the whole worker must end.
    pub(crate) fn admit(&self, job_id: &str, ticket: Ticket, stop: CancellationToken) -> Result<Slot, Refusal> {
        let mut jobs = self.jobs();
        if jobs.stopping {
            return Err(Refusal::Stopping);
        }
        // A later attempt says that the result of this one is written down.
        if jobs.entries.get(job_id).is_some_and(|there| !there.kept || there.ticket.attempt >= ticket.attempt) {
            return Err(Refusal::Duplicate);
        }
        let Load { running, kept, .. } = jobs.count();
        if running >= self.shared.max || kept >= MAX_KEPT {
            return Err(Refusal::Full);
        }
        let control = Control::new(stop, ticket.lease.clone());
        let slot = Slot::new(self.clone(), job_id.to_owned(), ticket.attempt, control.clone());
        let replaced = jobs.entries.insert(job_id.to_owned(), Entry { ticket, control, kept: false });
        if let Some(replaced) = replaced {
            replaced.control.release();
        }
        self.tell(&jobs, 0);
        Ok(slot)
    }

    /// Stops a job; false when it is not running here.
    pub(crate) fn cancel(&self, job_id: &str) -> bool {
        let jobs = self.jobs();
        let running = jobs.entries.get(job_id).filter(|entry| !entry.kept).map(|entry| entry.control.clone());
        drop(jobs);
        running.inspect(Control::cancel).is_some()
    }

    /// An attempt that runs here, or has ended here and is not forgotten.
    pub(crate) fn find(&self, job_id: &str, attempt: u32) -> Option<Ticket> {
        let jobs = self.jobs();
        let entry = jobs.entries.get(job_id).filter(|entry| entry.ticket.attempt == attempt && attempt > 0);
        entry.map(|entry| entry.ticket.clone())
    }

    /// Forgets the result of an attempt. One that runs is left alone.
    pub(crate) fn release(&self, job_id: &str, attempt: u32) {
        let mut jobs = self.jobs();
        if let Some(entry) = jobs.entries.get(job_id).filter(|entry| entry.kept && entry.ticket.attempt == attempt) {
            entry.control.release();
            jobs.entries.remove(job_id);
            self.tell(&jobs, 0);
        }
    }

    /// Ids of the running jobs.
    pub(crate) fn running(&self) -> Vec<String> {
        let jobs = self.jobs();
        jobs.entries.iter().filter(|(_, entry)| !entry.kept).map(|(job_id, _)| job_id.clone()).collect()
    }

    /// How many jobs may run at once. A worker that takes no more has no room beyond what runs.
    pub(crate) fn max(&self) -> usize {
        let load = *self.shared.load.borrow();
        if load.stopping { load.running } else { self.shared.max }
    }

    /// How busy the worker is, now and from now on.
    pub(crate) fn load(&self) -> watch::Receiver<Load> {
        self.shared.load.subscribe()
    }

    /// Takes no more jobs.
    pub(crate) fn close(&self) {
        let mut jobs = self.jobs();
        jobs.stopping = true;
        self.tell(&jobs, 0);
    }

    /// Waits until no job runs and no result is kept.
    pub(crate) async fn drained(&self) {
        // The sender lives in `self`, so the channel cannot close.
        let _ = self.shared.load.subscribe().wait_for(|load| load.is_idle()).await;
    }

    /// Waits until at least one job has ended and then, for `pause`, none has run and no result was kept; from then on
    /// no job is taken.
    pub(crate) async fn idle(&self, pause: Duration) {
        let mut load = self.shared.load.subscribe();
        loop {
            let Ok(idle) = load.wait_for(|load| load.is_idle() && load.ended > 0).await.map(|load| *load) else {
                return std::future::pending().await;
            };
            let disturbed = tokio::time::timeout(pause, load.wait_for(|load| *load != idle)).await;
            if disturbed.is_err() && self.close_if_still(idle) {
                return;
            }
        }
    }

    /// Waits until no job has come for `limit`; from then on none is taken. Never ends once one has come.
    pub(crate) async fn unused(&self, limit: Duration) {
        let mut load = self.shared.load.subscribe();
        let came = load.wait_for(|load| *load != Load::default());
        if tokio::time::timeout(limit, came).await.is_ok() || !self.close_if_still(Load::default()) {
            std::future::pending::<()>().await;
        }
    }

    fn close_if_still(&self, idle: Load) -> bool {
        let mut jobs = self.jobs();
        // Admission changes the load under this lock.
        jobs.stopping = jobs.stopping || *self.shared.load.borrow() == idle;
        self.tell(&jobs, 0);
        jobs.stopping
    }

    /// Tells the load, after `ended` more jobs have ended.
    fn tell(&self, jobs: &Jobs, ended: u64) {
        self.shared.load.send_if_modified(|load| {
            let now = Load { ended: load.ended + ended, ..jobs.count() };
            std::mem::replace(load, now) != now
        });
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        // No code that can panic runs under this lock.
        self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Jobs {
    /// The load as these jobs make it, but for the count of those that have ended.
    fn count(&self) -> Load {
        let kept = self.entries.values().filter(|entry| entry.kept).count();
        Load { running: self.entries.len() - kept, kept, ended: 0, stopping: self.stopping }
    }
}
