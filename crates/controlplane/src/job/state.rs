//! The state machine of a job: QUEUED → PROCESSING → UPLOADING → COMPLETED, or FAILED or CANCELLED from any of the
//! first three.
//!
//! Steps may be left out, and progress never falls. Only the end of an attempt takes a job back, to QUEUED, where it
//! waits for the next one. The last three are final.

use std::sync::Arc;

use jiff::Timestamp;
use proto::v1::JobStatus;
use serde::{Deserialize, Serialize};

use super::Plan;

/// Where a job stands, with what is known there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum State {
    /// It waits for a worker, or a worker has it and has not begun.
    Queued {
        /// How far an earlier attempt came, 0 to 100.
        progress: f32,
        /// When the first attempt began to encode, if one did.
        started_at: Option<Timestamp>,
    },
    /// The worker encodes.
    Processing {
        /// 0 to 100.
        progress: f32,
        /// When it began.
        started_at: Timestamp,
    },
    /// The worker publishes a result that passed validation.
    Uploading {
        /// When the encode began.
        started_at: Timestamp,
    },
    /// The result is published.
    Completed {
        /// The file, or the master playlist or manifest.
        output_url: String,
        /// When the encode began.
        started_at: Timestamp,
        /// When the job ended.
        finished_at: Timestamp,
    },
    /// There will be no result.
    Failed {
        /// What failed and why.
        error: String,
        /// How far it came.
        ended: Ended,
    },
    /// A client did not want it any more.
    Cancelled {
        /// How far it came.
        ended: Ended,
    },
}

/// How far a job without a result came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// 0 to 100.
    pub progress: f32,
    /// When the encode began, if it did.
    pub started_at: Option<Timestamp>,
    /// When the job ended.
    pub finished_at: Timestamp,
}

/// A state without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// See [`State::Queued`].
    Queued,
    /// See [`State::Processing`].
    Processing,
    /// See [`State::Uploading`].
    Uploading,
    /// See [`State::Completed`].
    Completed,
    /// See [`State::Failed`].
    Failed,
    /// See [`State::Cancelled`].
    Cancelled,
}

/// What a worker says about a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// It has it.
    Queued,
    /// It encodes; percentage as the worker gave it.
    Processing(f32),
    /// It has found out how the job is to be split. The end of an attempt, not of the job.
    Planned(Arc<Plan>),
    /// It publishes.
    Uploading,
    /// It has published.
    Completed {
        /// Where.
        output_url: String,
    },
    /// It gave up.
    Failed {
        /// What failed and why.
        error: String,
        /// Who can mend it.
        blame: Blame,
    },
    /// It was told to stop.
    Cancelled,
}

/// Who is to blame for a failure, which decides whether there is another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The input or the request: it fails on every worker.
    Job,
    /// The machine, its disk, its network or its storage: another try may work.
    Infrastructure,
    /// Nobody: the worker was asked to stop, or was left alone.
    Nobody,
}

/// A step that the state machine does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job cannot go from {} to {}", from.name(), to.name())]
pub struct InvalidTransition {
    /// Where the job stands.
    pub from: Status,
    /// Where it cannot go.
    pub to: Status,
}

impl State {
    /// The state of a new job.
    pub const NEW: Self = Self::Queued { progress: 0.0, started_at: None };

    /// The state after a worker's report.
    ///
    /// # Errors
    /// When the report would take a step back or leave a final state.
    pub fn apply(self, report: Report, now: Timestamp) -> Result<Self, InvalidTransition> {
        match report {
            Report::Queued => self.queued(),
            Report::Processing(progress) => self.processing(progress, now),
            Report::Planned(_) => self.processing(0.0, now),
            Report::Uploading => self.uploading(now),
            Report::Completed { output_url } => self.complete(output_url, now),
            Report::Failed { error, .. } => self.fail(error, now),
            Report::Cancelled => self.cancel(now),
        }
    }

    fn queued(self) -> Result<Self, InvalidTransition> {
        match self {
            Self::Queued { .. } => Ok(self),
            state @ (Self::Processing { .. }
            | Self::Uploading { .. }
            | Self::Completed { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. }) => Err(state.refuse(Status::Queued)),
        }
    }

    fn processing(self, reported: f32, now: Timestamp) -> Result<Self, InvalidTransition> {
        let reported = if reported.is_finite() { reported.clamp(0.0, 100.0) } else { 0.0 };
        match self {
            Self::Queued { progress, started_at } => {
                Ok(Self::Processing { progress: progress.max(reported), started_at: started_at.unwrap_or(now) })
            }
            Self::Processing { progress, started_at } => {
                Ok(Self::Processing { progress: progress.max(reported), started_at })
            }
            state
            @ (Self::Uploading { .. } | Self::Completed { .. } | Self::Failed { .. } | Self::Cancelled { .. }) => {
                Err(state.refuse(Status::Processing))
            }
        }
    }

    fn uploading(self, now: Timestamp) -> Result<Self, InvalidTransition> {
        let started_at = self.started_at().unwrap_or(now);
        match self {
            Self::Queued { .. } | Self::Processing { .. } | Self::Uploading { .. } => {
                Ok(Self::Uploading { started_at })
            }
            state @ (Self::Completed { .. } | Self::Failed { .. } | Self::Cancelled { .. }) => {
                Err(state.refuse(Status::Uploading))
            }
        }
    }

