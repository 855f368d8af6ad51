//! Split jobs: planned by one worker, encoded by several, joined by one.

mod older;
mod survive;

use proto::v1::{
    Certificate, Chunk, FailureKind, FrameGrid, JobProgress, JobStatus::Processing, Part, Plan as SplitPlan,
    StoredFile, task::Kind,
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    plane::{Plane, good_job, statuses, until},
    stub::{Job, Stub},
};

/// Threads of the encoder of every chunk.
const THREADS: u32 = 2;

/// What tells the source from others.
const TAG: u64 = u64::MAX;

/// A plan with so many chunks of 250 frames.
fn plan(chunks: u64, has_audio: bool) -> SplitPlan {
    let (rate_numerator, rate_denominator, frames, source_tag) = (25, 1, chunks * 250, TAG);
    let grid = FrameGrid { rate_numerator, rate_denominator, start_us: 0, frames, source_bytes: 9, source_tag };
    let chunks = (0..chunks)
        .map(|index| Chunk { first_frame: index * 250, frames: 250, key_frame: None, encoder_threads: THREADS })
        .collect();
    SplitPlan { grid: Some(grid), chunks, has_audio }
}

fn part(name: &str) -> Part {
    Part { files: vec![StoredFile { path: name.to_owned(), size: 7, sha256: vec![0xa5; 32] }] }
}

fn certificate() -> Certificate {
    let files = vec![StoredFile { path: String::new(), size: 9, sha256: vec![0x5a; 32] }];
    Certificate { files, ffmpeg_version: "5.1".to_owned(), ..Certificate::default() }
}

/// What a task is, in a word.
fn label(job: &Job) -> String {
    match job.request.task.as_ref().and_then(|task| task.kind.as_ref()) {
        Some(Kind::Chunk(chunk)) => {
            assert_eq!(chunk.chunk.as_ref().map(|range| range.encoder_threads), Some(THREADS), "as planned");
            assert_eq!(chunk.grid.map(|grid| (grid.source_bytes, grid.source_tag)), Some((9, TAG)), "as planned");
            format!("chunk {}", chunk.index)
        }
        Some(Kind::Audio(_)) => "audio".to_owned(),
        Some(Kind::Finish(_)) => "finish".to_owned(),
        Some(Kind::Cleanup(_)) => "cleanup".to_owned(),
        None => if job.chunk_seconds.is_some() { "plan" } else { "whole" }.to_owned(),
    }
}

/// Does what a task is there for.
fn work(job: Job) {
    let label = label(&job);
    let output_url = if label == "finish" { "s3://bucket/output/video.mp4" } else { "" }.to_owned();
    let certificate = (label == "finish").then(certificate);
    let part = (label.starts_with("chunk") || label == "audio").then(|| part(&label));
    job.complete_with(JobProgress { output_url, part, certificate, ..JobProgress::default() });
}

async fn queued(workers: &[&Stub]) -> Plane {
    let workers: Vec<_> = workers.iter().map(|worker| worker.address).collect();
    Plane::start(&workers, |config| {
        config.max_queued_jobs = 100;
        config.job_max_attempts = 3;
    })
    .await
}

/// A job that is split into so many chunks.
async fn split(plane: &Plane, worker: &mut Stub, chunks: u64, has_audio: bool) -> String {
    let id = plane.accepted().await;
    let job = worker.job().await;
    assert_eq!((job.request.job_id.as_str(), job.chunk_seconds), (id.as_str(), Some(24.0)));
    job.plan(plan(chunks, has_audio));
    id
}

/// The next job that is no chunk: one may have begun before it was known that none is needed.
async fn after_chunks(worker: &mut Stub) -> Job {
    loop {
        let job = worker.job().await;
        if !label(&job).starts_with("chunk") {
            return job;
        }
        // Not before it is asked to: who cancels by itself gives the job a reason of its own to fail.
        assert_eq!(worker.cancelled().await, job.request.job_id);
        job.confirm_cancel();
    }
}

/// Kind, index and status of each task.
async fn tasks(plane: &Plane, id: &str) -> Vec<String> {
    let job = plane.job(id).await;
    let name = |task: &Value| {
        let index = task["index"].as_u64().map(|index| format!(" {index}")).unwrap_or_default();
        let status = task["status"].as_str().expect("a status").trim_start_matches("JOB_STATUS_");
        format!("{}{index} {status}", task["kind"].as_str().expect("a kind"))
    };
    job["tasks"].as_array().expect("tasks").iter().map(name).collect()
}

