//! What every job does with its finished output, whole or joined: look at it, and publish it.

use std::{
    io,
    path::{Path, PathBuf},
};

use preset::Preset;
use proto::v1::Certificate;
use url::Url;

use super::{Workshop, failure::Failure};
use crate::{
    certificate::{self, Facts},
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
        Err(error) => Err(judging(error)),
    }
}

/// The certificate of an output that was encoded whole, if it is proved so. `commands` have nothing secret in them.
/// Playlists are made in `scratch`.
pub(super) async fn certify(
    workshop: &Workshop,
    subject: &Subject<'_>,
    commands: Vec<Vec<String>>,
    scratch: &Path,
    permit: &Permit,
) -> Result<Certificate, Failure> {
    let Workshop { tools, validator, limits, ffmpeg, .. } = workshop;
    let Subject { preset, source, output } = *subject;
    let tracks = validator.tracks(subject, permit.token()).await.map_err(judging)?;
    let renditions = preset.renditions.len();
    let found = certificate::count(tools, renditions, &tracks, scratch, limits.total, permit.token()).await;
    let found = found.map_err(judging)?;
    let names = match preset.entry_file() {
        None => None,
        Some(_) => Some(list(output).await?),
    };
    let files = certificate::files(output, names, permit).await.map_err(storing)?;
    let ffmpeg_version = ffmpeg.of(tools).await;
    let level = validator.level;
    let (chunks, frames, samples) = (None, None, None);
    Ok(Facts { preset, source, level, chunks, frames, samples, found, files, ffmpeg_version, commands }.certify())
}

fn judging(error: validator::Error) -> Failure {
    match error {
        validator::Error::Cancelled => Failure::Stopped,
        error => Failure::validation(&error, error.blame()),
    }
}

fn storing(error: uploader::Error) -> Failure {
    match error {
        uploader::Error::Cancelled => Failure::Stopped,
        error => Failure::upload(&error, error.blame()),
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
    storage.publish(&artifact, destination, scratch, permit).await.map_err(storing)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        proof::tests::fixture::{Job, LADDER},
        task::finish::tests::workshop,
    };

    #[tokio::test]
    async fn a_whole_output_has_a_certificate() {
        let job = Job::new(&LADDER, (25, 1), 0, &[0, 130]);
        let (output, source, workshop) = (job.whole().await, job.probe().await, workshop());
        let subject = Subject { preset: &LADDER, source: &source, output: &output };
        let permit = Permit::unleased();
        validate(&workshop, &subject, &permit).await.expect("is whole");
        let certificate = certify(&workshop, &subject, Vec::new(), &job.at("proof"), &permit).await;
        let certificate = certificate.expect("can be told");
        for rendition in &certificate.renditions {
            assert_eq!((rendition.frames_expected, rendition.frames_found), (None, Some(130)));
        }
        let paths: Vec<_> = certificate.files.iter().map(|file| file.path.as_str()).collect();
        assert!(paths.contains(&"master.m3u8") && paths.contains(&"96p/segment_00002.ts"), "{paths:?}");
        permit.token().cancel();
        let stopped = certify(&workshop, &subject, Vec::new(), &job.at("proof"), &permit).await;
        assert_eq!(stopped.err(), Some(Failure::Stopped));
    }
}
