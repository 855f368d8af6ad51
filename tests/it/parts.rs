//! The parts of a split job, as a control plane asks a worker for them.

use std::path::PathBuf;

use e2e::{Sandbox, Worker, clips, s3};
use proto::v1::{
    AudioTask, ChunkTask, CleanupTask, FailureKind, FinishTask, JobProgress, JobRequest, JobStatus, OutputConfig, Part,
    Plan, PlanRequest, Task, task::Kind,
};
use rstest::rstest;
use tonic::Code;

fn request(job_id: &str, input_url: &str, preset: &str) -> JobRequest {
    let output = OutputConfig { storage: "local".into(), path: "output".into(), ..OutputConfig::default() };
    JobRequest {
        job_id: job_id.into(),
        input_url: input_url.into(),
        preset: preset.into(),
        output: Some(output),
        ..JobRequest::default()
    }
}

/// All events of a job that may be split.
async fn plan(worker: &Worker, job: JobRequest, chunk_seconds: f64) -> Vec<JobProgress> {
    let request = PlanRequest { job: Some(job), chunk_seconds };
    let mut stream = worker.client().plan_job(request).await.expect("taken").into_inner();
    let mut events = Vec::new();
    while let Some(event) = stream.message().await.expect("an event") {
        events.push(event);
    }
    events
}

/// The last event of a part of the job named `job`.
async fn part(worker: &Worker, request: JobRequest, kind: Kind) -> Result<JobProgress, tonic::Status> {
    let task = Some(Task { job_id: "job".into(), kind: Some(kind) });
    let mut stream = worker.client().submit_job(JobRequest { task, ..request }).await?.into_inner();
    let mut last = JobProgress::default();
    while let Some(event) = stream.message().await? {
        last = event;
    }
    Ok(last)
}

fn chunks(plan: &Plan) -> Vec<Kind> {
    let chunk = |(index, chunk)| Kind::Chunk(ChunkTask { index, grid: plan.grid, chunk: Some(chunk) });
    (0..).zip(plan.chunks.iter().copied()).map(chunk).collect()
}

#[tokio::test]
async fn a_long_job_is_planned_and_its_parts_can_be_made() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().env("MAX_CONCURRENT_JOBS", &4).start().await;
    let input = sandbox.input(&clips::long());
    let events = plan(&worker, request("job", &input, "hls_720p_abr"), 7.0).await;
    let last = events.last().expect("an event");
    assert_eq!((last.status(), last.whole.as_str()), (JobStatus::Planned, ""), "{last:?}");
    let plan = last.plan.as_ref().expect("a plan");
    let lengths: Vec<_> = plan.chunks.iter().map(|chunk| (chunk.first_frame, chunk.frames)).collect();
    // Whole segments of six seconds.
    assert_eq!(lengths, [(0, 150), (150, 150), (300, 150), (450, 150), (600, 150)]);
    assert!(plan.has_audio);
    let mut stored = Vec::new();
    for (number, kind) in chunks(plan).into_iter().chain([Kind::Audio(AudioTask {})]).enumerate() {
        let request = request(&format!("task-{number}"), &input, "hls_720p_abr");
        let last = part(&worker, request, kind).await.expect("taken");
        assert_eq!(last.status(), JobStatus::Completed, "{last:?}");
        stored.push(last.part.expect("a part"));
    }
    let audio = stored.pop();
    let names = |part: &Part| part.files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&stored[3]), ["v0.marks", "v0.mp4", "v1.marks", "v1.mp4", "v2.marks", "v2.mp4"]);
    assert_eq!(audio.as_ref().map(names).unwrap_or_default(), ["a.marks", "a.mp4"]);
    let finish = Kind::Finish(FinishTask { plan: Some(plan.clone()), chunks: stored, audio });
    let last = part(&worker, request("finish", &input, "hls_720p_abr"), finish).await.expect("taken");
    assert_eq!(last.status(), JobStatus::Completed, "{last:?}");
    assert!(last.output_url.ends_with("/output/master.m3u8"), "{last:?}");
    let certificate = last.certificate.expect("a certificate");
    assert!(certificate.renditions.iter().all(|rendition| rendition.frames_found == Some(750)), "{certificate:?}");
    let last = part(&worker, request("task-3", &input, "hls_720p_abr"), Kind::Cleanup(CleanupTask {})).await;
    assert_eq!(last.expect("taken").status(), JobStatus::Completed);
    let left = sandbox.outputs();
    assert!(!left.is_empty() && left.iter().all(|path| path.starts_with("output")), "{left:?}");
}

#[tokio::test]
async fn a_short_job_is_not_split_and_says_why() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let events = plan(&worker, request("job", &sandbox.input(&clips::short()), "480p_h264"), 15.0).await;
    let (first, last) = (&events[0], events.last().expect("an event"));
    assert_eq!((first.status(), first.whole.as_str()), (JobStatus::Queued, ""));
    assert_eq!((last.status(), last.whole.as_str()), (JobStatus::Completed, "shorter than two chunks of 15 s"));
    let told = events.iter().find(|event| !event.whole.is_empty()).expect("told");
    assert_eq!(told.status(), JobStatus::Processing);
    assert_eq!(sandbox.outputs(), ["output"]);
}

