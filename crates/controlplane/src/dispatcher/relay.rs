//! Relays what a worker says about one job until the job has ended.
//!
//! Whatever the worker does, the job ends exactly once: with the worker's own last word, with the loss of the worker,
//! or with a cancellation that the worker did not confirm in time.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::{sleep, timeout};

use super::{Live, Shared, lost};
use crate::{
    event::Published,
    job::{Change, Job, Status},
    metrics::{Attempt, Raised},
    worker_client::{Error, Task, Update},
};

/// How many questions in a row may fail before a worker is lost. One may fail because the machine was busy, and a job
/// that has run for hours should not end with it.
const QUESTIONS: u32 = 3;

/// One job under way.
pub(super) struct Relay {
    shared: Arc<Shared>,
    task: Task,
    job: Job,
    live: Live,
    /// True once a senseless report was logged: a worker may send millions.
    warned: bool,
    /// Questions that failed since the worker was last heard.
    unanswered: u32,
    _in_flight: Raised,
}

/// Why a relay has nothing more to wait for.
enum Ending {
    /// The worker reported the job's end.
    Reported,
    /// The worker is gone or silent, or does not know the job.
    Lost(String),
    /// A cancellation was not confirmed in time.
    Unconfirmed,
    /// Somebody else has moved the job on.
    Superseded,
}

impl Relay {
    pub(super) fn new(shared: Arc<Shared>, task: Task, job: Job, live: Live) -> Self {
        let in_flight = shared.metrics.job_in_flight();
        Self { shared, task, job, live, warned: false, unanswered: 0, _in_flight: in_flight }
    }

    /// Runs until the job has ended. An abort of the process drops the stream, which makes the worker stop.
    pub(super) async fn run(mut self) {
        let lifecycle = self.shared.lifecycle.clone();
        tokio::select! {
            () = lifecycle.aborting() => tracing::warn!(job.id = %self.job.id, "job dropped, the service stops"),
            () = self.relay() => {}
        }
    }

    async fn relay(&mut self) {
        let cancelled = self.cancelled();
        let ending = tokio::select! {
            ending = self.follow() => ending,
            ending = cancelled => ending,
        };
        let attempt = match self.conclude(ending).await {
            Some(attempt) => attempt,
            None => Attempt::Ended(self.job.state.status()),
        };
        self.shared.metrics.attempt(attempt);
        // A worker that is told good-bye in the middle of its clean-up might take it for a cancellation.
        let farewell = self.shared.limits.farewell;
        let _ = timeout(farewell, async { while let Ok(Some(_)) = self.task.next().await {} }).await;
    }

    /// Waits for a cancellation, passes it on, and ends when the worker does not confirm it in time.
    fn cancelled(&self) -> impl Future<Output = Ending> + Send + use<> {
        let (limits, token, id) = (self.shared.limits, self.live.cancel.clone(), self.job.id);
        let call = self.task.cancel(id, limits.cancel_call);
        async move {
            token.cancelled().await;
            let tell = async {
                match call.await {
                    Ok(known) => tracing::info!(job.id = %id, known, "worker was told to cancel"),
                    Err(error) => {
                        tracing::warn!(job.id = %id, error = error.chain(), "worker cannot be told to cancel");
                    }
                }
                std::future::pending().await
            };
            tokio::select! {
                () = sleep(limits.cancel_end) => Ending::Unconfirmed,
                never = tell => never,
            }
        }
    }

    async fn follow(&mut self) -> Ending {
        let silence = self.shared.limits.silence;
        loop {
            match timeout(silence, self.task.next()).await {
                Ok(Ok(Some(update))) => {
                    self.unanswered = 0;
                    if let Some(ending) = self.apply(update).await {
                        return ending;
                    }
                }
                Ok(Ok(None)) => return Ending::Lost("its stream ended without a result".to_owned()),
                Ok(Err(error)) => return Ending::Lost(error.chain()),
                Err(_) => {
                    if let Some(ending) = self.ask().await {
                        return ending;
                    }
                }
            }
        }
    }

