//! Publishes a finished output, whole or not at all.
//!
//! A storage is S3 or a local folder. Both make an output visible in the same order: segments, then media playlists,
//! then the master playlist or manifest, so that no player ever sees half. When that fails, or the job is cancelled,
//! what this attempt made visible is taken back.
//!
//! A caller ends a publication through its [`Permit`] and waits for the answer. It must not drop the future:
//! what has begun would not be taken back before the next start of a worker (see [`journal`]).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use service::key;
use url::Url;

use crate::permit::Permit;

pub(crate) use artifact::Artifact;
pub(crate) use error::Error;
pub(crate) use local::Local;
pub(crate) use publication::{Draft, Publication};
pub(crate) use recover::recover;
pub(crate) use s3::{S3, S3Client, S3Settings, Timing};

mod artifact;
mod error;
pub(crate) mod inner;
pub(crate) mod journal;
mod local;
mod publication;
mod recover;
mod s3;

/// Where an output goes, and what goes with it.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    /// Key of a single file, or prefix of a directory, below the storage's root.
    pub(crate) path: String,
    /// Stored with every object in S3; a local disk has no place for it.
    pub(crate) metadata: BTreeMap<String, String>,
    /// What `path` is.
    pub(crate) content: Content,
    /// Who publishes, where another attempt may have to know.
    pub(crate) author: Option<Author>,
}

/// The attempt that publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Author {
    /// Id of its job.
    pub(crate) job_id: String,
    /// Its number.
    pub(crate) attempt: u32,
}

/// What the path of a [`Destination`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// The key of one file.
    File,
    /// The prefix of several.
    Directory,
    /// The prefix of several of the worker's own, which no client can name.
    Inner,
}

impl Destination {
    /// The key of a file of the output. `name` is its path inside a directory output, `None` for a single file.
    fn key(&self, name: Option<&Path>) -> String {
        match name {
            None => self.path.clone(),
            Some(name) => format!("{}/{}", self.path.trim_end_matches('/'), name.display()),
        }
    }

    /// Whether the path can be used in any storage.
    pub(crate) fn check_path(&self) -> Result<(), Error> {
        match self.content {
            Content::File => key::check(&self.path).map_err(Error::Path),
            Content::Directory => key::check_prefix(&self.path).map_err(Error::Path),
            Content::Inner => inner::check(&self.path),
        }
    }
}

/// The storages that this worker has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Storages {
    s3: Option<Storage>,
    local: Option<Storage>,
}

impl Storages {
    /// The storages that are configured.
    pub(crate) fn new(s3: Option<S3>, local: Option<Local>) -> Self {
        Self { s3: s3.map(Storage::S3), local: local.map(Storage::Local) }
    }

    /// The folder of work folders that the local storage needs beside its outputs, for [`recover`].
    pub(crate) fn staging(&self) -> Option<PathBuf> {
        match &self.local {
            Some(Storage::Local(local)) => Some(local.staging()),
            Some(Storage::S3(_)) | None => None,
        }
    }

    /// How long after a task must not publish any more it may still take back what it has published.
    pub(crate) fn margin(&self) -> Duration {
        [&self.s3, &self.local].into_iter().flatten().map(Storage::margin).max().unwrap_or_default()
    }

    /// Removes what an attempt, or an earlier one, left for the next to know that it has published. Blocks.
    pub(crate) fn forget(&self, author: &Author) {
        if let Some(Storage::Local(local)) = &self.local {
            local.forget(author);
        }
    }

    /// Removes such things where nobody has asked for it for long. Blocks.
    pub(crate) fn forget_old(&self) {
        if let Some(Storage::Local(local)) = &self.local {
            local.forget_old();
        }
    }

