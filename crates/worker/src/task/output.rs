//! What every job does with its finished output, whole or joined: look at it, and publish it.

use std::{
    io,
    path::{Path, PathBuf},
};

use preset::Preset;
use proto::v1::Certificate;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Workshop, failure::Failure};
use crate::{
    certificate::{self, Facts, Survey},
    failure::Blame,
    folder::files_below,
    permit::Permit,
    uploader::{self, Artifact, Draft, Publication},
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

/// The certificate of an output that was encoded whole, if it is proved so. `commands` have nothing secret in them, and
/// `survey` is true now.
pub(super) async fn certify(
    workshop: &Workshop,
    subject: &Subject<'_>,
    commands: Vec<Vec<String>>,
    survey: Survey,
    permit: &Permit,
) -> Result<Certificate, Failure> {
    let Workshop { tools, validator, limits, ffmpeg, .. } = workshop;
    let Subject { preset, source, output, scratch } = *subject;
    let tracks = validator.tracks(subject, permit.token()).await.map_err(judging)?;
    let renditions = preset.renditions.len();
    let found = certificate::count(tools, renditions, &tracks, &survey, scratch, limits.total, permit.token()).await;
    let found = found.map_err(judging)?;
    let names = match preset.entry_file() {
        None => None,
        Some(_) => Some(list(output).await?),
    };
    let files = certificate::files(output, names, survey.into_sums(), permit).await.map_err(publishing)?;
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

pub(super) fn publishing(error: uploader::Error) -> Failure {
    match error {
        uploader::Error::Cancelled => Failure::Stopped,
        error => Failure::upload(&error, error.blame()),
    }
}

/// Makes an output and proves it, by `work`. What is finished of a directory output in `root` goes ahead to where it is
/// to be published; `encoded` is cancelled once all of it is finished. If the work fails, that is taken back.
pub(super) async fn make<T>(
    publication: &Publication<'_>,
    preset: &Preset,
    (root, encoded): (&Path, &CancellationToken),
    permit: &Permit,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let over = CancellationToken::new();
    let work = Box::pin(async {
        let _over = over.clone().drop_guard();
        work.await
    });
    let ahead = Box::pin(async {
        if let Some(entry) = preset.entry_file() {
            publication.go_ahead(&Draft { root, entry: Path::new(entry), encoded, over: &over }, permit).await;
        }
    });
    let (made, ()) = tokio::join!(work, ahead);
    if made.is_err() {
        publication.take_back(permit).await;
    }
    made
}

/// Publishes an output, and answers where it is.
pub(super) async fn publish(
    publication: &Publication<'_>,
    preset: &Preset,
    output: PathBuf,
    permit: &Permit,
) -> Result<Url, Failure> {
    let artifact = match preset.entry_file() {
        None => Artifact::File(output),
        Some(entry) => match list(&output).await {
            Ok(files) => Artifact::directory(output, files, Path::new(entry)),
            Err(failure) => {
                publication.take_back(permit).await;
                return Err(failure);
            }
        },
    };
    publication.publish(&artifact, permit).await.map_err(publishing)
}

/// The files below `root`, relative to it.
pub(super) async fn list(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let root = root.to_owned();
    let listed = tokio::task::spawn_blocking(move || files_below(&root)).await.map_err(io::Error::other).flatten();
    listed.map_err(|error| Failure::upload(&error, Blame::Infrastructure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        proof::tests::fixture::{Job, LADDER},
        task::finish::tests::workshop,
        uploader::{Content, Destination, Storage, Timing, tests::Server},
    };

    #[tokio::test]
    async fn work_that_fails_is_not_waited_for_and_taken_back() {
        let server = Server::start(Timing::default()).await;
        let (storage, folder) = (Storage::S3(server.storage()), tempfile::tempdir().expect("a folder"));
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("output")).expect("creates");
        for name in ["segment_0.ts", "segment_1.ts"] {
            std::fs::write(path("output").join(name), "x").expect("writes");
        }
        let destination =
            Destination { path: "out".into(), metadata: [].into(), content: Content::Directory, author: None };
        let publication = storage.begin(&destination, folder.path()).expect("a good path");
        let failure = || Failure::encoding("no", Blame::Job);
        // Nobody says that it is encoded, and so it is not.
        let (encoded, permit, root) = (CancellationToken::new(), Permit::unleased(), path("output"));
        let work = async {
            while !server.object("out/segment_0.ts").exists() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            Err::<(), _>(failure())
        };
        let made = make(&publication, &LADDER, (&root, &encoded), &permit, work).await;
        assert_eq!(made.err(), Some(failure()));
        assert!(!server.object("out/segment_0.ts").exists());
    }

    #[tokio::test]
    async fn a_whole_output_has_a_certificate() {
        let job = Job::new(&LADDER, (25, 1), 0, &[0, 130]);
        let (output, source, workshop) = (job.whole().await, job.probe().await, workshop());
        let scratch = job.at("proof");
        let subject = Subject { preset: &LADDER, source: &source, output: &output, scratch: &scratch };
        let permit = Permit::unleased();
        validate(&workshop, &subject, &permit).await.expect("is whole");
        let certificate = certify(&workshop, &subject, Vec::new(), Survey::default(), &permit).await;
        let certificate = certificate.expect("can be told");
        for rendition in &certificate.renditions {
            assert_eq!((rendition.frames_expected, rendition.frames_found), (None, Some(130)));
        }
        let paths: Vec<_> = certificate.files.iter().map(|file| file.path.as_str()).collect();
        assert!(paths.contains(&"master.m3u8") && paths.contains(&"96p/segment_00002.ts"), "{paths:?}");
        permit.token().cancel();
        let stopped = certify(&workshop, &subject, Vec::new(), Survey::default(), &permit).await;
        assert_eq!(stopped.err(), Some(Failure::Stopped));
    }
}
