//! What becomes of a job that is not taken, as gRPC says it.

use tonic::Status;

use crate::{
    input,
    task::{Refusal, Rejection},
    uploader,
};

/// The code says whether another worker may do better.
pub(super) fn refused(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Full => Status::resource_exhausted(refusal.to_string()),
        Refusal::Stopping | Refusal::Late => Status::unavailable(refusal.to_string()),
        Refusal::Duplicate => Status::already_exists(refusal.to_string()),
    }
}

/// The code says whose mistake it is.
pub(super) fn rejected(rejection: &Rejection) -> Status {
    match rejection {
        Rejection::Input(input::Error::NoDirectory) | Rejection::Storage(uploader::Error::NotConfigured { .. }) => {
            Status::failed_precondition(rejection.to_string())
        }
        Rejection::JobId
        | Rejection::Preset(_)
        | Rejection::NoOutput
        | Rejection::OutputType { .. }
        | Rejection::Metadata
        | Rejection::ChunkSeconds
        | Rejection::PlannedPart
        | Rejection::Task(_)
        | Rejection::Frames(_)
        | Rejection::Input(_)
        | Rejection::Storage(_) => Status::invalid_argument(rejection.to_string()),
    }
}
