//! Callbacks that are to be sent. They outlive their job.

use jiff::Timestamp;
use uuid::Uuid;

use crate::job::JobId;

/// Name of a callback: the same for each try at sending it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallbackId(pub Uuid);

/// A callback to write down, due at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCallback {
    /// Its name.
    pub id: CallbackId,
    /// Where it goes.
    pub url: String,
    /// What it says, as JSON.
    pub payload: String,
}

/// A callback that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// Its name.
    pub id: CallbackId,
    /// The job that it tells of.
    pub job: JobId,
    /// Where it goes.
    pub url: String,
    /// What it says, as JSON.
    pub payload: String,
    /// When the job ended.
    pub created_at: Timestamp,
    /// How many tries have failed.
    pub failures: u32,
}

/// How a delivery went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// It arrived, or never will: it is removed.
    Done,
    /// It failed, and is due again then.
    Retry(Timestamp),
}
