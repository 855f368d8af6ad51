//! Why a job ended without a result: the phase that failed, the cause, and who can mend it.

use std::fmt::Display;

use proto::v1::FailureKind;

use crate::failure::Blame;

/// How a job ended without a result.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// Something failed.
    #[error("{phase} failed: {cause}")]
    Failed {
        /// What was being done.
        phase: &'static str,
        /// Why it failed.
        cause: String,
        /// Who can mend it.
        blame: Blame,
    },
    /// It was stopped.
    #[error("stopped")]
    Stopped,
}

impl Failure {
    /// Failed before or during the encode.
    pub(super) fn encoding(cause: impl Display, blame: Blame) -> Self {
        Self::Failed { phase: "encoding", cause: cause.to_string(), blame }
    }

    /// The result is not whole, or that could not be found out.
    pub(super) fn validation(cause: impl Display, blame: Blame) -> Self {
        Self::Failed { phase: "validation", cause: cause.to_string(), blame }
    }

    /// The result could not be published.
    pub(super) fn upload(cause: impl Display, blame: Blame) -> Self {
        Self::Failed { phase: "upload", cause: cause.to_string(), blame }
    }
}

/// As the wire says it.
pub(super) fn kind(blame: Blame) -> FailureKind {
    match blame {
        Blame::Job => FailureKind::Job,
        Blame::Infrastructure => FailureKind::Infrastructure,
    }
}
