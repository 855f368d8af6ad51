//! Publishes into a folder.
//!
//! Files are staged beside, in a work folder on the same file system, and synced to the disk; only then are they
//! renamed into place one by one, in the order of publication. The renames are not interrupted by a cancellation, since
//! they take no time, but by the end of the lease. Before the last one a [`receipt`] is written.
//!
//! A client cannot make symbolic links here, but an operator can. One on the way to the output is followed only while
//! it stays inside the storage; one at the output's own place is replaced, never written through.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use service::key::RESERVED_PREFIX;
use url::Url;

use self::{place::Placement, receipt::Receipt};
use super::{Artifact, Author, Content, Destination, Error};
use crate::{permit::Permit, scratch::Scratch};

mod inner;
mod place;
mod receipt;
mod stage;
#[cfg(test)]
mod tests;

/// How long after its lease a task may still take back what it has published.
pub(super) const MARGIN: Duration = Duration::from_secs(2);

/// A folder that outputs are published into. It is created when it is missing.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    root: PathBuf,
}

/// A file on its way: where it is staged, and its path below the storage's root.
type Staged = (PathBuf, PathBuf);

impl Local {
    /// A storage in the folder `root`.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder of work folders on the storage's own file system, for [`super::recover`].
    pub(crate) fn staging(&self) -> PathBuf {
        self.root.join(format!("{RESERVED_PREFIX}staging"))
    }

    pub(super) async fn check(&self, destination: &Destination) -> Result<(), Error> {
        let (local, destination) = (self.clone(), destination.clone());
        blocking(move || {
            // The only proof that a folder can be written to is to write to it.
            local.stage_folder()?;
            let (path, is_file) = (Path::new(&destination.path), destination.content == Content::File);
            place::check_way(&local.root, if is_file { path.parent().unwrap_or(path) } else { path })?;
            match local.root.join(path) {
                place if is_file && place.is_dir() && !place.is_symlink() => Err(place::is_folder(place)),
                _ => Ok(()),
            }
        })
        .await
    }

    pub(super) async fn publish(
        &self,
        artifact: &Artifact,
        destination: &Destination,
        permit: &Permit,
    ) -> Result<Url, Error> {
        let (local, artifact, destination, permit) =
            (self.clone(), artifact.clone(), destination.clone(), permit.clone());
        blocking(move || {
            let staging = local.stage_folder()?;
            let groups = stage_all(&staging, &artifact, &destination, &permit)?;
            let receipt = destination.author.as_ref().map(|author| Receipt::of(&local.staging(), author));
            Placement::new(&local.root, staging.path(), &permit).place_all(&groups, receipt.as_ref())?;
            local.url(&destination.key(artifact.entry()))
        })
        .await
    }

    /// The key's URL, where an earlier attempt's receipt is for the file that is there.
    pub(super) async fn published(&self, destination: &Destination, key: String) -> Result<Option<Url>, Error> {
        let Some(author) = destination.author.clone() else { return Ok(None) };
        let local = self.clone();
        blocking(move || {
            let is_there = Receipt::of(&local.staging(), &author).is_for(&local.root.join(&key));
            is_there.then(|| local.url(&key)).transpose()
        })
        .await
    }

    pub(super) fn forget(&self, author: &Author) {
        Receipt::of(&self.staging(), author).remove_up_to_now();
    }

    pub(super) fn forget_old(&self) {
        receipt::sweep(&self.staging());
    }

    fn stage_folder(&self) -> Result<Scratch, Error> {
        Scratch::create_unnamed(&self.staging()).map_err(Error::Staging)
    }

    fn url(&self, key: &str) -> Result<Url, Error> {
        let path = std::path::absolute(self.root.join(key)).map_err(Error::io("name", &self.root))?;
        let not_absolute = || Error::io("name", &path)(io::ErrorKind::InvalidFilename.into());
        Url::from_file_path(&path).map_err(|()| not_absolute())
    }
}

/// Stages every file of an output, in its groups.
fn stage_all(
    staging: &Scratch,
    artifact: &Artifact,
    destination: &Destination,
    permit: &Permit,
) -> Result<Vec<Vec<Staged>>, Error> {
    let mut count = 0..;
    let mut stage_one = |(source, name): (PathBuf, Option<&Path>)| {
        let staged = staging.path().join(format!("{}", count.next().unwrap_or(0_u64)));
        stage::stage(&source, &staged, permit)?;
        Ok((staged, destination.key(name).into()))
    };
    artifact.groups().into_iter().map(|group| group.into_iter().map(&mut stage_one).collect()).collect()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Crashed)?
}
