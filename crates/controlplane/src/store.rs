//! Where jobs are written down. The store decides; what is elsewhere in memory is a cache of it.
//!
//! - [`memory`]: a store that forgets everything with the process

pub mod memory;

use futures_util::future::BoxFuture;

use crate::job::{Job, JobId, Status};

/// A place for jobs.
pub trait JobStore: Send + Sync {
    /// Writes a new job down. Only then may a client be told of it.
    ///
    /// # Errors
    /// [`Error::Exists`] when the id is taken.
    fn create<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<(), Error>>;

    /// Reads a job; `None` when there is none, or none any more.
    fn get(&self, id: JobId) -> BoxFuture<'_, Result<Option<Job>, Error>>;

    /// Writes a job's new state down, if its status still is `expected`.
    ///
    /// # Errors
    /// [`Error::Conflict`] when somebody else has moved the job on; it is then as they left it.
    fn update<'a>(&'a self, job: &'a Job, expected: Status) -> BoxFuture<'a, Result<(), Error>>;
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is such a job already.
    #[error("job {0} exists already")]
    Exists(JobId),
    /// The job is gone or has another status.
    #[error("job {id} is not in status {} any more", expected.name())]
    Conflict {
        /// Which job.
        id: JobId,
        /// The status it had when the caller last looked.
        expected: Status,
    },
}
