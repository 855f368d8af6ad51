//! Jobs from their request to their end, and who hears of it.

use e2e::{Plane, Sandbox, Worker, clips, job, statuses, until};
use nix::sys::signal::Signal;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const WHOLE: [&str; 4] = ["JOB_STATUS_QUEUED", "JOB_STATUS_PROCESSING", "JOB_STATUS_UPLOADING", "JOB_STATUS_COMPLETED"];

/// A worker whose jobs take about as long as their input plays, under a control plane.
async fn slow(sandbox: &Sandbox) -> (Worker, Plane) {
    let ffmpeg = sandbox.slow_ffmpeg();
    let worker = sandbox.worker().env("FFMPEG_PATH", &ffmpeg.display()).env("VALIDATION_LEVEL", "minimal");
    let worker = worker.start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    (worker, plane)
}

fn progress(event: &Value) -> f64 {
    event["progress"].as_f64().expect("progress is a number")
}

#[tokio::test]
async fn a_job_goes_through_every_status_in_order() {
    let sandbox = Sandbox::new();
    let (_worker, plane) = slow(&sandbox).await;
    let input = sandbox.input(&clips::talking("160x90", 3));
    let (status, answer) = plane.post(&job(&input, "480p_h264", "local", "a/video.mp4")).await;
    assert_eq!((status, &answer["status"]), (StatusCode::ACCEPTED, &json!("accepted")));
    let id = answer["job_id"].as_str().expect("an id");
    assert_eq!(answer["stream_url"], format!("/api/v1/jobs/{id}/stream"));
    let events = plane.events(id).await.rest().await;
    assert_eq!(statuses(&events), WHOLE, "{events:?}");
    assert!(events.iter().all(|event| event["job_id"] == id && event["timestamp"].is_string()), "{events:?}");
    assert!(events.is_sorted_by(|a, b| progress(a) <= progress(b)), "{events:?}");
    assert!(events.iter().any(|event| (1.0..100.0).contains(&progress(event))), "no progress between: {events:?}");
    let last = events.last().expect("an event");
    assert_eq!(last["output_url"], format!("file://{}/a/video.mp4", sandbox.output_dir().display()));
    assert_eq!(sandbox.outputs(), ["a/video.mp4"]);
    sandbox.clean().await;
}

#[tokio::test]
async fn every_listener_sees_every_status_whenever_it_comes() {
    let sandbox = Sandbox::new();
    let (_worker, plane) = slow(&sandbox).await;
    let input = sandbox.input(&clips::talking("160x90", 3));
    let id = plane.accepted(&job(&input, "480p_h264", "local", "video.mp4")).await;
    let mut early = plane.events(&id).await;
    early.encoding().await;
    let mut together = Vec::new();
    for _ in 0..20 {
        together.push(plane.events(&id).await);
    }
    assert_eq!(statuses(&early.rest().await).last(), Some(&WHOLE[3]));
    for listener in together {
        assert_eq!(statuses(&listener.rest().await), WHOLE);
    }
    let late = plane.events(&id).await;
    let header = |name: &str| late.response.headers().get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("content-type"), Some("text/event-stream"));
    assert_eq!((header("cache-control"), header("x-accel-buffering")), (Some("no-cache"), Some("no")));
    assert_eq!(statuses(&late.rest().await), WHOLE);
}

#[tokio::test]
async fn a_job_that_nobody_watches_completes() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let mut request = job(&sandbox.input(&clips::short()), "480p_h264", "local", "video.mp4");
    request["output"]["metadata"] = json!({"title": "a clip"});
    let id = plane.accepted(&request).await;
    until("the job completes", async || plane.job(&id).await["status"] == WHOLE[3]).await;
    let job = plane.job(&id).await;
    assert_eq!((&job["preset"], &job["input_url"]), (&request["preset"], &request["input_url"]));
    assert_eq!(job["output"]["metadata"], request["output"]["metadata"]);
    assert_eq!((&job["progress"], &job["worker"]), (&json!(100.0), &json!(worker.address().to_string())));
    for time in ["created_at", "started_at", "finished_at"] {
        assert!(job[time].is_string(), "{time}: {job}");
    }
}

