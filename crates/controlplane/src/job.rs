//! What a client asked for and how far it is. Pure: no clock, no network, no store.
//!
//! - [`attempt`]: one try at it on one worker
//! - [`certificate`]: what proves its output whole
//! - [`family`]: what follows from the tasks of a split job
//! - [`id`]: the name of a job
//! - [`plan`], [`part`], [`task`]: how it is split, and into what
//! - [`spec`]: a request that passed every check
//! - [`state`]: the state machine

pub mod attempt;
pub mod certificate;
pub mod family;
pub mod id;
pub mod part;
pub mod plan;
pub mod spec;
pub mod state;
pub mod task;

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use attempt::Attempt;
pub use certificate::Certificate;
pub use id::JobId;
pub use part::Part;
pub use plan::Plan;
pub use spec::JobSpec;
pub use state::{Blame, InvalidTransition, Report, State, Status};
pub use task::{Task, TaskKind};

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// What was asked for.
    pub spec: Arc<JobSpec>,
    /// How far it is.
    pub state: State,
    /// The latest word on it, for people.
    pub message: String,
    /// Every try at it, the last one last.
    pub attempts: Vec<Attempt>,
    /// How many events listeners were told of status changes: the number of the last one.
    pub milestones: u32,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// How it is split, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Arc<Plan>>,
    /// Why it is not split, or not any more, though that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<String>,
    /// Of a task: what it has left in the storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// What a report changed in a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing that a listener could tell.
    None,
    /// Its progress or message.
    Progress,
    /// Its status.
    Status,
}

impl Job {
    /// A job that nobody has tried yet.
    #[must_use]
    pub fn new(id: JobId, spec: Arc<JobSpec>, now: Timestamp) -> Self {
        let message = "queued".to_owned();
        Self {
            id,
            spec,
            state: State::NEW,
            message,
            attempts: Vec::new(),
            milestones: 1,
            created_at: now,
            plan: None,
            whole: None,
            part: None,
        }
    }

    /// The number of its last attempt; 0 before the first.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempts.last().map_or(0, |attempt| attempt.number)
    }

    /// Address of the worker that runs it, or ran it last.
    #[must_use]
    pub fn worker(&self) -> Option<&str> {
        self.attempts.last().map(|attempt| attempt.worker.address.as_str())
    }

    /// How many attempts count towards `JOB_MAX_ATTEMPTS`.
    #[must_use]
    pub fn failures(&self) -> usize {
        let ended = self.attempts.iter().filter_map(|attempt| attempt.ended.as_ref());
        ended.filter(|ended| ended.outcome.counts()).count()
    }

    /// When the last attempt that has ended did.
    #[must_use]
    pub fn last_end(&self) -> Option<Timestamp> {
        self.attempts.iter().rev().find_map(|attempt| attempt.ended.as_ref()).map(|ended| ended.at)
    }

    /// The split job that it is a task of.
    #[must_use]
    pub fn parent(&self) -> Option<JobId> {
        self.spec.task.as_ref().map(|task| task.job)
    }

    /// True where it is a split job's last task.
    #[must_use]
    pub fn is_cleanup(&self) -> bool {
        self.spec.task.as_ref().is_some_and(|task| matches!(task.kind, TaskKind::Cleanup))
    }

    /// True where the next attempt is to plan it. `split` is what holds for jobs that do not say.
    #[must_use]
    pub fn wants_plan(&self, split: spec::Split) -> bool {
        let may_be_split = self.spec.split.unwrap_or(split) == spec::Split::Auto;
        may_be_split && self.spec.task.is_none() && self.plan.is_none() && self.whole.is_none()
    }

    /// The plan that it is being encoded by, or was.
    #[must_use]
    pub fn split(&self) -> Option<&Arc<Plan>> {
        self.plan.as_ref().filter(|_| self.whole.is_none())
    }

    /// True while its tasks run, and not an attempt of its own.
    #[must_use]
    pub fn is_conducted(&self) -> bool {
        let runs = self.attempts.last().is_some_and(|attempt| attempt.ended.is_none());
        self.split().is_some() && !runs && !self.state.status().is_terminal()
    }

    /// Applies a worker's report.
    ///
    /// # Errors
    /// When the job cannot go from its status to the report's; the job is then as it was.
    pub fn apply(&mut self, report: Report, message: String, now: Timestamp) -> Result<Change, InvalidTransition> {
        let (status, progress) = (self.state.status(), self.state.progress());
        self.state = self.state.clone().apply(report, now)?;
        let change = if self.state.status() != status {
            Change::Status
        } else if status == Status::Queued {
            // Listeners were told "queued" when the job was admitted.
            return Ok(Change::None);
        } else if self.state.progress() > progress || (message != self.message && !message.is_empty()) {
            Change::Progress
        } else {
            Change::None
        };
        if !message.is_empty() || change == Change::Status {
            self.message = message;
        }
        Ok(change)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn job() -> Job {
        Job::new(JobId::random(), Arc::new(spec::tests::spec()), Timestamp::UNIX_EPOCH)
    }

    fn apply(job: &mut Job, report: Report, message: &str) -> Change {
        job.apply(report, message.to_owned(), Timestamp::UNIX_EPOCH).expect("a legal report")
    }

    #[test]
    fn only_what_a_listener_could_tell_is_a_change() {
        let mut job = job();
        assert_eq!(apply(&mut job, Report::Queued, "job queued"), Change::None);
        assert_eq!(job.message, "queued");
        assert_eq!(apply(&mut job, Report::Processing(0.0), "encoding"), Change::Status);
        assert_eq!(apply(&mut job, Report::Processing(0.0), "encoding"), Change::None);
        assert_eq!(apply(&mut job, Report::Processing(1.0), "encoding"), Change::Progress);
        assert_eq!(apply(&mut job, Report::Processing(0.5), "validating"), Change::Progress);
        assert_eq!(apply(&mut job, Report::Processing(0.5), ""), Change::None);
        assert_eq!(job.message, "validating");
        assert_eq!(apply(&mut job, Report::Uploading, ""), Change::Status);
        assert_eq!(job.message, "");
    }

    #[test]
    fn an_illegal_report_changes_nothing() {
        let mut job = job();
        apply(&mut job, Report::Cancelled, "stopped");
        assert!(job.apply(Report::Processing(1.0), "late".to_owned(), Timestamp::UNIX_EPOCH).is_err());
        assert_eq!((job.state.status(), job.message.as_str()), (Status::Cancelled, "stopped"));
    }
}
