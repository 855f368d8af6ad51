//! A store that forgets everything with the process. Bounded: it keeps the last finished jobs.

use std::{
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::future::BoxFuture;

use crate::{
    job::{Job, JobId, Status},
    recent::{FINISHED_JOBS, Recent},
};

/// A place for jobs, as it was.
pub trait JobStore: Send + Sync {
    /// Writes a new job down.
    ///
    /// # Errors
    /// [`Error::Exists`] when the id is taken.
    fn create<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<(), Error>>;

    /// Reads a job.
    fn get(&self, id: JobId) -> BoxFuture<'_, Result<Option<Job>, Error>>;

    /// Writes a job's new state down.
    ///
    /// # Errors
    /// [`Error::Conflict`] when somebody else has moved the job on.
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
        /// The status it had.
        expected: Status,
    },
}

/// Jobs in memory.
#[derive(Debug)]
pub struct Memory {
    jobs: Mutex<Recent<Job>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { jobs: Mutex::new(Recent::new(FINISHED_JOBS)) }
    }
}

impl Memory {
    fn jobs(&self) -> MutexGuard<'_, Recent<Job>> {
        // No code that can panic runs under this lock.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create_now(&self, job: &Job) -> Result<(), Error> {
        let mut jobs = self.jobs();
        if jobs.get(job.id).is_some() {
            return Err(Error::Exists(job.id));
        }
        jobs.insert(job.id, job.clone());
        Ok(())
    }

    fn update_now(&self, job: &Job, expected: Status) -> Result<(), Error> {
        let mut jobs = self.jobs();
        match jobs.get_mut(job.id) {
            Some(stored) if stored.state.status() == expected => *stored = job.clone(),
            Some(_) | None => return Err(Error::Conflict { id: job.id, expected }),
        }
        if !expected.is_terminal() && job.state.status().is_terminal() {
            jobs.finish(job.id);
        }
        Ok(())
    }
}

impl JobStore for Memory {
    fn create<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(ready(self.create_now(job)))
    }

    fn get(&self, id: JobId) -> BoxFuture<'_, Result<Option<Job>, Error>> {
        Box::pin(ready(Ok(self.jobs().get(id).cloned())))
    }

    fn update<'a>(&'a self, job: &'a Job, expected: Status) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(ready(self.update_now(job, expected)))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::job::{Report, tests::job};

    #[tokio::test]
    async fn a_job_is_created_once() {
        let (store, job) = (Memory::default(), job());
        assert_eq!(store.create(&job).await, Ok(()));
        assert_eq!(store.create(&job).await, Err(Error::Exists(job.id)));
        assert!(store.get(job.id).await.expect("memory answers").is_some());
        assert!(store.get(JobId::random()).await.expect("memory answers").is_none());
    }

    #[tokio::test]
    async fn an_update_names_the_status_it_expects() {
        let (store, mut job) = (Memory::default(), job());
        let conflict = |expected| Err(Error::Conflict { id: job.id, expected });
        assert_eq!(store.update(&job, Status::Queued).await, conflict(Status::Queued), "not there yet");
        store.create(&job).await.expect("a new job");
        let gone = conflict(Status::Queued);
        job.apply(Report::Uploading, String::new(), Timestamp::UNIX_EPOCH).expect("a legal report");
        assert_eq!(store.update(&job, Status::Queued).await, Ok(()));
        assert_eq!(store.update(&job, Status::Queued).await, gone);
        let stored = store.get(job.id).await.expect("memory answers").expect("created above");
        assert_eq!(stored.state.status(), Status::Uploading);
    }
}
