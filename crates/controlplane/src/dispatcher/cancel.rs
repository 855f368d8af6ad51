//! Cancelling a job, in whatever state it is and whoever drives it.

use jiff::Timestamp;

use super::{Dispatcher, Shared, live::Handle, place::Unplaced, policy};
use crate::{
    job::{InvalidTransition, Job, JobId},
    store::{self, Expected, Fate, Record, Transition},
};

/// How often a job may change hands while it is being cancelled.
const TRIES: u32 = 5;

/// Why a job cannot be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// There is no such job.
    #[error("job not found")]
    Unknown,
    /// The job has ended.
    #[error("job is already finished")]
    Finished,
    /// The store failed.
    #[error("the cancellation cannot be written down")]
    Store(#[from] store::Error),
}

impl Dispatcher {
    /// Asks for a job to be stopped. Asking twice changes nothing.
    ///
    /// # Errors
    /// When the job is unknown or has ended, or when the wish cannot be written down.
    pub async fn cancel(&self, id: JobId) -> Result<(), CancelError> {
        if self.job(id).await?.is_none() {
            return Err(CancelError::Unknown);
        }
        let record = self.0.stop(id).await?.ok_or(CancelError::Unknown)?;
        if record.job.state.status().is_terminal() { Err(CancelError::Finished) } else { Ok(()) }
    }
}

impl Shared {
    /// Asks for a job or a task to be stopped. Answers it as it was when that was written down.
    pub(super) async fn stop(&self, id: JobId) -> Result<Option<Record>, store::Error> {
        let Some(record) = self.store.request_cancel(id).await? else { return Ok(None) };
        if !record.job.state.status().is_terminal() {
            if let Some(handle) = self.live.handle(id) {
                handle.cancel.cancel();
            }
            if record.owner.is_none() {
                self.cancel_waiting(id).await;
            }
        }
        Ok(Some(record))
    }

    /// Ends a job that is to be cancelled and that nobody drives. Somebody who takes it meanwhile sees the wish.
    pub(super) async fn cancel_waiting(&self, id: JobId) {
        for _ in 0..TRIES {
            match self.store.get(id).await {
                Ok(Some(record)) if record.owner.is_none() && !record.job.state.status().is_terminal() => {
                    match self.end_waiting(record).await {
                        Ok(()) => return,
                        Err(store::Error::Conflict(_)) => {}
                        Err(error) => return tracing::warn!(job.id = %id, %error, "job is cancelled when it starts"),
                    }
                }
                Ok(_) => return,
                Err(error) => return tracing::warn!(job.id = %id, %error, "job is cancelled when it starts"),
            }
        }
    }

    async fn end_waiting(&self, record: Record) -> Result<(), store::Error> {
        let (mut job, now) = (record.job, Timestamp::now());
        let expected = Expected { status: job.state.status(), attempt: job.attempt(), owner: None };
        if policy::cancel(&mut job, now).is_err() {
            return Ok(());
        }
        let event = job.parent().is_none().then(|| crate::event::milestone(&job, now));
        let callback = crate::webhook::callback(&job, now);
        let transition = Transition { event, callback, ..Transition::new(job.clone(), expected, Fate::Ended) };
        self.store.transition(transition).await?;
        self.metrics.job_ended(&job);
        Ok(())
    }

    /// Ends a job that this process holds and no worker runs.
    pub(super) async fn end_unplaced(
        &self,
        unplaced: Unplaced,
        handle: &Handle,
        end: impl FnOnce(&mut Job, Timestamp) -> Result<(), InvalidTransition>,
    ) {
        let Unplaced { mut job, stored, .. } = unplaced;
        let id = job.id;
        if let Err(error) = end(&mut job, Timestamp::now()) {
            tracing::error!(job.id = %id, %error, "job had already ended");
        } else if let Ok(event) = self.write(&job, stored, Fate::Ended, handle).await {
            let feed = self.live.feed(id);
            feed.milestone_at(event.number, event.json.into());
            return self.ended(&job, &feed);
        }
        self.let_go(id, handle).await;
    }
}
