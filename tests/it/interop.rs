//! Peers that know the original contract only: a client that drives our worker, a worker that serves our control plane.

mod contract;
mod stub;

use e2e::{
    Sandbox, Worker, clips, job,
    original::{
        CancelRequest, JobProgress, JobRequest, JobStatus, OutputConfig, StatusRequest,
        worker_service_client::WorkerServiceClient,
    },
    statuses,
};
use reqwest::StatusCode;
use tonic::{Code, Streaming, transport::Channel};

use stub::Stub;

type Client = WorkerServiceClient<Channel>;

async fn client(worker: &Worker) -> Client {
    Client::connect(format!("http://{}", worker.address())).await.expect("a connection")
}

fn request(id: &str, input_url: String) -> JobRequest {
    let output = OutputConfig { storage: "local".into(), path: "video.mp4".into(), ..OutputConfig::default() };
    JobRequest {
        job_id: id.into(),
        input_url,
        preset: "480p_h264".into(),
        output: Some(output),
        callback_url: String::new(),
    }
}

async fn rest(mut stream: Streaming<JobProgress>) -> Vec<JobProgress> {
    let mut events = Vec::new();
    while let Some(event) = stream.message().await.expect("an unbroken stream") {
        events.push(event);
    }
    events
}

#[tokio::test]
async fn an_original_client_brings_a_job_to_its_end() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().env("WORKER_ID", "ours").start().await;
    let mut client = client(&worker).await;
    let request = request("a-job", sandbox.input(&clips::short()));
    let stream = client.submit_job(request).await.expect("accepted").into_inner();
    let status = client.get_status(StatusRequest {}).await.expect("a status").into_inner();
    assert_eq!((status.current_jobs, status.max_concurrent_jobs), (1, 2));
    assert_eq!((status.active_job_ids, status.worker_id.as_str()), (vec!["a-job".to_owned()], "ours"));
    assert!(!status.version.is_empty());
    let events = rest(stream).await;
    let mut order: Vec<_> = events.iter().map(JobProgress::status).collect();
    order.dedup();
    assert_eq!(order, [JobStatus::Queued, JobStatus::Processing, JobStatus::Uploading, JobStatus::Completed]);
    assert!(events.is_sorted_by(|a, b| a.progress <= b.progress), "{events:?}");
    assert!(events.iter().all(|event| event.job_id == "a-job" && event.timestamp.ends_with('Z')), "{events:?}");
    let last = events.last().expect("an event");
    assert_eq!(last.output_url, format!("file://{}/video.mp4", sandbox.output_dir().display()));
}

#[tokio::test]
async fn an_original_client_cancels_a_job() {
    let sandbox = Sandbox::new();
    let ffmpeg = sandbox.stuck_ffmpeg();
    let worker = sandbox.worker().env("FFMPEG_PATH", &ffmpeg.display()).env("MAX_CONCURRENT_JOBS", "1").start().await;
    let mut client = client(&worker).await;
    let input = sandbox.input(&clips::short());
    let stream = client.submit_job(request("a-job", input.clone())).await.expect("accepted").into_inner();
    let refusal = client.submit_job(request("another", input)).await.expect_err("it is full");
    assert_eq!(refusal.code(), Code::ResourceExhausted);
    let cancel = async |client: &mut Client, id: &str| {
        let request = CancelRequest { job_id: id.into() };
        client.cancel_job(request).await.expect("an answer").into_inner().success
    };
    assert!(!cancel(&mut client, "another").await);
    assert!(cancel(&mut client, "a-job").await);
    assert_eq!(rest(stream).await.last().map(JobProgress::status), Some(JobStatus::Cancelled));
    sandbox.clean().await;
}

#[tokio::test]
async fn an_original_client_hears_why_a_job_failed() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let none = format!("file://{}/none.mp4", sandbox.input_dir().display());
    let stream = client(&worker).await.submit_job(request("a-job", none)).await.expect("accepted").into_inner();
    let last = rest(stream).await.pop().expect("an event");
    assert_eq!(last.status(), JobStatus::Failed);
    assert!(last.error.starts_with("encoding failed: input_url: "), "{}", last.error);
}

#[tokio::test]
async fn an_original_worker_serves_our_control_plane() {
    let sandbox = Sandbox::new();
    let stub = Stub::start(2).await;
    let plane = sandbox.plane(&[stub.address()]).start().await;
    let events = async |path: &str| {
        let id = plane.accepted(&job("https://example.com/a.mp4", "480p_h264", "s3", path)).await;
        plane.events(&id).await.rest().await
    };
    let whole = events("complete.mp4").await;
    let expected = ["JOB_STATUS_QUEUED", "JOB_STATUS_PROCESSING", "JOB_STATUS_UPLOADING", "JOB_STATUS_COMPLETED"];
    assert_eq!(statuses(&whole), expected);
    assert_eq!(whole.last().map(|event| &event["output_url"]), Some(&"s3://bucket/complete.mp4".into()));
    let failed = events("fail.mp4").await;
    assert_eq!(failed.last().map(|event| &event["error"]), Some(&"encoding failed: the original's words".into()));
    let (_, answer) = plane.get("/api/v1/workers/status").await;
    assert_eq!(answer["workers"][0]["worker_id"], "original", "{answer}");
}

#[tokio::test]
async fn an_original_worker_is_told_to_cancel() {
    let sandbox = Sandbox::new();
    let stub = Stub::start(2).await;
    let plane = sandbox.plane(&[stub.address()]).start().await;
    let id = plane.accepted(&job("https://example.com/a.mp4", "480p_h264", "s3", "wait.mp4")).await;
    plane.cancel(&id).await;
    assert_eq!(plane.events(&id).await.last().await["status"], "JOB_STATUS_CANCELLED");
}

#[tokio::test]
async fn a_full_original_worker_is_passed_over() {
    let sandbox = Sandbox::new();
    let stub = Stub::start(0).await;
    let plane = sandbox.plane(&[stub.address()]).start().await;
    let job = job("https://example.com/a.mp4", "480p_h264", "s3", "complete.mp4");
    assert_eq!(plane.post(&job).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let free = Stub::start(1).await;
    let plane = sandbox.plane(&[stub.address(), free.address()]).start().await;
    plane.completed(&job).await;
}
