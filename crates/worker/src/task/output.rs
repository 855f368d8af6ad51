//! What every job does with its finished output, whole or joined: look at it, and publish it.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use preset::Preset;
use proto::v1::{Certificate, StoredFile};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Workshop, failure::Failure};
use crate::{
    certificate::{self, Counts, Facts, Survey},
    failure::Blame,
    folder::files_below,
    media::Index,
    permit::Permit,
    uploader::{self, Artifact, Draft, Publication, inner::Sum},
    validator::{self, Report, Subject, Validator},
};

/// How an output was encoded whole.
#[derive(Debug, Default)]
pub(super) struct Origin {
    /// By which commands, with nothing secret in them.
    pub(super) commands: Vec<Vec<String>>,
    /// How many frames each rendition was given, where ffmpeg told.
    pub(super) frames: Option<u64>,
    /// What is known of it already, and still true.
    pub(super) survey: Survey,
}

/// Proves an output whole. Answers what is in it, where it is a single file.
pub(super) async fn validate(
    workshop: &Workshop,
    subject: &Subject<'_>,
    permit: &Permit,
) -> Result<Option<Index>, Failure> {
    let report = workshop.validator.validate(subject, permit.token()).await.map_err(judging)?;
    judge(&report)?;
    Ok(report.index)
}

fn judge(report: &Report) -> Result<(), Failure> {
    if !report.is_whole() {
        return Err(Failure::validation(report, report.blame()));
    }
    for finding in &report.findings {
        tracing::warn!(%finding, "output is whole, but");
    }
    Ok(())
}

/// Proves an output that was encoded whole, and counts and hashes what is in it meanwhile. Answers its certificate.
pub(super) async fn certify(
    workshop: &Workshop,
    subject: &Subject<'_>,
    Origin { commands, frames, survey }: Origin,
    permit: &Permit,
) -> Result<Certificate, Failure> {
    let Workshop { tools, validator, ffmpeg, .. } = workshop;
    let (report, counted, files, ffmpeg_version) = tokio::join!(
        validator.validate(subject, permit.token()),
        count(workshop, subject, &survey, permit),
        hash(subject.preset, subject.output, survey.sums(), permit),
        ffmpeg.of(tools),
    );
    let mut report = report.map_err(judging)?;
    let found = report.index.map(Counts::of_file).map_or(counted, Ok);
    let (Subject { preset, source, .. }, level) = (*subject, validator.level);
    // Frames that are gone may be why it is too short, and then the machine is to blame.
    report.findings.extend(found.iter().flat_map(|found| Validator::count(preset, frames, &found.frames)));
    // What the validator says of a bad output is clearer.
    judge(&report)?;
    let (found, files) = (found?, files?);
    if frames.is_some() && !found.has_all_frames(preset.renditions.len()) {
        tracing::warn!(found = ?found.frames, "the frames of a rendition cannot be counted, and are not compared");
    }
    let (chunks, samples) = (None, None);
    Ok(Facts { preset, source, level, chunks, frames, samples, found, files, ffmpeg_version, commands }.certify())
}

/// Counts what is in the segments of an output. Of a single file, whoever proves it counts what is in it.
async fn count(
    workshop: &Workshop,
    subject: &Subject<'_>,
    survey: &Survey,
    permit: &Permit,
) -> Result<Counts, Failure> {
    if subject.preset.entry_file().is_none() {
        return Ok(Counts::default());
    }
    let Workshop { tools, validator, limits, .. } = workshop;
    let tracks = validator.tracks(subject, permit.token()).await.map_err(judging)?;
    let renditions = subject.preset.renditions.len();
    let counted =
        certificate::count(tools, renditions, &tracks, survey, subject.scratch, limits.total, permit.token()).await;
    counted.map_err(judging)
}

/// Length and hash of every file of an output, as far as they are not known.
pub(super) async fn hash(
    preset: &Preset,
    output: &Path,
    known: HashMap<PathBuf, Sum>,
    permit: &Permit,
) -> Result<Vec<StoredFile>, Failure> {
    let names = match preset.entry_file() {
        None => None,
        Some(_) => Some(list(output).await?),
    };
    certificate::files(output, names, known, permit).await.map_err(publishing)
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
        let of = |frames| Origin { frames, ..Origin::default() };
        let certificate = certify(&workshop, &subject, of(Some(130)), &permit).await.expect("is whole");
        for rendition in &certificate.renditions {
            assert_eq!((rendition.frames_expected, rendition.frames_found), (Some(130), Some(130)));
        }
        let paths: Vec<_> = certificate.files.iter().map(|file| file.path.as_str()).collect();
        assert!(paths.contains(&"master.m3u8") && paths.contains(&"96p/segment_00002.ts"), "{paths:?}");
        certify(&workshop, &subject, of(None), &permit).await.expect("nobody knows how many there were");
        let lossy = certify(&workshop, &subject, of(Some(131)), &permit).await;
        let cause = "FRAME_COUNT_MISMATCH: 144p: 131 frames were encoded, and 130 are there; \
                     FRAME_COUNT_MISMATCH: 96p: 131 frames were encoded, and 130 are there";
        assert_eq!(lossy.err(), Some(Failure::validation(cause, Blame::Infrastructure)));
        permit.token().cancel();
        let stopped = certify(&workshop, &subject, of(None), &permit).await;
        assert_eq!(stopped.err(), Some(Failure::Stopped));
    }

    #[tokio::test]
    async fn frames_that_are_gone_are_the_machines_fault_however_it_shows() {
        let job = Job::new(&LADDER, (25, 1), 0, &[0, 130]);
        let (output, mut source, workshop) = (job.whole().await, job.probe().await, workshop());
        source.duration = Some(60.0);
        source.video.iter_mut().for_each(|video| video.duration = Some(60.0));
        let scratch = job.at("proof");
        let subject = Subject { preset: &LADDER, source: &source, output: &output, scratch: &scratch };
        for (frames, expected) in [(130, Blame::Job), (1500, Blame::Infrastructure)] {
            let origin = Origin { frames: Some(frames), ..Origin::default() };
            match certify(&workshop, &subject, origin, &Permit::unleased()).await {
                Err(Failure::Failed { cause, blame, .. }) => {
                    assert!(cause.starts_with("DURATION_TOO_SHORT: "), "{cause}");
                    assert_eq!(blame, expected, "{cause}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
