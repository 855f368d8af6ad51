//! What every job does with its finished output, whole or joined: look at it, and publish it.

use std::{
    io,
    path::{Path, PathBuf},
};

use preset::Preset;
use url::Url;

use super::{Workshop, failure::Failure};
use crate::{
    failure::Blame,
    permit::Permit,
    uploader::{self, Artifact, Destination, Storage},
    validator::{self, Subject},
};

/// Proves an output whole.
pub(super) async fn validate(workshop: &Workshop, subject: &Subject<'_>, permit: &Permit) -> Result<(), Failure> {
    match workshop.validator.validate(subject, permit.token()).await {
        Ok(report) if report.is_whole() => {
            for finding in &report.findings {
                tracing::warn!(%finding, "output is whole, but");
            }
            Ok(())
        }
        Ok(report) => Err(Failure::validation(&report, report.blame())),
        Err(validator::Error::Cancelled) => Err(Failure::Stopped),
        Err(error) => Err(Failure::validation(&error, error.blame())),
    }
}

/// Publishes an output, and answers where it is.
pub(super) async fn publish(
    storage: &Storage,
    destination: &Destination,
    preset: &Preset,
    output: PathBuf,
    scratch: &Path,
    permit: &Permit,
) -> Result<Url, Failure> {
    let artifact = match preset.entry_file() {
        None => Artifact::File(output),
        Some(entry) => {
            let files = list(&output).await?;
            Artifact::directory(output, files, Path::new(entry))
        }
    };
    storage.publish(&artifact, destination, scratch, permit).await.map_err(|error| match error {
        uploader::Error::Cancelled => Failure::Stopped,
        error => Failure::upload(&error, error.blame()),
    })
}

/// The files below `root`, relative to it.
pub(super) async fn list(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let root = root.to_owned();
    let listed = tokio::task::spawn_blocking(move || walk(&root)).await.map_err(io::Error::other).flatten();
    listed.map_err(|error| Failure::upload(&error, Blame::Infrastructure))
}

fn walk(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if let Ok(relative) = entry.path().strip_prefix(root) {
                files.push(relative.to_owned());
            }
        }
    }
    Ok(files)
}
