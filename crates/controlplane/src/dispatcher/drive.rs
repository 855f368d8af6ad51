//! Drives one attempt of a job to its end, and writes down what follows.
//!
//! The attempt outlives its stream: when that breaks, the worker is looked for until it is found, or until it is certain
//! that the attempt cannot publish any more. Only then may another one begin.

use std::sync::Arc;

use jiff::Timestamp;
use tracing::field::display;

use super::{
    Shared, conduct,
    fence::Fence,
    keeper::SharedFence,
    live::Handle,
    policy::{self, Ending, Next},
    write::{Outcome, Unwritten},
};
use crate::{
    event::JobFeed,
    job::{Blame, Certificate, Change, Job, Part, Report, Status, TaskKind, task},
    metrics::Raised,
    store::{Fate, StoredEvent},
    worker_client::{AttemptName, Connection, Task, Update},
};

/// The driver of one attempt.
pub(super) struct Drive {
    pub(super) shared: Arc<Shared>,
    pub(super) job: Job,
    pub(super) feed: JobFeed,
    pub(super) handle: Handle,
    /// `None` where the attempt ends with its stream.
    pub(super) fence: Option<SharedFence>,
    /// What proves the output whole, once the worker has said so.
    certificate: Option<Box<Certificate>>,
    /// The worker did not confirm a cancellation: its lease is not renewed any more.
    pub(super) abandoned: bool,
    /// The worker has said something of the attempt to this process. One that was taken over and is gone is not held against
    /// its job: a restart of all machines would be.
    pub(super) heard: bool,
    /// True once a senseless report was logged: a worker may send millions.
    warned: bool,
    /// `None` for a task: its job is counted.
    _in_flight: Option<Raised>,
}

/// The way to the attempt.
pub(super) enum Link {
    /// Its stream.
    Open(Box<Task>),
    /// The stream is lost, for this reason.
    Lost(String),
}

/// Why there is nothing more to wait for.
pub(super) enum End {
    /// The attempt has ended. With the connection that told so, if one did.
    Attempt(Ending, Option<Box<Task>>),
    /// The process stops; the attempt goes on.
    Left,
    /// Another process drives the job.
    Superseded,
}

impl Drive {
    pub(super) fn new(shared: Arc<Shared>, job: Job, feed: JobFeed, handle: Handle, fence: Option<Fence>) -> Self {
        let in_flight = job.parent().is_none().then(|| shared.metrics.job_in_flight());
        handle.note(&job);
        let fence = fence.map(SharedFence::new);
        Self {
            shared,
            job,
            feed,
            handle,
            fence,
            certificate: None,
            abandoned: false,
            heard: false,
            warned: false,
            _in_flight: in_flight,
        }
    }

    /// Runs until the attempt has ended, or is somebody else's to drive.
    pub(super) async fn run(mut self, link: Link) {
        let lifecycle = self.shared.lifecycle.clone();
        let id = self.job.id;
        let end = tokio::select! {
            () = lifecycle.aborting() => End::Left,
            end = self.follow(link) => end,
        };
        match end {
            End::Attempt(ending, task) => {
                // Before anybody can know that the job has ended, and ask for the room.
                if let Some(worker) = self.job.worker() {
                    self.shared.balancer.freed(worker);
                }
                Box::pin(self.conclude(ending, task)).await;
            }
            End::Left => tracing::info!(job.id = %id, "job goes on without this process"),
            End::Superseded => self.shared.let_go(id, &self.handle).await,
        }
        self.shared.room.notify_one();
    }

    async fn follow(&mut self, mut link: Link) -> End {
        loop {
            link = match link {
                Link::Open(task) => match self.listen(task).await {
                    Ok(lost) => Link::Lost(lost),
                    Err(end) => return end,
                },
                // Neither is needed for long, and there are thousands of drives.
                Link::Lost(reason) => match Box::pin(self.search(reason)).await {
                    Ok(task) => Link::Open(task),
                    Err(end) => return end,
                },
            }
        }
    }