#[tokio::test]
async fn a_job_is_planned_encoded_in_parts_joined_and_cleaned_up_after() {
    let mut worker = Stub::that_splits(2).await;
    let plane = queued(&[&worker]).await;
    let id = split(&plane, &mut worker, 3, true).await;
    let mut done = Vec::new();
    for _ in 0..5 {
        let job = worker.job().await;
        let task = job.request.task.as_ref().expect("a task");
        assert_eq!(task.job_id, id);
        assert_ne!(job.request.job_id, id);
        if let Some(Kind::Finish(finish)) = &task.kind {
            let parts: Vec<_> = finish.chunks.iter().map(|part| part.files[0].path.clone()).collect();
            assert_eq!(parts, ["chunk 0", "chunk 1", "chunk 2"]);
            assert_eq!((finish.plan.as_ref(), finish.audio.as_ref()), (Some(&plan(3, true)), Some(&part("audio"))));
        }
        done.push(label(&job));
        work(job);
    }
    assert_eq!(done.pop().as_deref(), Some("finish"));
    done.sort_unstable();
    assert_eq!(done, ["audio", "chunk 0", "chunk 1", "chunk 2"]);
    let events = plane.events(&id).await.rest().await;
    let last = events.last().expect("the end");
    assert_eq!(
        (&last["status"], &last["output_url"]),
        (&json!("JOB_STATUS_COMPLETED"), &json!("s3://bucket/output/video.mp4"))
    );
    let progress: Vec<_> = events.iter().filter_map(|event| event["progress"].as_f64()).collect();
    assert!(progress.is_sorted(), "{progress:?}");
    let cleanup = worker.job().await;
    assert_eq!((label(&cleanup), statuses(&events)[0]), ("cleanup".to_owned(), "JOB_STATUS_QUEUED"));
    work(cleanup);
    let all = ["chunk 0", "chunk 1", "chunk 2", "audio", "finish", "cleanup"].map(|task| format!("{task} COMPLETED"));
    until(async || tasks(&plane, &id).await == all).await;
    let job = plane.job(&id).await;
    assert_eq!(job["attempts"][0]["outcome"], "planned");
    plane.metric("flux_jobs_total{outcome=\"completed\"} 1").await;
    plane.metric("flux_jobs_in_flight 0").await;
    plane.metric("flux_attempts_total{outcome=\"completed\"} 6").await;
}

#[tokio::test]
async fn tasks_are_seen_in_their_job_and_nowhere_else() {
    let mut worker = Stub::that_splits(1).await;
    let plane = queued(&[&worker]).await;
    let id = split(&plane, &mut worker, 3, false).await;
    let job = worker.job().await;
    assert_eq!(label(&job), "chunk 0");
    job.say(Processing, 50.0, "encoding");
    let running = json!({
        "kind": "chunk", "index": 0, "status": "JOB_STATUS_PROCESSING", "worker": worker.address.to_string(), "attempt": 1,
    });
    until(async || plane.job(&id).await["tasks"][0] == running).await;
    let waiting = json!({"kind": "chunk", "index": 1, "status": "JOB_STATUS_QUEUED", "attempt": 0});
    assert_eq!(plane.job(&id).await["tasks"][1], waiting);
    let (_, list) = plane.get("/api/v1/jobs").await;
    let ids: Vec<_> = list["jobs"].as_array().expect("jobs").iter().map(|job| &job["job_id"]).collect();
    assert_eq!(ids, [&json!(id)]);
    plane.metric("flux_jobs_waiting 0").await;
    plane.metric("flux_jobs_in_flight 1").await;
    let task = &job.request.job_id;
    let not_found = (StatusCode::NOT_FOUND, json!({"error": "job not found"}));
    for path in ["", "/stream", "/certificate"] {
        assert_eq!(plane.get(&format!("/api/v1/jobs/{task}{path}")).await, not_found, "{path}");
    }
    assert_eq!(plane.delete(&format!("/api/v1/jobs/{task}")).await, not_found);
}

