//! What went wrong between an input's server and ffmpeg, in a sentence for the client.

use std::error::Error;

use hyper::StatusCode;
use tower_http::timeout::TimeoutError;

use super::connect;

/// Why an input could not be read, as the guard saw it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] connect::Error),
    /// Connected, asked, and heard nothing.
    #[error("{0} accepts connections but does not answer")]
    NoAnswer(String),
    /// It answered something that is not HTTP, or hung up.
    #[error("{0} broke the connection: {1}")]
    Broken(String, String),
    /// It stopped in the middle of an answer.
    #[error("{0} stopped sending")]
    Stopped(String),
    /// ffmpeg broke off TLS with the guard.
    #[error("{0} cannot be asked: ffmpeg and the worker do not agree on TLS: {1}")]
    Guard(String, String),
    /// ffmpeg asked for something that is no URL.
    #[error("names something that is no URL")]
    Malformed,
    /// It answered with an error.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// One redirect after the other.
    #[error("{0} redirects too often")]
    Redirects(String),
    /// Neither http nor https.
    #[error("only http and https can be read over the network")]
    NotHttp,
}

impl Trouble {
    /// From a failed request to `host`.
    pub(super) fn of(host: String, error: &hyper_util::client::legacy::Error) -> Self {
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(connect) = inner.downcast_ref::<connect::Error>() {
                return Self::Connect(connect.clone());
            }
            cause = inner.source();
        }
        Self::broken(host, error)
    }

    /// The answer of `host` broke off: the first cause says how.
    pub(super) fn broken(host: String, error: &(dyn Error + 'static)) -> Self {
        if error.is::<TimeoutError>() {
            return Self::Stopped(host);
        }
        let mut first = error;
        while let Some(cause) = first.source() {
            first = cause;
        }
        Self::Broken(host, first.to_string())
    }

    /// True when a rule said no.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Connect(connect::Error::Forbidden { .. }) | Self::NotHttp => true,
            Self::Connect(_)
            | Self::NoAnswer(_)
            | Self::Broken(..)
            | Self::Stopped(_)
            | Self::Guard(..)
            | Self::Malformed
            | Self::Status(_)
            | Self::Redirects(_) => false,
        }
    }

    /// What ffmpeg is told.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Connect(connect::Error::TimedOut(_)) | Self::NoAnswer(_) | Self::Stopped(_) => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Connect(connect::Error::Forbidden { .. }) | Self::NotHttp => StatusCode::FORBIDDEN,
            Self::Connect(_) | Self::Broken(..) | Self::Guard(..) | Self::Malformed | Self::Redirects(_) => {
                StatusCode::BAD_GATEWAY
            }
            Self::Status(status) => *status,
        }
    }
}