    /// Applies a word of the worker. Answers the end, when it is one.
    pub(super) async fn apply(&mut self, update: Update) -> Option<End> {
        self.heard = true;
        let report = match update.report {
            Ok(report) => report,
            Err(number) => {
                self.warn_once(&format!("a job cannot have status {number}"));
                return None;
            }
        };
        if let Some(reason) = update.whole.filter(|_| self.wants_plan()) {
            self.job.whole = Some(reason);
        }
        if report.is_last() {
            let report = self.sensible(report, update.part);
            self.certificate = update.certificate;
            return Some(End::Attempt(Ending::Reported(report, update.message), None));
        }
        if rank(report.status()) < rank(self.job.state.status()) {
            // A stream that was attached again begins with what was heard before.
            return None;
        }
        let before = self.shared.mine(&self.job);
        match self.job.apply(report, update.message, Timestamp::now()) {
            Ok(Change::None) => None,
            Ok(Change::Progress) => {
                self.tell_progress(update.vitals);
                None
            }
            Ok(Change::Status) => {
                self.job.milestones += 1;
                let fate = Fate::Driven { by: self.shared.ownership.plane, provisional: false };
                match self.shared.write(&self.job, before, fate, &self.handle).await {
                    Ok(event) => {
                        tracing::debug!(job.id = %self.job.id, job.status = self.job.state.status().name(), "job moved on");
                        self.tell(event);
                        None
                    }
                    Err(unwritten) => Some(unwritten.into()),
                }
            }
            Err(error) => {
                self.warn_once(&error.to_string());
                None
            }
        }
    }

    fn wants_plan(&self) -> bool {
        self.job.wants_plan(self.shared.rules.split)
    }

    /// The last word of the worker. What it must say with it and does not is its mistake: another one may do better.
    fn sensible(&mut self, report: Report, part: Option<Part>) -> Report {
        let error = match &report {
            Report::Completed { .. } if self.job.spec.task.as_ref().is_some_and(|task| task.kind.leaves_part()) => {
                self.job.part = part;
                self.job.part.is_none().then_some("the worker does not say what it has stored")
            }
            Report::Planned(_) if !self.wants_plan() => Some("the worker has planned what was not to be planned"),
            Report::Queued
            | Report::Processing(_)
            | Report::Planned(_)
            | Report::Uploading
            | Report::Completed { .. }
            | Report::Failed { .. }
            | Report::Cancelled => None,
        };
        let Some(error) = error else { return report };
        Report::Failed { error: format!("encoding failed: {error}"), blame: Blame::Infrastructure }
    }

    /// Tells listeners of a milestone that is written down.
    pub(super) fn tell(&self, event: StoredEvent) {
        self.handle.note(&self.job);
        self.feed.milestone_at(event.number, event.json.into());
    }

    fn tell_progress(&self, vitals: crate::worker_client::Vitals) {
        self.shared.tell_progress(&self.job, vitals, &self.feed, &self.handle);
    }

    fn warn_once(&mut self, reason: &str) {
        if !self.warned {
            self.warned = true;
            let worker = self.job.worker().unwrap_or_default();
            tracing::warn!(job.id = %self.job.id, worker.address = worker, reason, "report ignored");
        }
    }