    fn complete(self, output_url: String, now: Timestamp) -> Result<Self, InvalidTransition> {
        if self.status().is_terminal() {
            return Err(self.refuse(Status::Completed));
        }
        Ok(Self::Completed { output_url, started_at: self.started_at().unwrap_or(now), finished_at: now })
    }

    /// The state after a failure that the worker did not report itself.
    ///
    /// # Errors
    /// When the job has already ended.
    pub fn fail(self, error: String, now: Timestamp) -> Result<Self, InvalidTransition> {
        let ended = self.end(Status::Failed, now)?;
        Ok(Self::Failed { error, ended })
    }

    /// The state after a cancellation.
    ///
    /// # Errors
    /// When the job has already ended.
    pub fn cancel(self, now: Timestamp) -> Result<Self, InvalidTransition> {
        let ended = self.end(Status::Cancelled, now)?;
        Ok(Self::Cancelled { ended })
    }

    /// The state after the end of an attempt that another one is to follow.
    ///
    /// # Errors
    /// When the job has already ended.
    pub fn requeue(self) -> Result<Self, InvalidTransition> {
        if self.status().is_terminal() {
            return Err(self.refuse(Status::Queued));
        }
        Ok(Self::Queued { progress: self.progress(), started_at: self.started_at() })
    }

    /// The state with the progress that was saved beside it.
    #[must_use]
    pub fn at_least(mut self, saved: f32) -> Self {
        if let Self::Queued { progress, .. } | Self::Processing { progress, .. } = &mut self {
            *progress = progress.max(saved);
        }
        self
    }

    fn end(&self, to: Status, now: Timestamp) -> Result<Ended, InvalidTransition> {
        if self.status().is_terminal() {
            return Err(self.refuse(to));
        }
        Ok(Ended { progress: self.progress(), started_at: self.started_at(), finished_at: now })
    }

    fn refuse(&self, to: Status) -> InvalidTransition {
        InvalidTransition { from: self.status(), to }
    }

    /// The state without its data.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Queued { .. } => Status::Queued,
            Self::Processing { .. } => Status::Processing,
            Self::Uploading { .. } => Status::Uploading,
            Self::Completed { .. } => Status::Completed,
            Self::Failed { .. } => Status::Failed,
            Self::Cancelled { .. } => Status::Cancelled,
        }
    }

    /// How much of the encode is done, 0 to 100.
    #[must_use]
    pub fn progress(&self) -> f32 {
        match self {
            Self::Queued { progress, .. } | Self::Processing { progress, .. } => *progress,
            Self::Uploading { .. } | Self::Completed { .. } => 100.0,
            Self::Failed { ended, .. } | Self::Cancelled { ended } => ended.progress,
        }
    }

    /// When the encode began.
    #[must_use]
    pub fn started_at(&self) -> Option<Timestamp> {
        match self {
            Self::Queued { started_at, .. } => *started_at,
            Self::Processing { started_at, .. }
            | Self::Uploading { started_at }
            | Self::Completed { started_at, .. } => Some(*started_at),
            Self::Failed { ended, .. } | Self::Cancelled { ended } => ended.started_at,
        }
    }

    /// When the job ended.
    #[must_use]
    pub fn finished_at(&self) -> Option<Timestamp> {
        match self {
            Self::Queued { .. } | Self::Processing { .. } | Self::Uploading { .. } => None,
            Self::Completed { finished_at, .. } => Some(*finished_at),
            Self::Failed { ended, .. } | Self::Cancelled { ended } => Some(ended.finished_at),
        }
    }

    /// Where the result is, once there is one.
    #[must_use]
    pub fn output_url(&self) -> Option<&str> {
        if let Self::Completed { output_url, .. } = self { Some(output_url) } else { None }
    }

    /// What failed and why, if it did.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        if let Self::Failed { error, .. } = self { Some(error) } else { None }
    }
}

impl Report {
    /// True where the attempt has ended with it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Planned(_)) || self.status().is_terminal()
    }

    /// The status that it reports.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Queued => Status::Queued,
            Self::Processing(_) | Self::Planned(_) => Status::Processing,
            Self::Uploading => Status::Uploading,
            Self::Completed { .. } => Status::Completed,
            Self::Failed { .. } => Status::Failed,
            Self::Cancelled => Status::Cancelled,
        }
    }
}

impl Status {
    /// Every status, in the order of a job's life.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Processing, Self::Uploading, Self::Completed, Self::Failed, Self::Cancelled];

    /// The name that clients see: the one of the wire contract's enum.
    #[must_use]
    pub fn name(self) -> &'static str {
        let status = match self {
            Self::Queued => JobStatus::Queued,
            Self::Processing => JobStatus::Processing,
            Self::Uploading => JobStatus::Uploading,
            Self::Completed => JobStatus::Completed,
            Self::Failed => JobStatus::Failed,
            Self::Cancelled => JobStatus::Cancelled,
        };
        status.as_str_name()
    }

    /// True where nothing follows.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Queued | Self::Processing | Self::Uploading => false,
            Self::Completed | Self::Failed | Self::Cancelled => true,
        }
    }
}

#[cfg(test)]
mod tests;
