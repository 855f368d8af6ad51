//! One try at a job on one worker. Its number is the fencing token: a worker, a report or a write that names an older
//! number is refused.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many attempts may be nobody's fault: each may be the work of a passing restart, but not all of them.
pub const EXCUSED: usize = 50;

/// One try at a job on one worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1; never used twice for a job.
    pub number: u32,
    /// Which process runs it.
    pub worker: Worker,
    /// When the worker was asked.
    pub started_at: Timestamp,
    /// How it ended; `None` while it may still run.
    pub ended: Option<Ended>,
}

/// The process that runs an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Where it listens, as `WORKER_NODES` has it. Behind a balancer, several processes share one.
    pub address: String,
    /// The lease it gave; `None` where its tasks end with their stream.
    pub lease: Option<Lease>,
}

impl Worker {
    /// Whether the other is the same process. Where processes have no names, the one at the same address is.
    #[must_use]
    pub fn is_process(&self, other: &Self) -> bool {
        let instances = [self, other].map(|worker| worker.lease.as_ref().map(|lease| &lease.instance));
        self.address == other.address && instances[0] == instances[1]
    }
}

/// What a worker said about itself and its leases when it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Name of the process, new at each start.
    pub instance: String,
    /// Name of the place where it listens: another process there is its successor, and it is dead.
    pub place: String,
    /// How long a renewal lasts.
    pub lasts: Duration,
    /// How long after the last renewal the attempt may at most still publish.
    pub fence: Duration,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// When it was known to have ended.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// What failed and why, if something did.
    pub error: Option<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The worker published.
    Completed,
    /// The worker has found out how the job is to be split.
    Planned,
    /// The worker gave up, and the machine, its disk or its storage is to blame.
    Failed,
    /// The worker gave up, and the input or the request is to blame.
    Refused,
    /// The worker stopped because a client asked for it.
    Cancelled,
    /// The worker is gone, and cannot publish any more.
    Lost,
    /// The worker was asked to stop, or was left alone for too long: nobody's fault.
    HandedBack,
}

impl Outcome {
    /// As clients see it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Planned => "planned",
            Self::Failed | Self::Refused => "failed",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::HandedBack => "handed_back",
        }
    }

    /// True where it counts towards `JOB_MAX_ATTEMPTS`.
    #[must_use]
    pub fn counts(self) -> bool {
        match self {
            Self::Failed | Self::Lost => true,
            Self::Completed | Self::Planned | Self::Refused | Self::Cancelled | Self::HandedBack => false,
        }
    }
}
