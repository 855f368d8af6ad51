//! Workers that are killed between publishing and saying so.

use e2e::{S3Server, Sandbox, s3, until, worker::WorkerBuilder};
use rstest::rstest;

use super::*;

const EARLIER: &str = "already published by an earlier attempt";

/// Runs an attempt whose worker is killed once the output is `there`, and whom nobody hears.
async fn killed_after_publishing(
    sandbox: &Sandbox,
    job: JobRequest,
    server: Option<&S3Server>,
    there: impl AsyncFn() -> bool,
) {
    let mut worker = with_storage(sandbox.worker(), server).start().await;
    drop(submit(&worker, job).await);
    until("the output is there", &there).await;
    worker.daemon.crash().await;
}

fn with_storage(builder: WorkerBuilder, server: Option<&S3Server>) -> WorkerBuilder {
    match server {
        Some(server) => builder.s3(&server.endpoint(), s3::ACCESS_KEY, s3::SECRET_KEY),
        None => builder,
    }
}

/// The next attempt, on a worker that has no ffmpeg that works.
async fn next_attempt(sandbox: &Sandbox, job: JobRequest, server: Option<&S3Server>) -> JobProgress {
    let ffmpeg = sandbox.script("no-ffmpeg", "exit 1");
    let worker = with_storage(sandbox.worker().env("FFMPEG_PATH", &ffmpeg.display()), server).start().await;
    let last = last(submit(&worker, JobRequest { attempt: 2, ..job }).await).await;
    release(&worker, 2).await;
    last
}

#[rstest]
#[case::a_file("480p_h264", "out/video.mp4")]
#[case::a_directory("hls_720p", "out/video.mp4/playlist.m3u8")]
#[tokio::test]
async fn what_was_published_on_disk_is_not_encoded_again(#[case] preset: &str, #[case] entry: &str) {
    let sandbox = Sandbox::new();
    let job = JobRequest { preset: preset.into(), ..flash(&sandbox, 1) };
    let entry = sandbox.output_dir().join(entry);
    killed_after_publishing(&sandbox, job.clone(), None, async || entry.exists()).await;
    let last = next_attempt(&sandbox, job, None).await;
    assert_eq!((last.status(), &*last.message), (JobStatus::Completed, EARLIER), "{last:?}");
    assert_eq!(last.output_url, format!("file://{}", entry.display()));
    let receipts: Vec<_> =
        e2e::sandbox::files(&sandbox.output_dir()).into_iter().filter(|path| path.contains("receipt")).collect();
    assert_eq!(receipts, [""; 0], "a released result needs no receipt");
}

#[rstest]
#[case::a_file("480p_h264", "out/video.mp4")]
#[case::a_directory("hls_720p", "out/video.mp4/playlist.m3u8")]
#[tokio::test]
async fn what_was_published_in_s3_is_not_encoded_again(#[case] preset: &str, #[case] entry: &str) {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let output = OutputConfig { storage: "s3".into(), path: "out/video.mp4".into(), ..OutputConfig::default() };
    let job = JobRequest { preset: preset.into(), output: Some(output), ..flash(&sandbox, 1) };
    // This server writes what was said of an object a moment after the object, and not at all if nobody waits for it.
    let there = async || {
        let head = server.client().head_object().bucket(s3::BUCKET).key(entry).send().await;
        head.is_ok_and(|head| head.metadata().is_some_and(|said| !said.is_empty()))
    };
    killed_after_publishing(&sandbox, job.clone(), Some(&server), there).await;
    let last = next_attempt(&sandbox, job.clone(), Some(&server)).await;
    assert_eq!((last.status(), &*last.message), (JobStatus::Completed, EARLIER), "{last:?}");
    assert_eq!(last.output_url, format!("s3://media/{entry}"));
    let other = JobRequest { job_id: "job-2".into(), ..job };
    let last = next_attempt(&sandbox, other, Some(&server)).await;
    assert_eq!(last.status(), JobStatus::Failed, "another job's output is not this one's: {last:?}");
}
