//! Who takes a job, and who refuses it.

use std::{
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use e2e::{Plane, Sandbox, Worker, clips, job};
use futures_util::future::join_all;
use proto::v1::{JobRequest, OutputConfig};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tonic::Code;

/// A worker whose jobs last until the test ends.
async fn worker(sandbox: &Sandbox, slots: u32) -> Worker {
    let ffmpeg = sandbox.stuck_ffmpeg();
    sandbox.worker().env("FFMPEG_PATH", &ffmpeg.display()).env("MAX_CONCURRENT_JOBS", &slots).start().await
}

async fn post_at_once(plane: &Plane, count: usize, input: &str) -> Vec<(StatusCode, Value)> {
    let jobs: Vec<_> = (0..count).map(|n| job(input, "480p_h264", "local", &format!("{n}.mp4"))).collect();
    join_all(jobs.iter().map(|job| plane.post(job))).await
}

/// Exactly `accepted` were, and the others were refused as the contract says.
fn assert_accepted(answers: &[(StatusCode, Value)], accepted: usize) {
    let refused: Vec<_> = answers.iter().filter(|(status, _)| *status != StatusCode::ACCEPTED).collect();
    assert_eq!(answers.len() - refused.len(), accepted, "{answers:?}");
    let refusal = (StatusCode::SERVICE_UNAVAILABLE, json!({"error": "no available workers"}));
    assert!(refused.iter().all(|answer| **answer == refusal), "{refused:?}");
}

#[tokio::test]
async fn twelve_jobs_at_once_on_two_slots_are_two_jobs_and_ten_refusals() {
    let sandbox = Sandbox::new();
    let worker = worker(&sandbox, 2).await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let input = sandbox.input(&clips::short());
    let mut posts = Box::pin(post_at_once(&plane, 12, &input));
    let answers = loop {
        tokio::select! {
            answers = &mut posts => break answers,
            status = worker.status() => assert!(status.current_jobs <= 2, "{status:?}"),
        }
    };
    assert_accepted(&answers, 2);
    assert_eq!(worker.status().await.current_jobs, 2);
}

#[tokio::test]
async fn twelve_jobs_at_once_on_two_workers_with_one_slot_are_one_job_each() {
    let sandbox = Sandbox::new();
    let workers = [worker(&sandbox, 1).await, worker(&sandbox, 1).await];
    let plane = sandbox.plane(&workers.each_ref().map(Worker::address)).start().await;
    assert_accepted(&post_at_once(&plane, 12, &sandbox.input(&clips::short())).await, 2);
    for worker in &workers {
        assert_eq!(worker.status().await.current_jobs, 1);
    }
}

#[tokio::test]
async fn a_full_worker_answers_resource_exhausted() {
    let sandbox = Sandbox::new();
    let worker = worker(&sandbox, 2).await;
    let input_url = sandbox.input(&clips::short());
    let submissions = (0..12).map(|n| {
        let output = OutputConfig { storage: "local".into(), path: format!("{n}.mp4"), ..OutputConfig::default() };
        let request = JobRequest {
            job_id: n.to_string(),
            input_url: input_url.clone(),
            preset: "480p_h264".into(),
            output: Some(output),
            callback_url: String::new(),
            ..JobRequest::default()
        };
        let mut client = worker.client();
        async move { client.submit_job(request).await }
    });
    let (taken, refused): (Vec<_>, Vec<_>) = join_all(submissions).await.into_iter().partition(Result::is_ok);
    assert_eq!(taken.len(), 2);
    let codes: Vec<_> = refused.into_iter().filter_map(Result::err).map(|status| status.code()).collect();
    assert_eq!(codes, [Code::ResourceExhausted; 10]);
    assert_eq!(worker.status().await.current_jobs, 2);
}

#[tokio::test]
async fn a_worker_that_never_answers_delays_nobody() {
    let sandbox = Sandbox::new();
    // The kernel accepts connections for it; nobody ever reads them.
    let hung = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let worker = worker(&sandbox, 10).await;
    let addresses: [SocketAddr; 2] = [hung.local_addr().expect("bound"), worker.address()];
    let plane = sandbox.plane(&addresses).env("WORKER_STARTUP_TIMEOUT", "50").start().await;
    let started = Instant::now();
    assert_accepted(&post_at_once(&plane, 10, &sandbox.input(&clips::short())).await, 10);
    // Far from the time-out, and still fair to a busy machine.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_request_that_only_the_silent_worker_is_left_for_is_refused_after_the_time_out() {
    let sandbox = Sandbox::new();
    let hung = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let plane = sandbox.plane(&[hung.local_addr().expect("bound")]).env("WORKER_STARTUP_TIMEOUT", "1").start().await;
    let started = Instant::now();
    assert_accepted(&post_at_once(&plane, 2, &sandbox.input(&clips::short())).await, 0);
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_worker_that_sleeps_is_woken_and_takes_the_job_over_the_connection_that_woke_it() {
    let sandbox = Sandbox::new();
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let plane = sandbox.plane(&[proxy.local_addr().expect("bound")]).start().await;
    let input = sandbox.input(&clips::short());
    // As a platform does it: the first connection starts the machine and leads there. No other leads anywhere.
    let platform = async {
        let (mut client, _) = proxy.accept().await.expect("a connection");
        let worker = worker(&sandbox, 1).await;
        let mut server = tokio::net::TcpStream::connect(worker.address()).await.expect("it is awake");
        tokio::io::copy_bidirectional(&mut client, &mut server).await
    };
    tokio::select! {
        ended = platform => panic!("the connection ended: {ended:?}"),
        answers = post_at_once(&plane, 1, &input) => assert_accepted(&answers, 1),
    }
}

#[tokio::test]
async fn jobs_go_round_the_workers() {
    let sandbox = Sandbox::new();
    let workers = [worker(&sandbox, 9).await, worker(&sandbox, 9).await, worker(&sandbox, 9).await];
    let plane = sandbox.plane(&workers.each_ref().map(Worker::address)).start().await;
    let input = sandbox.input(&clips::short());
    for n in 0..9 {
        plane.accepted(&job(&input, "480p_h264", "local", &format!("{n}.mp4"))).await;
    }
    for worker in &workers {
        // Three each, but on a busy machine a worker that is slow to answer is overtaken by the next.
        let jobs = worker.status().await.current_jobs;
        assert!((1..=6).contains(&jobs), "{jobs}");
    }
}
