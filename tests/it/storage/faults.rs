//! S3 servers that refuse, hang and die, and workers that die over an upload.

use e2e::{Gate, Plane, S3Server, Sandbox, Worker, clips, job, s3, until};
use serde_json::Value;

/// What passes before the network stands still: more than one request, less than the first part.
const SOME: u64 = 1024 * 1024;

/// An S3 server behind a gate, and a worker that copies a source of several parts there.
struct Scene {
    gate: Gate,
    worker: Worker,
    plane: Plane,
    server: S3Server,
}

impl Scene {
    async fn new(sandbox: &Sandbox) -> Self {
        let server = sandbox.s3().await;
        let gate = Gate::before(server.daemon.address()).await;
        let ffmpeg = sandbox.copying_ffmpeg(&clips::noise());
        let worker = sandbox
            .worker()
            .s3(&format!("http://{}", gate.address()), s3::ACCESS_KEY, s3::SECRET_KEY)
            .env("FFMPEG_PATH", &ffmpeg.display())
            .env("VALIDATION_LEVEL", "minimal")
            .start()
            .await;
        let plane = sandbox.plane(&[worker.address()]).start().await;
        Self { gate, worker, plane, server }
    }

    /// Starts a job and waits until its upload is under way and stands still.
    async fn uploading(&self, sandbox: &Sandbox) -> String {
        self.gate.hold_after(SOME);
        let id = self.plane.accepted(&large(sandbox)).await;
        self.gate.holding().await;
        until("the server knows of the upload", async || !self.server.unfinished().is_empty()).await;
        id
    }

    async fn assert_nothing_left(&self, sandbox: &Sandbox) {
        until("no unfinished upload is left", async || self.server.unfinished().is_empty()).await;
        assert_eq!(self.server.keys().await, [""; 0]);
        sandbox.clean().await;
    }
}

fn large(sandbox: &Sandbox) -> Value {
    job(&sandbox.input(&clips::noise()), "480p_h264", "s3", "large.mp4")
}

#[tokio::test]
async fn wrong_credentials_fail_the_upload() {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let worker = sandbox.worker().s3(&server.endpoint(), s3::ACCESS_KEY, "a wrong secret").start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    for preset in ["480p_h264", "hls_720p"] {
        let error = plane.failed(&job(&sandbox.input(&clips::flash()), preset, "s3", "a/b")).await;
        assert!(error.starts_with("upload failed: ") && error.contains("SignatureDoesNotMatch"), "{error}");
        assert!(!error.contains("a wrong secret"), "{error}");
    }
    assert_eq!(server.keys().await, [""; 0]);
    assert_eq!(server.unfinished(), [""; 0]);
    sandbox.clean().await;
}

#[tokio::test]
async fn a_cancelled_upload_is_aborted() {
    let sandbox = Sandbox::new();
    let scene = Scene::new(&sandbox).await;
    let id = scene.uploading(&sandbox).await;
    scene.plane.cancel(&id).await;
    // The abort is to pass.
    scene.gate.open();
    assert_eq!(scene.plane.events(&id).await.last().await["status"], "JOB_STATUS_CANCELLED");
    scene.assert_nothing_left(&sandbox).await;
}

#[tokio::test]
async fn an_upload_whose_server_dies_fails_and_is_aborted_once_it_is_back() {
    let sandbox = Sandbox::new();
    let mut scene = Scene::new(&sandbox).await;
    let id = scene.uploading(&sandbox).await;
    scene.server.daemon.crash().await;
    scene.gate.shut();
    let last = scene.plane.events(&id).await.last().await;
    assert!(last["error"].as_str().is_some_and(|error| error.starts_with("upload failed: ")), "{last}");
    scene.server.daemon.restart().await;
    scene.gate.open();
    // The worker may have given up before; then its next start ends it.
    scene.worker.daemon.crash().await;
    scene.worker.daemon.restart().await;
    scene.assert_nothing_left(&sandbox).await;
}

#[tokio::test]
async fn the_upload_of_a_worker_that_was_killed_is_aborted_by_its_next_start() {
    let sandbox = Sandbox::new();
    let mut scene = Scene::new(&sandbox).await;
    let id = scene.uploading(&sandbox).await;
    scene.worker.daemon.crash().await;
    scene.gate.open();
    assert_ne!(scene.server.unfinished(), [""; 0], "nobody was there to abort it");
    scene.worker.daemon.restart().await;
    assert_eq!(scene.plane.events(&id).await.last().await["status"], "JOB_STATUS_FAILED");
    scene.assert_nothing_left(&sandbox).await;
}

#[tokio::test]
async fn a_network_that_breaks_for_a_moment_fails_no_upload() {
    let sandbox = Sandbox::new();
    let scene = Scene::new(&sandbox).await;
    let id = scene.uploading(&sandbox).await;
    scene.gate.open();
    scene.gate.break_connections();
    let last = scene.plane.events(&id).await.last().await;
    assert_eq!(last["status"], "JOB_STATUS_COMPLETED", "{last}");
    assert_eq!(scene.server.keys().await, ["large.mp4"]);
    assert_eq!(scene.server.unfinished(), [""; 0]);
    sandbox.clean().await;
}
