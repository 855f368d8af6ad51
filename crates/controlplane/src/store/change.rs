//! Conditional changes.

use jiff::Timestamp;

use super::{PlaneId, StoredEvent, outbox::NewCallback};
use crate::job::{Job, JobId, Status};

/// A job to write down.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The job, in status QUEUED.
    pub job: Job,
    /// Its first event.
    pub event: StoredEvent,
    /// Whether it waits, or is being offered to a worker.
    pub fate: Fate,
    /// The client's name for the request.
    pub idempotency_key: Option<String>,
    /// How many jobs may wait, this one among them. Several control planes on one store may exceed it by what they
    /// write at the same time.
    pub queue_limit: Option<u64>,
}

/// What became of a job to write down.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// It is written down.
    New,
    /// The same request was written down before, as this job. Boxed for its size.
    Before(Box<super::Record>),
}

/// What a writer expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The job's status.
    pub status: Status,
    /// The number of its last attempt, 0 before the first.
    pub attempt: u32,
    /// Who drives it.
    pub owner: Option<PlaneId>,
}

impl Expected {
    /// True where that is a job that waits: queued, and nobody drives it.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.status == Status::Queued && self.owner.is_none()
    }
}

/// Who is to see to a job from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It waits for a slot, from that time on, and belongs to nobody.
    Waiting {
        /// When it may start.
        due: Timestamp,
    },
    /// A control plane drives it: its last attempt runs, or is about to.
    Driven {
        /// Which.
        by: PlaneId,
        /// No client was told of it yet.
        provisional: bool,
    },
    /// A control plane conducts it: its tasks run, or wait to.
    Conducted {
        /// Which.
        by: PlaneId,
    },
    /// It has ended.
    Ended,
}

/// A step of a job.
#[derive(Debug, Clone)]
pub struct Transition {
    /// The job as it is to be.
    pub job: Job,
    /// What must be there.
    pub expected: Expected,
    /// Who is to see to it.
    pub fate: Fate,
    /// What listeners are told, if anything.
    pub event: Option<StoredEvent>,
    /// Who else is told.
    pub callback: Option<NewCallback>,
    /// Tasks to write down with it, in the order of their turns. They wait, and take turns with other jobs. What is
    /// there already stays as it is.
    pub tasks: Vec<Job>,
    /// What proves the output whole, as JSON: that of the job, or for a task that of its parent.
    pub certificate: Option<String>,
}

impl Transition {
    /// A step that nobody is told of.
    #[must_use]
    pub fn new(job: Job, expected: Expected, fate: Fate) -> Self {
        Self { job, expected, fate, event: None, callback: None, tasks: Vec::new(), certificate: None }
    }

    /// The job that its certificate is kept for.
    pub(super) fn certified(&self) -> JobId {
        self.job.parent().unwrap_or(self.job.id)
    }
}

/// How far a running job is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Which job.
    pub id: JobId,
    /// It is a task: whoever conducts its job is told.
    pub is_task: bool,
    /// Its attempt.
    pub attempt: u32,
    /// Who drives it.
    pub owner: PlaneId,
    /// 0 to 100.
    pub percent: f32,
    /// What listeners are told, under the number of the last status.
    pub event: StoredEvent,
    /// Its number after that.
    pub update: u32,
}