    /// Asks a silent worker whether it still runs the job.
    async fn ask(&mut self) -> Option<Ending> {
        let question = self.shared.limits.question;
        match self.task.is_running(self.job.id, question).await {
            Ok(true) => {
                self.unanswered = 0;
                None
            }
            Err(error) => self.unanswered(&error),
            // Its last word may have been on the way while it answered.
            Ok(false) => match timeout(question, self.task.next()).await {
                Ok(Ok(Some(update))) => self.apply(update).await,
                Ok(Ok(None) | Err(_)) | Err(_) => Some(Ending::Lost("it does not know the job any more".to_owned())),
            },
        }
    }

    /// Counts a question that failed.
    fn unanswered(&mut self, error: &Error) -> Option<Ending> {
        self.unanswered += 1;
        let (id, worker, questions) = (self.job.id, &self.job.worker(), self.unanswered);
        tracing::warn!(job.id = %id, worker.address = worker.unwrap_or_default(), questions, error = error.chain(), "worker is silent");
        (questions >= QUESTIONS).then(|| Ending::Lost(error.chain()))
    }

    async fn apply(&mut self, update: Update) -> Option<Ending> {
        let before = self.job.state.status();
        let now = Timestamp::now();
        let change = match update.report {
            Ok(report) => self.job.apply(report, update.message, now).map_err(|error| error.to_string()),
            Err(number) => Err(format!("a job cannot have status {number}")),
        };
        match change {
            Ok(Change::None) => None,
            Ok(Change::Progress) => {
                self.live.feed.update(Published::new(&self.job, now));
                None
            }
            Ok(Change::Status) => self.publish(before, now).await,
            Err(reason) => {
                self.warn_once(&reason);
                None
            }
        }
    }

    fn warn_once(&mut self, reason: &str) {
        if !self.warned {
            self.warned = true;
            tracing::warn!(job.id = %self.job.id, worker.address = self.job.worker().unwrap_or_default(), reason, "report ignored");
        }
    }

    /// Makes a status change known: first to the store, then to listeners.
    async fn publish(&mut self, before: Status, now: Timestamp) -> Option<Ending> {
        let job = &self.job;
        let status = job.state.status();
        if let Err(error) = self.shared.store.update(job, before).await {
            tracing::error!(job.id = %job.id, %error, "cannot write a job's status down");
            return Some(Ending::Superseded);
        }
        let event = Published::new(job, now);
        if !status.is_terminal() {
            tracing::debug!(job.id = %job.id, job.status = status.name(), "job moved on");
            self.live.feed.milestone(event);
            return None;
        }
        tracing::info!(job.id = %job.id, job.status = status.name(), error = job.state.error(), "job ended");
        self.shared.metrics.job_ended(job);
        self.live.feed.finish(event);
        self.shared.live().finish(job.id);
        Some(Ending::Reported)
    }

    /// Ends a job whose worker did not end it. Tells how the attempt counts where the job's status does not.
    async fn conclude(&mut self, ending: Ending) -> Option<Attempt> {
        let (before, now) = (self.job.state.status(), Timestamp::now());
        let state = self.job.state.clone();
        let cancelled = self.live.cancel.is_cancelled();
        let (state, message, attempt) = match ending {
            Ending::Reported => return None,
            Ending::Superseded => {
                self.shared.live().finish(self.job.id);
                return Some(Attempt::Lost);
            }
            // Whoever cancelled the job got what they wanted, however it came about.
            Ending::Lost(_) if cancelled => (state.cancel(now), "cancelled", Some(Attempt::Lost)),
            Ending::Lost(reason) => (lost(state, &reason, now), "failed", Some(Attempt::Lost)),
            Ending::Unconfirmed => (state.cancel(now), "cancelled", None),
        };
        match state {
            Ok(state) => {
                self.job.state = state;
                message.clone_into(&mut self.job.message);
                self.publish(before, now).await;
            }
            Err(error) => tracing::error!(job.id = %self.job.id, %error, "job had already ended"),
        }
        attempt
    }
}
