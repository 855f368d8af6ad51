//! How busy a worker is, and what it promises about its tasks.

use std::time::Duration;

use proto::v1;
use service::LONGEST_LEASE;

use crate::{
    job::{JobId, attempt::Lease},
    text,
};

/// How busy a worker is, and what it promises about its tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerStatus {
    /// The name it gives itself.
    pub worker_id: String,
    /// Its version.
    pub version: String,
    /// How many jobs it runs.
    pub current_jobs: u32,
    /// How many it would run.
    pub max_concurrent_jobs: u32,
    /// The jobs it runs.
    pub active_job_ids: Vec<String>,
    /// What it promises about its tasks; `None` where they end with their stream.
    pub lease: Option<Lease>,
    /// Its clock, in milliseconds from anywhere.
    pub clock: u64,
    /// It knows how to plan jobs, and the tasks of split ones.
    pub splits: bool,
}

impl WorkerStatus {
    /// True while it would take another job.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.current_jobs < self.max_concurrent_jobs
    }

    /// True while it runs the job.
    #[must_use]
    pub fn runs(&self, id: JobId) -> bool {
        let id = id.to_string();
        self.active_job_ids.contains(&id)
    }
}

impl From<v1::WorkerStatus> for WorkerStatus {
    fn from(status: v1::WorkerStatus) -> Self {
        Self {
            lease: lease(&status),
            clock: status.clock_ms,
            splits: status.splits,
            worker_id: text::clean(&status.worker_id),
            version: text::clean(&status.version),
            current_jobs: u32::try_from(status.current_jobs).unwrap_or(0),
            max_concurrent_jobs: u32::try_from(status.max_concurrent_jobs).unwrap_or(0),
            active_job_ids: status.active_job_ids.iter().map(|id| text::clean(id)).collect(),
        }
    }
}

fn lease(status: &v1::WorkerStatus) -> Option<Lease> {
    if status.instance_id.is_empty() || status.lease_ms == 0 {
        return None;
    }
    let lasts = Duration::from_millis(status.lease_ms).min(LONGEST_LEASE);
    let fence = Duration::from_millis(status.fence_ms).clamp(lasts, LONGEST_LEASE * 2);
    Some(Lease { instance: text::clean(&status.instance_id), place: text::clean(&status.place_id), lasts, fence })
}
