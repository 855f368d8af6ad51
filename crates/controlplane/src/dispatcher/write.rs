//! Writes a job's steps down, and waits out a store that is away: the attempt goes on meanwhile.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::{Shared, live::Handle};
use crate::{
    event,
    job::Job,
    store::{self, Expected, Fate, StoredEvent, Transition},
    webhook,
};

/// Pauses between two tries to write: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Why a step was not written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwritten {
    /// Somebody else drives the job, or it is gone.
    Superseded,
    /// The process stops.
    Stopping,
}

/// What goes with a step.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Tasks that begin.
    pub(super) tasks: Vec<Job>,
    /// What proves the output whole, as JSON.
    pub(super) certificate: Option<String>,
}

impl Shared {
    /// Writes a step of a driven job down: as it is now, from what `before` says. The job's last milestone is its
    /// event, which is answered.
    pub(super) async fn write(
        &self,
        job: &Job,
        before: Expected,
        fate: Fate,
        handle: &Handle,
    ) -> Result<StoredEvent, Unwritten> {
        self.write_with(job, before, fate, Outcome::default(), handle).await
    }

    /// The same, with what goes with the step.
    pub(super) async fn write_with(
        &self,
        job: &Job,
        before: Expected,
        fate: Fate,
        outcome: Outcome,
        handle: &Handle,
    ) -> Result<StoredEvent, Unwritten> {
        let now = Timestamp::now();
        let event = event::milestone(job, now);
        // Nobody listens to a task, or is called back.
        let told = job.parent().is_none().then(|| event.clone());
        let Outcome { tasks, certificate } = outcome;
        let callback = webhook::callback(job, now);
        let transition =
            Transition { event: told, callback, tasks, certificate, ..Transition::new(job.clone(), before, fate) };
        self.commit(transition, handle).await.map(|()| event)
    }

    /// Writes a step down that listeners are not told of.
    pub(super) async fn write_silently(
        &self,
        job: &Job,
        before: Expected,
        fate: Fate,
        handle: &Handle,
    ) -> Result<(), Unwritten> {
        self.commit(Transition::new(job.clone(), before, fate), handle).await
    }

    async fn commit(&self, transition: Transition, handle: &Handle) -> Result<(), Unwritten> {
        let id = transition.job.id;
        let mut pause = PAUSES.0;
        loop {
            let error = match self.store.transition(transition.clone()).await {
                Ok(()) => return Ok(()),
                Err(store::Error::Conflict(id)) => {
                    // A commit whose answer was lost is not somebody else's.
                    return if self.is_written(&transition).await { Ok(()) } else { superseded(id) };
                }
                Err(error) => error,
            };
            // Its answer may have been lost: written twice, it would be refused.
            if self.is_written(&transition).await {
                return Ok(());
            }
            if matches!(error, store::Error::Broken(_)) {
                tracing::error!(job.id = %id, %error, "a job's status cannot be written down");
                return Err(Unwritten::Superseded);
            }
            tracing::error!(job.id = %id, %error, "cannot write a job's status down, trying again");
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(PAUSES.1),
                () = handle.superseded.cancelled() => return superseded(id),
                () = self.lifecycle.stopping() => return Err(Unwritten::Stopping),
            }
        }
    }

    /// True when the store has exactly what was to be written.
    async fn is_written(&self, transition: &Transition) -> bool {
        let found = self.store.get(transition.job.id).await;
        found.is_ok_and(|record| record.is_some_and(|record| record.job == transition.job))
    }

    /// What is to be found of a job that this process drives.
    pub(super) fn mine(&self, job: &Job) -> Expected {
        Expected { status: job.state.status(), attempt: job.attempt(), owner: Some(self.ownership.plane) }
    }
}

fn superseded(id: crate::job::JobId) -> Result<(), Unwritten> {
    tracing::warn!(job.id = %id, "job is driven by somebody else");
    Err(Unwritten::Superseded)
}
