//! Why a worker did not do what it was asked.

use std::{error::Error as _, time::Duration};

use tonic::{Code, Status};
use tower::BoxError;

use crate::text;

/// Why a worker did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection to it.
    #[error("cannot connect")]
    Connect(#[source] BoxError),
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// It has no slot, or is stopping.
    #[error("takes no job now: {0}")]
    Unavailable(String),
    /// The request can run nowhere.
    #[error("refuses the request: {0}")]
    Refused(String),
    /// The request cannot run there, for want of a storage, its credentials or an input folder; another worker may have it.
    #[error("is not set up for the request: {0}")]
    NotSetUp(String),
    /// It has no such attempt.
    #[error("does not know the attempt: {0}")]
    Unknown(String),
    /// It answered anything else.
    #[error("answers {code:?}: {message}")]
    Failed {
        /// The gRPC code.
        code: Code,
        /// What the worker says.
        message: String,
    },
    /// The connection broke before it answered.
    #[error("the connection broke: {0}")]
    Broken(String),
}

impl Error {
    /// True where the worker was silent, false where it is known not to serve.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// True where the worker may have done what it was asked: nobody heard its answer.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        match self {
            Self::Timeout(_) | Self::Broken(_) => true,
            Self::Connect(_)
            | Self::Unavailable(_)
            | Self::Refused(_)
            | Self::NotSetUp(_)
            | Self::Unknown(_)
            | Self::Failed { .. } => false,
        }
    }

    /// The error with its causes, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Some causes say again what caused them.
            if !line.ends_with(&cause_text) {
                line = format!("{line}: {cause_text}");
            }
            source = cause.source();
        }
        text::clean(&line)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        // A status that the worker sent has no cause here; one that the connection's end made has.
        if let Some(cause) = status.source() {
            return Self::Broken(text::clean(&cause.to_string()));
        }
        let message = text::clean(status.message());
        match status.code() {
            Code::ResourceExhausted | Code::Unavailable => Self::Unavailable(message),
            Code::InvalidArgument => Self::Refused(message),
            Code::FailedPrecondition => Self::NotSetUp(message),
            Code::NotFound => Self::Unknown(message),
            code => Self::Failed { code, message },
        }
    }
}
