//! Why an output was not published.

use std::{io, path::Path, path::PathBuf};

use service::key;

use crate::{failure::Blame, scratch};

/// Why an output was not published. Each message is one sentence with its causes; there is no source to add.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The worker has no such storage.
    #[error("output.storage: {name:?} is not configured on this worker (set {variable})")]
    NotConfigured {
        /// What the job asks for.
        name: String,
        /// The setting that is missing.
        variable: &'static str,
    },
    /// There is no such storage.
    #[error("output.storage: {0:?} is not one of s3, local")]
    UnknownStorage(String),
    /// The path breaks a rule.
    #[error("output.path {0}")]
    Path(key::Error),
    /// Something that is not a file, or not a folder, is where the output should be.
    #[error("output.path: {} {problem}", path.display())]
    Occupied {
        /// What is there.
        path: PathBuf,
        /// Why it is in the way.
        problem: &'static str,
    },
    /// The caller asked for it.
    #[error("cancelled")]
    Cancelled,
    /// The disk is full, a folder cannot be written to, and so on.
    #[error("cannot {operation} {}: {error}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// How it ended.
        error: io::Error,
    },
    /// The staging folder cannot be had.
    #[error("{0}")]
    Staging(scratch::Error),
    /// S3 did not do it.
    #[error("cannot {operation} s3://{bucket}/{key}: {cause}")]
    S3 {
        /// What was tried.
        operation: &'static str,
        /// In which bucket.
        bucket: String,
        /// With which object.
        key: String,
        /// What S3, or the way to it, said.
        cause: String,
        /// Who can mend it.
        blame: Blame,
    },
    /// What the worker has stored for itself is not what it was.
    #[error("{path}: {problem}")]
    Damaged {
        /// Its path in the storage.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The blocking part died.
    #[error("publishing crashed")]
    Crashed,
}

impl Error {
    /// Who can mend it.
    pub(crate) fn blame(&self) -> Blame {
        match self {
            Self::NotConfigured { .. } | Self::UnknownStorage(_) | Self::Path(_) | Self::Occupied { .. } => Blame::Job,
            Self::Cancelled | Self::Io { .. } | Self::Staging(_) | Self::Damaged { .. } | Self::Crashed => {
                Blame::Infrastructure
            }
            Self::S3 { blame, .. } => *blame,
        }
    }

    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { operation, path, error }
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn a_full_disk_is_named_and_is_not_the_jobs_fault() {
        let error = Error::io("write", Path::new("/storage/film.mp4"))(Errno::ENOSPC.into());
        assert_eq!(error.to_string(), "cannot write /storage/film.mp4: No space left on device (os error 28)");
        assert_eq!(error.blame(), Blame::Infrastructure);
    }
}