#[tokio::test]
async fn a_completed_job_has_a_certificate() {
    let mut worker = Stub::that_splits(1).await;
    let plane = queued(&[&worker]).await;
    let id = split(&plane, &mut worker, 2, false).await;
    let path = format!("/api/v1/jobs/{id}/certificate");
    let early = json!({"error": "the job has no certificate: it has not completed yet"});
    assert_eq!(plane.get(&path).await, (StatusCode::NOT_FOUND, early));
    for _ in 0..3 {
        work(worker.job().await);
    }
    plane.events(&id).await.until("JOB_STATUS_COMPLETED").await;
    let (status, body) = plane.get(&path).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["files"], json!([{"path": "", "size": 9, "sha256": "5a".repeat(32)}]));
    assert_eq!((&body["job_id"], &body["ffmpeg_version"]), (&json!(id), &json!("5.1")));
    assert_eq!(body["split"], json!({"mode": "chunks", "chunks": 2, "frames": 500, "frame_rate": "25/1"}));
    assert_eq!(body["attempts"][0]["outcome"], "planned");
    assert!(body["machine_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{body}");
}

#[tokio::test]
async fn a_job_that_is_not_worth_it_goes_on_as_a_whole_and_says_why() {
    let mut worker = Stub::that_splits(1).await;
    let plane = queued(&[&worker]).await;
    let id = plane.accepted().await;
    let job = worker.job().await;
    job.send(JobProgress {
        status: Processing.into(),
        whole: "shorter than two chunks of 15 s".to_owned(),
        ..JobProgress::default()
    });
    plane.events(&id).await.until("JOB_STATUS_PROCESSING").await;
    assert_eq!(plane.job(&id).await["whole"], "shorter than two chunks of 15 s");
    job.complete_with(JobProgress {
        output_url: "s3://b/o".to_owned(),
        certificate: Some(certificate()),
        ..JobProgress::default()
    });
    plane.events(&id).await.until("JOB_STATUS_COMPLETED").await;
    assert_eq!(tasks(&plane, &id).await, ["whole COMPLETED"]);
    let (status, body) = plane.get(&format!("/api/v1/jobs/{id}/certificate")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["split"], json!({"mode": "whole", "reason": "shorter than two chunks of 15 s"}));
    assert_eq!(worker.submissions(), 1, "nothing is cleaned up where nothing was left");
}

#[tokio::test]
async fn who_does_not_want_a_job_split_says_so() {
    let mut worker = Stub::that_splits(2).await;
    let plane = queued(&[&worker]).await;
    let mut job = good_job();
    job["split"] = json!("off");
    assert_eq!(plane.post(&job).await.0, StatusCode::ACCEPTED);
    assert_eq!(label(&worker.job().await), "whole");
    job["split"] = json!("sometimes");
    let (status, body) = plane.post(&job).await;
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!("split: must be auto or off")));
    let off = Plane::start(&[worker.address], |config| config.split = controlplane::job::spec::Split::Off).await;
    off.accepted().await;
    assert_eq!(label(&worker.job().await), "whole");
}

#[tokio::test]
async fn a_lost_task_is_done_again_alone() {
    let mut worker = Stub::that_splits(3).await;
    let plane = queued(&[&worker]).await;
    let id = split(&plane, &mut worker, 3, false).await;
    let mut jobs = [worker.job().await, worker.job().await, worker.job().await];
    jobs.sort_unstable_by_key(label);
    let [first, second, third] = jobs;
    work(first);
    second.say(Processing, 10.0, "encoding");
    until(async || tasks(&plane, &id).await[1] == "chunk 1 PROCESSING").await;
    second.leave();
    work(third);
    let again = worker.job().await;
    assert_eq!((label(&again).as_str(), again.request.attempt), ("chunk 1", 2));
    work(again);
    let finish = worker.job().await;
    assert_eq!(label(&finish), "finish");
    work(finish);
    plane.events(&id).await.until("JOB_STATUS_COMPLETED").await;
}

#[tokio::test]
async fn a_part_that_is_not_described_is_made_again() {
    let mut worker = Stub::that_splits(1).await;
    let plane = queued(&[&worker]).await;
    split(&plane, &mut worker, 2, false).await;
    let job = worker.job().await;
    let task = job.request.job_id.clone();
    job.complete();
    let next = worker.job().await;
    work(next);
    let again = worker.job().await;
    assert_eq!((again.request.job_id, again.request.attempt), (task, 2));
}

