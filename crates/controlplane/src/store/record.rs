//! What is written down of a job beside the job itself.

use std::fmt;

use uuid::Uuid;

use crate::job::Job;

/// Name of one control plane process, new at each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlaneId(pub Uuid);

impl PlaneId {
    /// A new name.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for PlaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A job as it is written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The job; its progress is at least what was saved last.
    pub job: Job,
    /// A client wants it stopped.
    pub cancel_requested: bool,
    /// Who drives it; `None` while it waits, and once it has ended.
    pub owner: Option<PlaneId>,
    /// No client was told of it yet: a worker is still being looked for.
    pub provisional: bool,
}

/// An event of a job, for listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number among the job's status changes, from 1.
    pub number: u32,
    /// The event as listeners get it, in one line.
    pub json: String,
}
