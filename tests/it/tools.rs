//! Clients that other people wrote, against the worker: real `grpcurl` and `buf curl`, which find the service by
//! reflection.

use std::{path::PathBuf, process::Stdio};

use e2e::{Sandbox, Worker, clips};
use serde_json::{Deserializer, Value, json};
use tokio::process::Command;

const SERVICE: &str = "worker.v1.WorkerService";

/// A program that the test command installs, or one of this machine.
fn tool(name: &str) -> PathBuf {
    let installed = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/bin")).join(name);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name));
    let found = [installed].into_iter().chain(found).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: tests/run.sh does that"))
}

async fn run(name: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(tool(name)).args(args).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.expect("the tool starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

async fn grpcurl(worker: &Worker, before: &[&str], after: &[&str]) -> Result<String, String> {
    let address = worker.address().to_string();
    run("grpcurl", &[&["-plaintext"], before, &[address.as_str()], after].concat()).await
}

async fn buf_curl(worker: &Worker, args: &[&str], path: &str) -> Result<String, String> {
    let url = format!("http://{}{path}", worker.address());
    let fixed = ["curl", "--http2-prior-knowledge", "--protocol", "grpc", "--reflect-protocol", "grpc-v1"];
    run("buf", &[&fixed[..], args, &[url.as_str()]].concat()).await
}

fn request(sandbox: &Sandbox, id: &str) -> String {
    let output = json!({"storage": "local", "path": format!("{id}.mp4")});
    let input_url = sandbox.input(&clips::short());
    json!({"job_id": id, "input_url": input_url, "preset": "480p_h264", "output": output}).to_string()
}

/// The statuses that a client printed, each once in a row.
fn statuses(printed: &str) -> Vec<String> {
    let events = Deserializer::from_str(printed).into_iter::<Value>().map(|event| event.expect("JSON"));
    let mut statuses: Vec<_> =
        events.map(|event| event["status"].as_str().unwrap_or("JOB_STATUS_UNSPECIFIED").to_owned()).collect();
    statuses.dedup();
    statuses
}

const WAY: [&str; 4] = ["JOB_STATUS_QUEUED", "JOB_STATUS_PROCESSING", "JOB_STATUS_UPLOADING", "JOB_STATUS_COMPLETED"];

#[tokio::test]
async fn grpcurl_finds_the_service_by_reflection() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let services = grpcurl(&worker, &[], &["list"]).await.expect("a list");
    for service in [SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"] {
        assert!(services.lines().any(|line| line == service), "{service}: {services}");
    }
    let described = grpcurl(&worker, &[], &["describe", SERVICE]).await.expect("a description");
    assert!(described.contains("rpc SubmitJob ( .worker.v1.JobRequest ) returns ( stream .worker.v1.JobProgress )"));
    let described = grpcurl(&worker, &[], &["describe", "worker.v1.JobRequest"]).await.expect("a description");
    assert!(described.contains("string job_id = 1;"), "{described}");
}

#[tokio::test]
async fn grpcurl_asks_for_the_status_and_the_health() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().env("WORKER_ID", "tool-worker").start().await;
    let status = grpcurl(&worker, &[], &["worker.v1.WorkerService/GetStatus"]).await.expect("a status");
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!((&status["maxConcurrentJobs"], &status["workerId"]), (&json!(2), &json!("tool-worker")));
    for service in ["", SERVICE] {
        let question = json!({"service": service}).to_string();
        let health = grpcurl(&worker, &["-d", &question], &["grpc.health.v1.Health/Check"]).await;
        assert!(health.expect("an answer").contains("\"SERVING\""), "{service:?}");
    }
}

#[tokio::test]
async fn grpcurl_runs_a_job() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let request = request(&sandbox, "by-grpcurl");
    let printed = grpcurl(&worker, &["-d", &request], &["worker.v1.WorkerService/SubmitJob"]).await.expect("a stream");
    assert_eq!(statuses(&printed), WAY, "{printed}");
    assert_eq!(sandbox.outputs(), ["by-grpcurl.mp4"]);
}

#[tokio::test]
async fn grpcurl_sees_why_a_job_is_refused() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let request = json!({"job_id": "../up", "input_url": "file:///a", "preset": "480p_h264"}).to_string();
    let error = grpcurl(&worker, &["-d", &request], &["worker.v1.WorkerService/SubmitJob"]).await.expect_err("refused");
    assert!(error.contains("Code: InvalidArgument") && error.contains("job_id"), "{error}");
}

#[tokio::test]
async fn buf_curl_lists_asks_and_runs_a_job() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let services = buf_curl(&worker, &["--list-methods"], "").await.expect("a list");
    assert!(services.lines().any(|line| line == "worker.v1.WorkerService/SubmitJob"), "{services}");
    let status = buf_curl(&worker, &["-d", "{}"], "/worker.v1.WorkerService/GetStatus").await.expect("a status");
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["maxConcurrentJobs"], 2, "{status}");
    let request = request(&sandbox, "by-buf");
    let printed = buf_curl(&worker, &["-d", &request], "/worker.v1.WorkerService/SubmitJob").await.expect("a stream");
    assert_eq!(statuses(&printed), WAY, "{printed}");
}
