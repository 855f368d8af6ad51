//! Places a job: writes the next attempt down, then offers it to one worker after the other.
//!
//! The attempt is in the store before any worker hears of it: should this process die in between, the next one knows
//! whom to ask.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::field::display;

use super::{
    Shared,
    choice::Choice,
    drive::{Drive, Link},
    fence::Fence,
    live::Handle,
};
use crate::{
    balancer::Candidate,
    event::JobFeed,
    job::{Attempt, Job},
    store::{Expected, Fate},
    worker_client::{self, AttemptName, Connection},
};

/// What became of a job that was to be placed.
pub(super) enum Placed {
    /// A worker runs it, or may.
    Running(Box<Drive>, Link),
    /// No worker took it now.
    Nowhere(Unplaced),
    /// A worker says that it can run nowhere, or each says that it is not set up for it.
    Refused(Unplaced, String),
    /// It is not this process's any more.
    Lost,
}

/// A job that no worker took, without the attempt that nobody began.
pub(super) struct Unplaced {
    pub(super) job: Job,
    /// What the store has of it.
    pub(super) stored: Expected,
    /// Workers with room are not set up for it, or have failed it.
    pub(super) picky: bool,
}

/// A job to place, and how it is known here.
pub(super) struct Placement {
    pub(super) job: Job,
    pub(super) feed: JobFeed,
    pub(super) handle: Handle,
    /// What the store has of it.
    pub(super) stored: Expected,
    /// No client was told of it yet.
    pub(super) provisional: bool,
    /// The store has the attempt for the first candidate already.
    pub(super) written: bool,
}

impl Placement {
    /// Offers the job to one worker after the other.
    pub(super) async fn offer(mut self, shared: &Arc<Shared>, mut choice: Choice<'_>) -> Placed {
        let mut not_set_up = Vec::new();
        while let Some(candidate) = choice.next(&self.job).await {
            if self.job.spec.task.is_some() && !candidate.status.splits {
                not_set_up.push("it knows no tasks of split jobs".to_owned());
                continue;
            }
            if !std::mem::take(&mut self.written) && !self.write_attempt(shared, &candidate).await {
                return Placed::Lost;
            }
            let submitted = tokio::select! {
                submitted = self.submit(shared, &candidate) => submitted,
                // A worker without leases drops the job with the call; one with leases is waited for, which is not long.
                () = shared.lifecycle.stopping(), if candidate.status.lease.is_none() => {
                    return Placed::Nowhere(self.unplaced(false));
                }
            };
            let error = match submitted {
                Ok((fence, link)) => return self.running(shared, fence, link),
                Err(error) => error,
            };
            shared.metrics.rejected_by_worker();
            tracing::info!(
                job.id = %self.job.id, job.parent = self.job.parent().map(display),
                worker.address = %candidate.address, error = error.chain(),
                "worker did not take the job"
            );
            match error {
                worker_client::Error::Refused(reason) => return Placed::Refused(self.unplaced(false), reason),
                worker_client::Error::NotSetUp(reason) => not_set_up.push(reason),
                worker_client::Error::Connect(_)
                | worker_client::Error::Timeout(_)
                | worker_client::Error::Unavailable(_)
                | worker_client::Error::Unknown(_)
                | worker_client::Error::Failed { .. }
                | worker_client::Error::Broken(_) => {}
            }
        }
        // Waiting helps only while some worker did not say that; busy ones need not be asked what tasks they know.
        let is_known_nowhere = self.job.spec.task.is_some() && shared.balancer.knows_no_tasks();
        match not_set_up.pop() {
            Some(reason) if is_known_nowhere || not_set_up.len() + 1 == shared.balancer.len() => {
                Placed::Refused(self.unplaced(true), reason)
            }
            reason => Placed::Nowhere(self.unplaced(reason.is_some() || choice.waits())),
        }
    }

    /// False when the job is not this process's any more.
    async fn write_attempt(&mut self, shared: &Shared, candidate: &Candidate) -> bool {
        begin(&mut self.job, candidate);
        let fate = Fate::Driven { by: shared.ownership.plane, provisional: self.provisional };
        let written = shared.write_silently(&self.job, self.stored, fate, &self.handle).await;
        self.stored = shared.mine(&self.job);
        written.is_ok()
    }

    /// Hands the job over. Where nobody heard the answer, the worker may have it.
    async fn submit(
        &self,
        shared: &Shared,
        candidate: &Candidate,
    ) -> Result<(Option<Fence>, Link), worker_client::Error> {
        let heard = Instant::now();
        let name = AttemptName { job: self.job.id, number: self.job.attempt() };
        let clock = candidate.status.clock;
        let (connection, spec, limit) = (&candidate.connection, &self.job.spec, shared.limits.admission);
        let answer = if self.job.wants_plan(shared.rules.split) && candidate.status.splits {
            connection.plan(name, clock, spec, shared.rules.chunk_seconds, limit).await
        } else {
            connection.submit(name, clock, spec, limit).await
        };
        let link = match answer {
            Ok(task) => Link::Open(Box::new(task)),
            Err(error) if error.is_ambiguous() && self.may_run(shared, candidate).await => Link::Lost(error.chain()),
            Err(error) => return Err(error),
        };
        Ok((candidate.status.lease.clone().map(|lease| Fence::new(lease, clock, heard)), link))
    }

    /// True unless it is certain that the worker did not take the job. One without leases drops a job with its call.
    async fn may_run(&self, shared: &Shared, candidate: &Candidate) -> bool {
        if candidate.status.lease.is_some() {
            return true;
        }
        let answer = Connection::open(&candidate.address, shared.limits.question).await;
        !answer.is_ok_and(|(_, status)| !status.runs(self.job.id))
    }

    fn running(self, shared: &Arc<Shared>, fence: Option<Fence>, link: Link) -> Placed {
        let worker = self.job.worker().unwrap_or_default();
        let (parent, task) =
            (self.job.parent().map(display), self.job.spec.task.as_ref().map(|task| task.kind.label()));
        tracing::info!(
            job.id = %self.job.id, job.parent = parent, job.task = task,
            attempt = self.job.attempt(), worker.address = worker, "job placed"
        );
        let drive = Drive::new(Arc::clone(shared), self.job, self.feed, self.handle, fence);
        Placed::Running(Box::new(drive), link)
    }

    fn unplaced(mut self, picky: bool) -> Unplaced {
        self.job.attempts.pop_if(|attempt| attempt.ended.is_none());
        Unplaced { job: self.job, stored: self.stored, picky }
    }
}

/// Adds the next attempt, or turns the one that nobody began to another worker.
pub(super) fn begin(job: &mut Job, candidate: &Candidate) {
    let number = job.attempts.pop_if(|attempt| attempt.ended.is_none()).map_or(job.attempt() + 1, |last| last.number);
    let (worker, started_at) = (candidate.worker(), Timestamp::now());
    job.attempts.push(Attempt { number, worker, started_at, ended: None });
}
