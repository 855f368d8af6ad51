//! The job id in a path. What is no id names no job.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};

use super::Error;
use crate::job::JobId;

/// The job id in a path.
#[derive(Debug)]
pub(super) struct JobIdPath(pub(super) JobId);

impl<S: Send + Sync> FromRequestParts<S> for JobIdPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| Error::UnknownJob)?;
        text.parse().map(Self).map_err(|_| Error::UnknownJob)
    }
}
