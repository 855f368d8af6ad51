//! One attempt at publishing one output.

use std::path::Path;

use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Artifact, Destination, Error, Local, s3};
use crate::permit::Permit;

/// One attempt at publishing one output. It ends with [`Publication::publish`] or [`Publication::take_back`].
pub(crate) enum Publication<'a> {
    /// Into a bucket.
    S3(Box<s3::Publication<'a>>),
    /// Into a folder.
    Local {
        /// Which one.
        local: &'a Local,
        /// Where in it.
        destination: &'a Destination,
    },
}

/// A directory output that is being made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draft<'a> {
    /// Its folder.
    pub(crate) root: &'a Path,
    /// Path of its entry file, below that.
    pub(crate) entry: &'a Path,
    /// Cancelled once all of it is encoded.
    pub(crate) encoded: &'a CancellationToken,
    /// Cancelled once it is proved, or is not to be published.
    pub(crate) over: &'a CancellationToken,
}

impl Publication<'_> {
    /// Uploads what is finished of an output until that is over. Then it ends soon, and must be waited for. What fails is
    /// left for [`Publication::publish`]. A local disk needs no such help.
    pub(crate) async fn go_ahead(&self, draft: &Draft<'_>, permit: &Permit) {
        match self {
            Self::S3(publication) => publication.go_ahead(draft, permit).await,
            Self::Local { .. } => {}
        }
    }

    /// Publishes an output and says where it is: the file, or the entry file of a directory.
    ///
    /// Once `permit` is over, what runs is ended and taken back; but a publication that has only its last step to go may
    /// still end well, and once the lease is long over nothing is taken back any more.
    ///
    /// # Errors
    /// When the output could not be published whole, after what was there of it has been taken back.
    pub(crate) async fn publish(&self, artifact: &Artifact, permit: &Permit) -> Result<Url, Error> {
        match self {
            Self::S3(publication) => publication.publish(artifact, permit).await,
            Self::Local { local, destination } => local.publish(artifact, destination, permit).await,
        }
    }

    /// Takes back what went ahead of an output that is not to be published.
    pub(crate) async fn take_back(&self, permit: &Permit) {
        match self {
            Self::S3(publication) => publication.undo(permit).await,
            Self::Local { .. } => {}
        }
    }
}