#[tokio::test]
async fn a_task_that_cannot_be_done_is_followed_by_the_whole() {
    let mut worker = Stub::that_splits(2).await;
    let plane = queued(&[&worker]).await;
    let id = split(&plane, &mut worker, 4, false).await;
    let (bad, running) = (worker.job().await, worker.job().await);
    let others = running.request.job_id.clone();
    let text = format!("{}: encoding failed: 248 frames instead of 250", label(&bad));
    bad.fail_as("encoding failed: 248 frames instead of 250", FailureKind::Job);
    while worker.cancelled().await != others {}
    running.confirm_cancel();
    let mut next = [after_chunks(&mut worker).await, after_chunks(&mut worker).await];
    next.sort_unstable_by_key(label);
    assert_eq!(next.each_ref().map(label), ["cleanup", "whole"]);
    let [cleanup, whole] = next;
    work(cleanup);
    assert_eq!((whole.request.job_id.as_str(), whole.request.attempt), (id.as_str(), 2));
    assert_eq!(plane.job(&id).await["whole"], text);
    whole.complete();
    let events = plane.events(&id).await.rest().await;
    let expected = ["JOB_STATUS_QUEUED", "JOB_STATUS_PROCESSING", "JOB_STATUS_QUEUED", "JOB_STATUS_COMPLETED"];
    assert_eq!(statuses(&events), expected);
    let progress: Vec<_> = events.iter().filter_map(|event| event["progress"].as_f64()).collect();
    assert!(progress.is_sorted(), "{progress:?}");
}

#[tokio::test]
async fn a_task_that_the_machines_fail_too_often_is_followed_by_the_whole() {
    let mut worker = Stub::that_splits(1).await;
    let plane = Plane::start(&[worker.address], |config| config.max_queued_jobs = 9).await;
    let id = split(&plane, &mut worker, 2, false).await;
    worker.job().await.fail_as("upload failed: S3 is down", FailureKind::Infrastructure);
    for _ in 0..2 {
        let job = after_chunks(&mut worker).await;
        if label(&job) == "whole" { job.complete() } else { work(job) }
    }
    plane.events(&id).await.until("JOB_STATUS_COMPLETED").await;
    assert_eq!(plane.job(&id).await["whole"], "chunk 0: upload failed: S3 is down");
    assert_eq!(tasks(&plane, &id).await[..2], ["chunk 0 FAILED", "chunk 1 CANCELLED"]);
}

#[tokio::test]
async fn a_cancelled_job_ends_when_its_tasks_have() {
    let mut worker = Stub::that_splits(1).await;
    let plane = queued(&[&worker]).await;
    let id = split(&plane, &mut worker, 20, true).await;
    let running = worker.job().await;
    assert_eq!(plane.delete(&format!("/api/v1/jobs/{id}")).await.0, StatusCode::ACCEPTED);
    assert_eq!(worker.cancelled().await, running.request.job_id);
    running.confirm_cancel();
    plane.events(&id).await.until("JOB_STATUS_CANCELLED").await;
    let cleanup = worker.job().await;
    assert_eq!(label(&cleanup), "cleanup");
    work(cleanup);
    assert_eq!(worker.submissions(), 3);
    plane.metric("flux_jobs_total{outcome=\"cancelled\"} 1").await;
}

#[tokio::test]
async fn a_short_job_waits_for_one_turn_among_fifty_chunks() {
    let mut worker = Stub::that_splits(1).await;
    let plane = queued(&[&worker]).await;
    split(&plane, &mut worker, 50, false).await;
    let mut running = worker.job().await;
    for _ in 0..5 {
        work(running);
        running = worker.job().await;
    }
    let short = plane.accepted().await;
    let mut turns = 0;
    while running.request.job_id != short {
        work(running);
        running = worker.job().await;
        turns += 1;
    }
    assert!(turns <= 2, "{turns}");
}

#[tokio::test]
async fn without_a_queue_a_job_is_split_too_and_its_tasks_wait() {
    let mut worker = Stub::that_splits(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let id = split(&plane, &mut worker, 3, false).await;
    for _ in 0..3 {
        let job = worker.job().await;
        assert_eq!(plane.post(&good_job()).await.0, StatusCode::SERVICE_UNAVAILABLE);
        work(job);
    }
    work(worker.job().await);
    plane.events(&id).await.until("JOB_STATUS_COMPLETED").await;
}

#[tokio::test]
async fn a_job_with_tasks_that_wait_takes_room_for_one_in_the_queue() {
    let mut worker = Stub::that_splits(1).await;
    let plane = Plane::start(&[worker.address], |config| config.max_queued_jobs = 3).await;
    split(&plane, &mut worker, 9, false).await;
    let _running = worker.job().await;
    plane.accepted().await;
    plane.accepted().await;
    assert_eq!(plane.post(&good_job()).await.0, StatusCode::SERVICE_UNAVAILABLE);
}