#[tokio::test]
async fn a_cancelled_job_ends_cancelled_and_stays_so() {
    let sandbox = Sandbox::new();
    let (worker, plane) = slow(&sandbox).await;
    let id = plane.accepted(&job(&sandbox.input(&clips::long()), "480p_h264", "local", "video.mp4")).await;
    let mut events = plane.events(&id).await;
    events.encoding().await;
    assert_eq!(plane.cancel(&id).await, (StatusCode::ACCEPTED, json!({"job_id": id, "status": "cancelling"})));
    let last = events.last().await;
    assert_eq!(last["status"], "JOB_STATUS_CANCELLED", "{last}");
    let (status, answer) = plane.cancel(&id).await;
    assert_eq!((status, answer), (StatusCode::CONFLICT, json!({"error": "job is already finished"})));
    assert_eq!(plane.job(&id).await["status"], "JOB_STATUS_CANCELLED");
    worker.running(0).await;
}

#[tokio::test]
async fn unknown_jobs_and_bad_requests_are_told_apart() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    for id in ["00000000-0000-4000-8000-000000000000", "no-id"] {
        for path in [format!("/api/v1/jobs/{id}"), format!("/api/v1/jobs/{id}/stream")] {
            assert_eq!(plane.get(&path).await.0, StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(plane.cancel(id).await.0, StatusCode::NOT_FOUND, "{id}");
    }
    let good = job("https://example.com/a.mp4", "480p_h264", "local", "video.mp4");
    for field in ["/input_url", "/preset", "/output", "/output/storage", "/output/path"] {
        let mut bad = good.clone();
        *bad.pointer_mut(field).expect("it is there") = Value::Null;
        let (status, answer) = plane.post(&bad).await;
        let name = field[1..].replace('/', ".");
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(&name)), "{name}: {answer}");
    }
    for path in ["../up.mp4", "/etc/up.mp4", "a/../../up.mp4", "a\u{0}.mp4", "a\n.mp4"] {
        let (status, answer) = plane.post(&job("https://example.com/a.mp4", "480p_h264", "local", path)).await;
        assert_eq!((status, &answer["field"]), (StatusCode::BAD_REQUEST, &json!("output.path")), "{path:?}");
    }
    let text = plane.request(Method::POST, "/api/v1/jobs").header("content-type", "application/json").body("{");
    assert_eq!(text.send().await.expect("an answer").status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_control_plane_that_is_stopped_sends_its_listeners_away_until_it_is_back() {
    let sandbox = Sandbox::new();
    let (worker, mut plane) = slow(&sandbox).await;
    let id = plane.accepted(&job(&sandbox.input(&clips::talking("160x90", 6)), "480p_h264", "local", "v.mp4")).await;
    let mut events = plane.events(&id).await;
    let mut heard = events.encoding().await;
    plane.daemon.signal(Signal::SIGTERM);
    while let Some(event) = events.next().await {
        assert_eq!(event["status"], WHOLE[1], "the stream ends at once");
        heard = event;
    }
    assert_eq!(events.retry_ms, Some(2000), "when to come back");
    assert!(plane.daemon.exited().await.success());
    assert_eq!(worker.status().await.current_jobs, 1, "the control plane does not wait for its jobs");
    plane.daemon.restart().await;
    let rest = plane.events_after(&id, &events.last_id).await.rest().await;
    assert_eq!(statuses(&rest), WHOLE[1..], "{rest:?}");
    assert!(rest.iter().all(|event| progress(event) >= progress(&heard)), "{heard} {rest:?}");
    assert_eq!(sandbox.outputs(), ["v.mp4"]);
    sandbox.clean().await;
}