/// A source that is quickly encoded.
fn small() -> PathBuf {
    let (picture, sound) = ("testsrc2=size=160x90:rate=25:duration=8", "sine=duration=8");
    let steps = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-c:v", "libx264", "-preset", "ultrafast"];
    clips::made("small.mp4", &steps)
}

/// It, damaged in a third of its pictures.
fn as_long() -> Vec<u8> {
    let mut bytes = std::fs::read(small()).expect("a clip");
    let length = bytes.len();
    bytes[length / 3..length * 2 / 3].iter_mut().for_each(|byte| *byte ^= 1);
    bytes
}

fn of_another_length() -> Vec<u8> {
    let picture = "testsrc2=size=64x36:rate=25:duration=8";
    let steps = ["-f", "lavfi", "-i", picture, "-c:v", "libx264", "-preset", "ultrafast"];
    std::fs::read(clips::made("other.mp4", &steps)).expect("a clip")
}

/// Plans the job and makes its parts, lets somebody replace its source, and asks for a part and the finish.
async fn is_not_mixed(worker: &Worker, input: &str, replace: impl Future<Output = ()>) {
    let events = plan(worker, request("job", input, "480p_h264"), 3.0).await;
    let plan = events.last().and_then(|event| event.plan.clone()).expect("a plan");
    let mut stored = Vec::new();
    for (number, kind) in chunks(&plan).into_iter().chain([Kind::Audio(AudioTask {})]).enumerate() {
        let last = part(worker, request(&format!("task-{number}"), input, "480p_h264"), kind).await.expect("taken");
        stored.push(last.part.expect("a part"));
    }
    let audio = stored.pop();
    let finish = Kind::Finish(FinishTask { plan: Some(plan.clone()), chunks: stored, audio });
    replace.await;
    for (name, kind) in [("again", chunks(&plan).swap_remove(1)), ("finish", finish)] {
        let last = part(worker, request(name, input, "480p_h264"), kind).await.expect("taken");
        assert_eq!((last.status(), last.failure_kind()), (JobStatus::Failed, FailureKind::Job), "{last:?}");
        assert!(last.error.contains("the source was replaced"), "{last:?}");
    }
}

#[rstest]
#[case::of_another_length(of_another_length)]
#[case::as_long(as_long)]
#[tokio::test]
async fn a_file_that_was_replaced_is_not_mixed_with_the_one_before(#[case] other: fn() -> Vec<u8>) {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let input = sandbox.input(&small());
    let path = input.strip_prefix("file://").expect("a file");
    is_not_mixed(&worker, &input, async {
        std::fs::remove_file(path).expect("there");
        std::fs::write(path, other()).expect("written");
    })
    .await;
}

#[rstest]
#[case::of_another_length(of_another_length)]
#[case::as_long(as_long)]
#[tokio::test]
async fn an_object_that_was_replaced_is_not_mixed_with_the_one_before(#[case] other: fn() -> Vec<u8>) {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let worker = sandbox.worker().s3(&server.endpoint(), s3::ACCESS_KEY, s3::SECRET_KEY).start().await;
    let client = server.client();
    let put = async |bytes: Vec<u8>| {
        let put = client.put_object().bucket(s3::BUCKET).key("in.mp4").body(bytes.into());
        put.send().await.expect("is stored");
    };
    put(std::fs::read(small()).expect("a clip")).await;
    is_not_mixed(&worker, "s3://media/in.mp4", Box::pin(put(other()))).await;
}

#[tokio::test]
async fn unsteady_frames_are_not_split() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let picture = "testsrc2=size=160x90:rate=25:duration=12,select=not(mod(n\\,7))+not(mod(n\\,3))";
    let steps = ["-f", "lavfi", "-i", picture, "-fps_mode", "vfr", "-c:v", "libx264", "-preset", "ultrafast"];
    let input = sandbox.input(&clips::made("unsteady.mp4", &steps));
    let events = plan(&worker, request("job", &input, "480p_h264"), 2.0).await;
    let last = events.last().expect("an event");
    assert_eq!((last.status(), last.whole.as_str()), (JobStatus::Completed, "frames are not evenly spaced"));
}

#[tokio::test]
async fn a_worker_without_the_jobs_parts_takes_none() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let request = request("task", &sandbox.input(&clips::short()), "480p_h264");
    let refused = part(&worker, request, Kind::Audio(AudioTask {})).await.expect_err("refused");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
}

#[tokio::test]
async fn what_cannot_be_a_part_or_a_plan_is_refused() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let request = || request("job", &sandbox.input(&clips::short()), "480p_h264");
    let empty = Kind::Chunk(ChunkTask::default());
    assert_eq!(part(&worker, request(), empty).await.expect_err("refused").code(), Code::InvalidArgument);
    for chunk_seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let request = PlanRequest { job: Some(request()), chunk_seconds };
        let refused = worker.client().plan_job(request).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
}