    /// Writes down what follows from the end of the attempt.
    async fn conclude(&mut self, ending: Ending, task: Option<Box<Task>>) {
        let (before, now) = (self.shared.mine(&self.job), Timestamp::now());
        let cancelled = self.handle.cancel.is_cancelled();
        let planned = matches!(ending, Ending::Reported(Report::Planned(_), _));
        let next = match policy::conclude(&mut self.job, ending, cancelled, self.shared.rules.max_attempts, now) {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(job.id = %self.job.id, %error, "job had already ended");
                return self.shared.let_go(self.job.id, &self.handle).await;
            }
        };
        let fate = match next {
            Next::Again(pause) => Fate::Waiting { due: now + pause },
            Next::Tasks => Fate::Conducted { by: self.shared.ownership.plane },
            Next::End => Fate::Ended,
        };
        let outcome = self.outcome(next, planned, now);
        let (id, status) = (self.job.id, self.job.state.status().name());
        if let Some(ended) = self.job.attempts.last().and_then(|attempt| attempt.ended.as_ref()) {
            let (outcome, error) = (ended.outcome.name(), ended.error.as_deref());
            let (parent, attempt) = (self.job.parent().map(display), self.job.attempt());
            tracing::info!(
                job.id = %id, job.parent = parent, job.status = status, attempt, outcome, error, "attempt ended"
            );
            self.shared.metrics.attempt(ended.outcome);
        }
        self.shared.unsaved().remove(&id);
        match self.shared.write_with(&self.job, before, fate, outcome, &self.handle).await {
            Ok(event) => self.tell(event),
            // The worker keeps its result until it is collected: the next process hears it again.
            Err(Unwritten::Stopping) => return,
            Err(Unwritten::Superseded) => return self.shared.let_go(id, &self.handle).await,
        }
        match next {
            Next::Again(_) => self.shared.let_go(id, &self.handle).await,
            Next::Tasks => conduct::start(&self.shared, self.job.clone(), self.feed.clone(), self.handle.clone()),
            Next::End => self.shared.ended(&self.job, &self.feed),
        }
        if let Some(task) = task {
            self.farewell(task).await;
        }
    }

    /// What is written down with the end of the attempt.
    fn outcome(&mut self, next: Next, planned: bool, now: Timestamp) -> Outcome {
        let tasks = match (next, &self.job.plan) {
            (Next::Tasks, Some(plan)) => task::first(&self.job, plan, now),
            // The planner may have left a marker in the storage.
            (Next::End, _) if planned => vec![task::new(&self.job, TaskKind::Cleanup, now)],
            (Next::Tasks | Next::Again(_) | Next::End, _) => Vec::new(),
        };
        let certificate = self.certificate.take().filter(|_| self.job.state.status() == Status::Completed);
        // Texts and numbers are always JSON.
        Outcome { tasks, certificate: certificate.and_then(|certificate| serde_json::to_string(&certificate).ok()) }
    }

    /// Lets the worker forget the attempt.
    async fn farewell(&self, mut task: Box<Task>) {
        let limit = self.shared.limits.farewell;
        if self.fence.is_some() {
            if let Err(error) = task.connection().release(self.name(), limit).await {
                tracing::debug!(job.id = %self.job.id, error = error.chain(), "result cannot be released");
            }
        } else {
            // A worker that is told good-bye in the middle of its clean-up might take it for a cancellation.
            let _ = tokio::time::timeout(limit, async { while let Ok(Some(_)) = task.next().await {} }).await;
        }
    }

    /// The attempt, as its worker knows it.
    pub(super) fn name(&self) -> AttemptName {
        AttemptName { job: self.job.id, number: self.job.attempt() }
    }

    /// Tells the worker to stop, if that is wanted, without waiting for it.
    pub(super) fn pass_cancel_on(&self, connection: &Connection) -> impl Future<Output = ()> + Send + use<> {
        let (connection, id, limit) = (connection.clone(), self.job.id, self.shared.limits.cancel_call);
        let token = self.handle.cancel.clone();
        async move {
            token.cancelled().await;
            match connection.cancel(id, limit).await {
                Ok(known) => tracing::info!(job.id = %id, known, "worker was told to cancel"),
                Err(error) => tracing::warn!(job.id = %id, error = error.chain(), "worker cannot be told to cancel"),
            }
        }
    }
}

impl From<Unwritten> for End {
    fn from(unwritten: Unwritten) -> Self {
        match unwritten {
            Unwritten::Superseded => Self::Superseded,
            Unwritten::Stopping => Self::Left,
        }
    }
}

/// The order of the statuses that a running attempt goes through.
fn rank(status: Status) -> u8 {
    match status {
        Status::Queued => 0,
        Status::Processing => 1,
        Status::Uploading => 2,
        Status::Completed | Status::Failed | Status::Cancelled => 3,
    }
}
