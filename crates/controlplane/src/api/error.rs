//! What clients are told when something is wrong: one table from error to status.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::idempotency_key;
use crate::{
    dispatcher::{CancelError, SubmitError},
    job::spec::Invalid,
    store,
};

/// The body of every error.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ErrorBody {
    /// What is wrong.
    #[schema(example = "input_url: is required")]
    error: String,
    /// The field of the request that is wrong, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "input_url")]
    field: Option<String>,
}

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No `Authorization` header.
    #[error("missing authorization header")]
    MissingAuthorization,
    /// An `Authorization` header that is not `Bearer <key>`.
    #[error("invalid authorization header format")]
    InvalidAuthorization,
    /// Another key.
    #[error("invalid api key")]
    InvalidKey,
    /// A body that is not JSON.
    #[error("invalid JSON: {0}")]
    Syntax(String),
    /// A field with the wrong JSON type.
    #[error("{field}: {reason}")]
    Type {
        /// Its path.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// A field that is missing or wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A parameter of the query that is wrong.
    #[error("{name}: {reason}")]
    Parameter {
        /// Which.
        name: String,
        /// What is wrong and what is right.
        reason: String,
    },
    /// A body over the limit.
    #[error("the body is longer than {} bytes", super::MAX_BODY)]
    TooLarge,
    /// A body that did not arrive.
    #[error("the body did not arrive whole")]
    Body,
    /// No such route.
    #[error("not found")]
    UnknownRoute,
    /// A route that has other methods.
    #[error("method not allowed")]
    Method,
    /// No such job.
    #[error("job not found")]
    UnknownJob,
    /// A job without a certificate.
    #[error("the job has no certificate: {0}")]
    NoCertificate(&'static str),
    /// A job that was not accepted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// A job that was not cancelled.
    #[error(transparent)]
    Cancel(#[from] CancelError),
    /// The store failed.
    #[error("cannot read the job")]
    Store(#[from] store::Error),
    /// A mistake of ours.
    #[error("internal error")]
    Internal,
}

/// What clients are told while the store is away; why it is away is for the log alone.
const STORE_AWAY: &str = "the job store is not available, try again later";

impl Error {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MissingAuthorization | Self::InvalidAuthorization | Self::InvalidKey => StatusCode::UNAUTHORIZED,
            Self::Syntax(_) | Self::Type { .. } | Self::Invalid(_) | Self::Parameter { .. } => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body => StatusCode::REQUEST_TIMEOUT,
            Self::UnknownRoute | Self::UnknownJob | Self::NoCertificate(_) | Self::Cancel(CancelError::Unknown) => {
                StatusCode::NOT_FOUND
            }
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Submit(error) => of_submit(error),
            Self::Cancel(CancelError::Finished) => StatusCode::CONFLICT,
            Self::Cancel(CancelError::Store(error)) | Self::Store(error) => of_store(error),
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn body(&self) -> ErrorBody {
        let error = if self.status() == StatusCode::INTERNAL_SERVER_ERROR {
            Self::Internal.to_string()
        } else if self.store().is_some() {
            STORE_AWAY.to_owned()
        } else {
            self.to_string()
        };
        ErrorBody { error, field: self.field().map(str::to_owned) }
    }

    fn field(&self) -> Option<&str> {
        if let Self::Type { field: name, .. } | Self::Parameter { name, .. } = self {
            Some(name)
        } else if let Self::Invalid(invalid) = self {
            Some(invalid.field)
        } else if let Self::Submit(SubmitError::KeyTaken) = self {
            Some(idempotency_key::NAME)
        } else {
            None
        }
    }

    /// What the store said, if that is why.
    fn store(&self) -> Option<&store::Error> {
        if let Self::Submit(SubmitError::Store(error)) | Self::Cancel(CancelError::Store(error)) | Self::Store(error) =
            self
        {
            Some(error)
        } else {
            None
        }
    }

    /// Seconds until it makes sense to try again, with 503.
    fn retry_after(&self) -> u16 {
        if let Self::Submit(SubmitError::UnderWay | SubmitError::Busy) = self { 1 } else { 5 }
    }

    /// What went wrong inside is said here, and nowhere else.
    fn log(&self) {
        if self.status() == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = ?self, "request failed");
        } else if let Some(error) = self.store() {
            tracing::warn!(%error, "request failed");
        }
    }
}

fn of_submit(error: &SubmitError) -> StatusCode {
    match error {
        SubmitError::Refused(_) => StatusCode::BAD_REQUEST,
        SubmitError::KeyTaken => StatusCode::CONFLICT,
        SubmitError::NoWorker
        | SubmitError::QueueFull
        | SubmitError::Busy
        | SubmitError::UnderWay
        | SubmitError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        SubmitError::Store(error) => of_store(error),
    }
}

fn of_store(error: &store::Error) -> StatusCode {
    match error {
        store::Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        store::Error::Conflict(_) | store::Error::KeyTaken | store::Error::QueueFull | store::Error::Broken(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.log();
        let status = self.status();
        let mut response = (status, Json(self.body())).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        } else if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, self.retry_after().into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::job::JobId;

    fn conflict() -> store::Error {
        store::Error::Conflict(JobId::random())
    }

    fn away() -> store::Error {
        store::Error::Unavailable("/var/lib/flux.db: disk full".to_owned())
    }

    fn invalid() -> Invalid {
        Invalid { field: "preset", reason: "is required".to_owned() }
    }

    #[rstest]
    #[case(Error::MissingAuthorization, 401, "missing authorization header")]
    #[case(Error::InvalidAuthorization, 401, "invalid authorization header format")]
    #[case(Error::InvalidKey, 401, "invalid api key")]
    #[case(Error::Syntax("x".to_owned()), 400, "invalid JSON: x")]
    #[case(Error::Type { field: "a.b".to_owned(), reason: "x".to_owned() }, 400, "a.b: x")]
    #[case(Error::Invalid(invalid()), 400, "preset: is required")]
    #[case(Error::Parameter { name: "limit".to_owned(), reason: "x".to_owned() }, 400, "limit: x")]
    #[case(Error::TooLarge, 413, "the body is longer than 262144 bytes")]
    #[case(Error::Body, 408, "the body did not arrive whole")]
    #[case(Error::UnknownRoute, 404, "not found")]
    #[case(Error::Method, 405, "method not allowed")]
    #[case(Error::UnknownJob, 404, "job not found")]
    #[case(SubmitError::NoWorker.into(), 503, "no available workers")]
    #[case(SubmitError::QueueFull.into(), 503, "the queue is full")]
    #[case(SubmitError::KeyTaken.into(), 409, "Idempotency-Key: was used for another request")]
    #[case(SubmitError::UnderWay.into(), 503, "a request with this Idempotency-Key is under way")]
    #[case(SubmitError::Busy.into(), 503, "too many jobs are waiting for a worker")]
    #[case(SubmitError::Stopping.into(), 503, "the service is stopping")]
    #[case(SubmitError::Refused("no s3".to_owned()).into(), 400, "no s3")]
    #[case(SubmitError::Store(conflict()).into(), 500, "internal error")]
    #[case(SubmitError::Store(away()).into(), 503, STORE_AWAY)]
    #[case(CancelError::Unknown.into(), 404, "job not found")]
    #[case(CancelError::Finished.into(), 409, "job is already finished")]
    #[case(CancelError::Store(conflict()).into(), 500, "internal error")]
    #[case(CancelError::Store(away()).into(), 503, STORE_AWAY)]
    #[case(Error::Store(away()), 503, STORE_AWAY)]
    #[case(Error::Store(store::Error::Broken("x".to_owned())), 500, "internal error")]
    #[case(Error::Store(conflict()), 500, "internal error")]
    #[case(Error::Internal, 500, "internal error")]
    fn each_error_has_a_status_and_a_text(#[case] error: Error, #[case] status: u16, #[case] text: &str) {
        assert_eq!((error.status().as_u16(), error.body().error.as_str()), (status, text));
    }

    #[test]
    fn a_wrong_field_is_named_beside_the_text() {
        assert_eq!(Error::Invalid(invalid()).body().field.as_deref(), Some("preset"));
        assert_eq!(Error::from(SubmitError::KeyTaken).body().field.as_deref(), Some("Idempotency-Key"));
        assert_eq!(Error::Internal.body().field, None);
    }

    #[test]
    fn who_is_to_come_back_is_told_when() {
        for (error, seconds) in [(SubmitError::QueueFull, "5"), (SubmitError::UnderWay, "1"), (away().into(), "5")] {
            let response = Error::from(error).into_response();
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds);
        }
        assert!(!Error::UnknownJob.into_response().headers().contains_key(header::RETRY_AFTER));
    }
}
