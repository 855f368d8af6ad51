//! Split jobs from stored parts to published output, in a folder and on an S3 server.

use std::fs;

use proto::v1::{JobProgress, StoredFile};
use rstest::rstest;
use service::feed::Feed;
use tempfile::TempDir;

use super::*;
use crate::{
    input::Policy,
    media::known::Known,
    proof::tests::fixture::{DASH, Job, LADDER, LIMITS, MP4, tools},
    uploader::{Content, Local, S3Client, S3Settings, Storages, Timing, tests::Server},
    validator::{Level, Validator},
};

const PARENT: &str = "parent";

/// A finish task and all that it needs.
struct Case {
    job: Job,
    workshop: Workshop,
    storage: Storage,
    root: PathBuf,
    chunks: Vec<Part>,
    audio: Option<Part>,
    _kept: (Option<TempDir>, Option<Server>),
}

pub(in crate::task) fn workshop() -> Workshop {
    let inputs = Policy { allow_loopback: false, directory: None, patience: LIMITS.stall };
    let settings = S3Settings { region: "x".into(), endpoint: None, credentials: None, timing: Timing::default() };
    Workshop {
        tools: tools(),
        ffmpeg: crate::certificate::Version::default(),
        inputs,
        known: Known::default(),
        limits: LIMITS,
        validator: Validator { tools: tools(), level: Level::Standard, timeout: LIMITS.total },
        storages: Storages::new(None, None),
        s3: S3Client::new(settings),
        work_dir: PathBuf::from("/nonexistent"),
    }
}

impl Case {
    /// With all parts stored.
    async fn new(preset: &'static Preset, in_s3: bool) -> Self {
        let job = Job::new(preset, (25, 1), 0, &[0, 100, 180]);
        job.parts().await;
        let mut case = Self::empty(job, in_s3).await;
        for chunk in 0..2 {
            let files = (0..preset.renditions.len()).map(|rendition| case.job.video(chunk, rendition)).collect();
            let part = case.store(&parts::chunk_name(chunk), files).await;
            case.chunks.push(part);
        }
        case.audio = Some(case.store(parts::AUDIO, vec![case.job.audio()]).await);
        case
    }

    async fn empty(job: Job, in_s3: bool) -> Self {
        let (storage, root, kept) = if in_s3 {
            let server = Server::start(Timing::default()).await;
            (Storage::S3(server.storage()), server.object(""), (None, Some(server)))
        } else {
            let folder = tempfile::tempdir().expect("a folder");
            let storage = Storage::Local(Local::new(folder.path()));
            (storage, folder.path().to_owned(), (Some(folder), None))
        };
        parts::mark(&storage, PARENT, &Permit::unleased()).await.expect("answers").expect("marks");
        Self { job, workshop: workshop(), storage, root, chunks: Vec::new(), audio: None, _kept: kept }
    }

    async fn store(&self, name: &str, media: Vec<PathBuf>) -> Part {
        let with_marks = media.into_iter().flat_map(|file| [file.with_extension("marks"), file]);
        let named = |path: PathBuf| (path.file_name().expect("has a name").display().to_string(), path);
        let files = with_marks.map(named).collect();
        let (scratch, permit) = (self.job.folder.path(), Permit::unleased());
        parts::store(&self.storage, PARENT, name, files, None, scratch, &permit).await.expect("stores")
    }

    async fn finish(&self) -> Result<(Url, Certificate), Failure> {
        let scratch = tempfile::tempdir().expect("a folder");
        let source = self.job.probe().await;
        let content = match self.job.preset.entry_file() {
            None => Content::File,
            Some(_) => Content::Directory,
        };
        let destination = Destination { path: "out".into(), metadata: [].into(), content, author: None };
        let order = Finish {
            preset: self.job.preset,
            storage: &self.storage,
            destination: &destination,
            parent: PARENT,
            plan: &self.job.plan,
            chunks: &self.chunks,
            audio: self.audio.as_ref(),
        };
        let (mut reporter, permit) = (Reporter::new("finish".into(), Feed::<JobProgress>::new()), Permit::unleased());
        let bench = Bench { workshop: &self.workshop, finish: order, scratch: scratch.path(), permit: &permit };
        let joined = bench.assemble(&mut reporter).await?;
        bench.publish(joined, Origin { source: &source, commands: Vec::new() }, &mut reporter).await
    }

    async fn why(&self) -> (String, Blame) {
        let failure = self.finish().await.expect_err("is not whole");
        assert!(!self.root.join("out").exists(), "nothing is published");
        match failure {
            Failure::Failed { cause, blame, .. } => (cause, blame),
            Failure::Stopped => panic!("nobody has stopped it"),
        }
    }

