//! What the tools and the clients do not get to see.

use std::fs;

use e2e::{Sandbox, clips, job, s3};

/// Secrets that a worker may have in its environment.
const SECRETS: [(&str, &str); 5] = [
    ("AWS_ACCESS_KEY_ID", "hidden-access-key"),
    ("AWS_SECRET_ACCESS_KEY", "hidden-secret-key"),
    ("AWS_SESSION_TOKEN", "hidden-token"),
    ("API_KEY", "hidden-api-key"),
    ("DATABASE_URL", "postgres://hidden@db"),
];

/// Stand-ins for ffmpeg and ffprobe that note their environment.
fn noting(sandbox: &Sandbox, program: &str) -> String {
    let notes = sandbox.path().join("notes").display().to_string();
    let script = format!("tr '\\0' '\\n' < /proc/$$/environ >> {notes}\nexec {program} \"$@\"");
    sandbox.script(&format!("noting-{program}"), &script).display().to_string()
}

#[tokio::test]
async fn the_tools_do_not_see_the_workers_secrets() {
    let sandbox = Sandbox::new();
    let tools = sandbox.worker().env("FFMPEG_PATH", &noting(&sandbox, "ffmpeg"));
    let tools = tools.env("FFPROBE_PATH", &noting(&sandbox, "ffprobe"));
    let worker = SECRETS.iter().fold(tools, |worker, (name, value)| worker.env(name, value)).start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    plane.completed(&job(&sandbox.input(&clips::short()), "480p_h264", "local", "a.mp4")).await;
    let notes = fs::read_to_string(sandbox.path().join("notes")).expect("the tools ran");
    assert!(notes.contains("PATH="), "{notes}");
    for (name, value) in SECRETS {
        assert!(!notes.contains(name) && !notes.contains(value), "{name}: {notes}");
    }
}

#[tokio::test]
async fn a_presigned_url_is_shown_to_nobody() {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let clip = fs::read(clips::short()).expect("a clip");
    let upload = server.client().put_object().bucket(s3::BUCKET).key("broken.mp4").body(clip[..600].to_vec().into());
    upload.send().await.expect("an upload");
    let worker = sandbox.worker().s3(&server.endpoint(), s3::ACCESS_KEY, s3::SECRET_KEY).start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    for key in ["missing.mp4", "broken.mp4"] {
        let url = format!("s3://{}/{key}", s3::BUCKET);
        let id = plane.accepted(&job(&url, "480p_h264", "local", "a.mp4")).await;
        let events = plane.events(&id).await.rest().await;
        let told = format!("{events:?} {}", plane.job(&id).await);
        assert!(told.contains("JOB_STATUS_FAILED"), "{told}");
        for secret in ["X-Amz", "Signature", s3::ACCESS_KEY, s3::SECRET_KEY] {
            assert!(!told.contains(secret), "{secret}: {told}");
        }
        let log = worker.daemon.log();
        assert!(!log.contains("X-Amz-Signature") && !log.contains(s3::SECRET_KEY), "{log}");
    }
}