    /// The storage that a job asks for by `output.storage`.
    ///
    /// # Errors
    /// When there is none of that name here. The message says which variable would make one.
    pub(crate) fn get(&self, name: &str) -> Result<&Storage, Error> {
        let (storage, variable) = match name {
            "s3" => (&self.s3, "S3_BUCKET"),
            "local" => (&self.local, "LOCAL_STORAGE_DIR"),
            _ => return Err(Error::UnknownStorage(name.to_owned())),
        };
        storage.as_ref().ok_or_else(|| Error::NotConfigured { name: name.to_owned(), variable })
    }
}

/// A place that outputs are published to. Clones share it.
#[derive(Debug, Clone)]
pub(crate) enum Storage {
    /// A bucket.
    S3(S3),
    /// A folder.
    Local(Local),
}

impl Storage {
    /// Finds out, before the encode, what would certainly stop the publication. Costs no request to S3.
    ///
    /// # Errors
    /// What [`Storage::publish`] would end with.
    pub(crate) async fn check(&self, destination: &Destination) -> Result<(), Error> {
        destination.check_path()?;
        match self {
            Self::S3(_) => Ok(()),
            Self::Local(local) => local.check(destination).await,
        }
    }

    /// Whether it is a bucket.
    pub(crate) fn is_s3(&self) -> bool {
        matches!(self, Self::S3(_))
    }

    /// Begins to publish an output.
    ///
    /// `journal` is the job's work folder: unfinished multipart uploads are noted there, for the case that this process
    /// is killed.
    ///
    /// # Errors
    /// When the path cannot be used.
    pub(crate) fn begin<'a>(
        &'a self,
        destination: &'a Destination,
        journal: &'a Path,
    ) -> Result<Publication<'a>, Error> {
        destination.check_path()?;
        Ok(match self {
            Self::S3(s3) => Publication::S3(Box::new(s3.begin(destination, journal))),
            Self::Local(local) => Publication::Local { local, destination },
        })
    }

    /// Publishes an output at once. See [`Publication::publish`].
    ///
    /// # Errors
    /// When the output could not be published whole, after what was there of it has been taken back.
    pub(crate) async fn publish(
        &self,
        artifact: &Artifact,
        destination: &Destination,
        journal: &Path,
        permit: &Permit,
    ) -> Result<Url, Error> {
        self.begin(destination, journal)?.publish(artifact, permit).await
    }

    /// Where an earlier attempt of the same job has published whole, if one has. `entry` is the path of the entry file
    /// inside a directory output.
    ///
    /// # Errors
    /// When that cannot be found out now.
    pub(crate) async fn published(
        &self,
        destination: &Destination,
        entry: Option<&Path>,
    ) -> Result<Option<Url>, Error> {
        let key = destination.key(entry);
        match self {
            Self::S3(s3) => s3.published(destination, &key).await,
            Self::Local(local) => local.published(destination, key).await,
        }
    }

    fn margin(&self) -> Duration {
        match self {
            Self::S3(s3) => s3.margin(),
            Self::Local(_) => local::MARGIN,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::s3::tests::server::{Network, Server};
    use super::*;
    use crate::failure::Blame;

    #[test]
    fn a_storage_that_is_not_configured_names_its_variable() {
        let storages = Storages::new(None, None);
        let text = |name| storages.get(name).expect_err("none is configured").to_string();
        assert_eq!(text("s3"), r#"output.storage: "s3" is not configured on this worker (set S3_BUCKET)"#);
        assert_eq!(
            text("local"),
            r#"output.storage: "local" is not configured on this worker (set LOCAL_STORAGE_DIR)"#
        );
        assert_eq!(text("ftp"), r#"output.storage: "ftp" is not one of s3, local"#);
    }

    #[tokio::test]
    async fn a_path_that_climbs_out_is_refused_before_anything_is_touched() {
        let storage = Storage::Local(Local::new("/nonexistent/root"));
        let metadata = BTreeMap::new();
        let destination = Destination { path: "../out.mp4".into(), metadata, content: Content::File, author: None };
        let error = storage.check(&destination).await.expect_err("it climbs out");
        assert_eq!(error.to_string(), "output.path holds a segment `.` or `..`");
        assert_eq!(error.blame(), Blame::Job);
    }
}
