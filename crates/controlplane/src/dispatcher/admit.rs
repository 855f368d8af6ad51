//! The way to an admitted job: a worker has taken it, and nothing else counts.

use tokio::sync::TryAcquireError;

use super::Shared;
use crate::{
    balancer::Address,
    job::{JobId, JobSpec},
    metrics::Attempt,
    store::memory as store,
    worker_client::{self, Task},
};

/// A job that a worker has taken.
pub(super) struct Admitted {
    pub(super) worker: Address,
    pub(super) task: Task,
}

/// Why a job was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Every worker is full, asleep for too long, or gone.
    #[error("no available workers")]
    NoWorker,
    /// Too many requests wait for a worker already.
    #[error("too many jobs are waiting for a worker")]
    Busy,
    /// This control plane is stopping.
    #[error("the service is stopping")]
    Stopping,
    /// A worker says that the request can run nowhere, and why.
    #[error("{0}")]
    Refused(String),
    /// The job could not be written down.
    #[error("cannot write the job down")]
    Store(#[from] store::Error),
}

impl Shared {
    /// Offers the job to one worker after the other.
    pub(super) async fn admit(&self, id: JobId, spec: &JobSpec) -> Result<Admitted, SubmitError> {
        let _permit = self.admissions.try_acquire().map_err(|error| match error {
            TryAcquireError::NoPermits => SubmitError::Busy,
            TryAcquireError::Closed => SubmitError::Stopping,
        })?;
        let _timer = self.metrics.selection();
        tokio::select! {
            biased;
            () = self.lifecycle.stopping() => Err(SubmitError::Stopping),
            admitted = self.place(id, spec) => admitted,
        }
    }

    async fn place(&self, id: JobId, spec: &JobSpec) -> Result<Admitted, SubmitError> {
        let mut candidates = self.balancer.candidates();
        let mut not_set_up = Vec::new();
        while let Some(candidate) = candidates.next().await {
            // Between its answer and this call, another request may have taken the worker's last slot.
            match candidate.connection.submit(id, spec, self.limits.admission).await {
                Ok(task) => return Ok(Admitted { worker: candidate.address, task }),
                Err(worker_client::Error::Refused(reason)) => {
                    self.metrics.attempt(Attempt::Rejected);
                    return Err(SubmitError::Refused(reason));
                }
                Err(error) => {
                    self.metrics.attempt(Attempt::Rejected);
                    if let worker_client::Error::NotSetUp(reason) = &error {
                        not_set_up.push(reason.clone());
                    }
                    tracing::info!(
                        job.id = %id, worker.address = %candidate.address, error = error.chain(),
                        "worker did not take the job"
                    );
                }
            }
        }
        // Waiting helps only while some worker did not say that.
        match not_set_up.pop() {
            Some(reason) if not_set_up.len() + 1 == self.balancer.len() => Err(SubmitError::Refused(reason)),
            Some(_) | None => Err(SubmitError::NoWorker),
        }
    }
}
