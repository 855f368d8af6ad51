//! Tasks whose caller goes away: what they are allowed, what is kept of them, and what they leave behind.

use e2e::{Sandbox, Worker, clips};
use proto::v1::{
    AttachRequest, JobProgress, JobRequest, JobStatus, LeaseRequest, OutputConfig, ReleaseRequest, StatusRequest,
};
use tonic::{Code, Status, Streaming};

mod lapsed;
mod listened;
mod paused;
mod published;

/// Id of the job in each of these tests.
const JOB: &str = "job-1";

/// A job for local storage.
fn request(input_url: String, attempt: u32) -> JobRequest {
    let output = OutputConfig { storage: "local".into(), path: "out/video.mp4".into(), ..OutputConfig::default() };
    JobRequest {
        job_id: JOB.into(),
        input_url,
        preset: "480p_h264".into(),
        output: Some(output),
        attempt,
        ..JobRequest::default()
    }
}

/// Half a minute of video.
fn half_a_minute(sandbox: &Sandbox, attempt: u32) -> JobRequest {
    request(sandbox.input(&clips::long()), attempt)
}

/// A handful of frames.
fn flash(sandbox: &Sandbox, attempt: u32) -> JobRequest {
    request(sandbox.input(&clips::flash()), attempt)
}

/// Submits as a caller that knows leases does: with the clock that the worker has just told.
async fn submit(worker: &Worker, request: JobRequest) -> Streaming<JobProgress> {
    let clock_ms = worker.status().await.clock_ms;
    let request = JobRequest { clock_ms, ..request };
    worker.client().submit_job(request).await.expect("it is taken").into_inner()
}

async fn attach(worker: &Worker, attempt: u32) -> Result<Streaming<JobProgress>, Status> {
    let clock_ms = worker.status().await.clock_ms;
    let request = AttachRequest { job_id: JOB.into(), attempt, clock_ms };
    worker.client().attach_job(request).await.map(tonic::Response::into_inner)
}

async fn renew(worker: &Worker, clock_ms: u64) -> bool {
    let request = LeaseRequest { job_id: JOB.into(), attempt: 1, clock_ms };
    worker.client().renew_lease(request).await.expect("an answer").into_inner().known
}

async fn release(worker: &Worker, attempt: u32) {
    let request = ReleaseRequest { job_id: JOB.into(), attempt };
    worker.client().release_job(request).await.expect("an answer");
}

/// Reads until ffmpeg has told progress.
async fn encoding(events: &mut Streaming<JobProgress>) -> JobProgress {
    loop {
        let event = next(events).await.expect("progress comes before the end");
        if event.progress > 0.0 {
            return event;
        }
    }
}

async fn next(events: &mut Streaming<JobProgress>) -> Option<JobProgress> {
    tokio::time::timeout(e2e::PATIENCE, events.message()).await.expect("an event in time").expect("a whole stream")
}

/// Every event to the end.
async fn rest(mut events: Streaming<JobProgress>) -> Vec<JobProgress> {
    let mut all = Vec::new();
    while let Some(event) = next(&mut events).await {
        all.push(event);
    }
    all
}

async fn last(events: Streaming<JobProgress>) -> JobProgress {
    rest(events).await.pop().expect("a stream has events")
}

/// The statuses, each once in a row.
fn statuses(events: &[JobProgress]) -> Vec<JobStatus> {
    let mut statuses: Vec<_> = events.iter().map(JobProgress::status).collect();
    statuses.dedup();
    statuses
}

/// Process numbers of the encoders.
fn encoders(sandbox: &Sandbox) -> Vec<i32> {
    sandbox.tools().into_iter().filter(|tool| tool.program == "ffmpeg").map(|tool| tool.pid).collect()
}

async fn is_unknown(worker: &Worker, attempt: u32) -> bool {
    attach(worker, attempt).await.is_err_and(|status| status.code() == Code::NotFound)
}
