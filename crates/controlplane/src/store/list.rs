//! Pages of jobs.

use jiff::Timestamp;

use super::Record;
use crate::job::{JobId, Status};

/// Which jobs.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Only those with this status.
    pub status: Option<Status>,
    /// Only those with this preset.
    pub preset: Option<String>,
    /// Only those accepted after this.
    pub created_after: Option<Timestamp>,
    /// Only those that follow this one.
    pub after: Option<Cursor>,
    /// At most so many, at least one.
    pub limit: u32,
}

/// A place in the list: jobs that arrive later do not move it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// When the job before it was accepted, to the microsecond.
    pub created_at: Timestamp,
    /// The job before it.
    pub id: JobId,
}

/// Some jobs.
#[derive(Debug, Clone)]
pub struct Page {
    /// Newest first. Without those that no client was told of.
    pub records: Vec<Record>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}