    fn published(&self, file: &StoredFile) -> PathBuf {
        if file.path.is_empty() { self.root.join("out") } else { self.root.join("out").join(&file.path) }
    }
}

#[rstest]
#[case::mp4(&MP4)]
#[case::ladder(&LADDER)]
#[case::dash(&DASH)]
#[tokio::test]
async fn parts_become_an_output_with_a_certificate_and_go(
    #[case] preset: &'static Preset,
    #[values(false, true)] in_s3: bool,
) {
    let case = Case::new(preset, in_s3).await;
    let (url, certificate) = case.finish().await.expect("is whole");
    assert!(url.path().ends_with(preset.entry_file().unwrap_or("out")), "{url}");
    assert_eq!(certificate.renditions.len(), preset.renditions.len());
    for rendition in &certificate.renditions {
        assert_eq!((rendition.frames_expected, rendition.frames_found), (Some(180), Some(180)));
    }
    let audio = certificate.audio.expect("has sound");
    assert_eq!((audio.sample_rate, audio.samples_found), (48_000, audio.samples_expected));
    assert!(certificate.checks.iter().any(|check| check.name == "seams"), "{:?}", certificate.checks);
    assert!(certificate.commands.iter().all(|run| run.arguments.iter().all(|argument| !argument.contains("/tmp"))));
    for file in &certificate.files {
        let sum = parts::sum(&case.published(file), &Permit::unleased()).expect("is there");
        assert_eq!((sum.size, sum.sha256.as_slice()), (file.size, file.sha256.as_slice()), "{}", file.path);
    }
    clean_up(&case.storage, PARENT, &Permit::unleased()).await.expect("removes");
    assert!(!case.root.join(".flux-parts/parent/chunk-00000/v0.mp4").exists());
}

#[tokio::test]
async fn a_part_that_has_changed_is_the_machines_fault() {
    let case = Case::new(&MP4, false).await;
    let file = case.root.join(".flux-parts/parent/chunk-00001/v0.mp4");
    let mut bytes = fs::read(&file).expect("is there");
    bytes[3000] ^= 1;
    // Nobody writes to a published file; its hash is that of what was stored.
    fs::remove_file(&file).expect("is there");
    fs::write(&file, bytes).expect("writes");
    let (why, blame) = case.why().await;
    assert!(why.ends_with("chunk-00001/v0.mp4: has another SHA-256 than when it was stored"), "{why}");
    assert_eq!(blame, Blame::Infrastructure);
}

#[tokio::test]
async fn a_part_that_is_not_what_was_planned_is_the_jobs_fault() {
    let mut case = Case::new(&MP4, false).await;
    (case.job.plan.chunks[0].frames, case.job.plan.chunks[1].first_frame) = (101, 101);
    let (why, blame) = case.why().await;
    assert_eq!((why.as_str(), blame), ("split: chunk 0 has 100 frames instead of 101", Blame::Job));
}

#[tokio::test]
async fn chunks_that_were_confused_are_the_jobs_fault() {
    let job = Job::new(&MP4, (25, 1), 0, &[0, 90, 180]);
    job.parts().await;
    let mut case = Case::empty(job, false).await;
    // What was encoded is not what the marks speak of.
    let swap = case.job.at("swap.mp4");
    fs::rename(case.job.video(0, 0), &swap).expect("moves");
    fs::rename(case.job.video(1, 0), case.job.video(0, 0)).expect("moves");
    fs::rename(swap, case.job.video(1, 0)).expect("moves");
    for chunk in 0..2 {
        let part = case.store(&parts::chunk_name(chunk), vec![case.job.video(chunk, 0)]).await;
        case.chunks.push(part);
    }
    case.audio = Some(case.store(parts::AUDIO, vec![case.job.audio()]).await);
    let (why, blame) = case.why().await;
    assert_eq!((why.as_str(), blame), ("split: chunk 0: frame 0 (at 0 s) and 89 more are missing", Blame::Job));
}

#[tokio::test]
async fn parts_in_a_storage_that_is_not_shared_are_another_workers() {
    let case = Case::new(&MP4, false).await;
    fs::remove_file(case.root.join(".flux-parts/parent/shared")).expect("is there");
    let (why, blame) = case.why().await;
    assert!(why.starts_with("the parts are not in this worker's storage"), "{why}");
    assert_eq!(blame, Blame::Infrastructure);
}

#[tokio::test]
async fn parts_that_are_not_those_of_the_plan_are_refused() {
    let mut case = Case::new(&MP4, false).await;
    case.chunks.pop();
    assert_eq!(case.why().await, ("split: the parts are not those of the plan".to_owned(), Blame::Job));
}
