//! File URLs, output paths and job ids that would leave their folder.

use std::{fs, os::unix::fs::symlink};

use e2e::{Sandbox, clips, job};
use proto::v1::{JobRequest, OutputConfig};
use reqwest::StatusCode;
use tonic::Code;

use super::{failure, service};

#[tokio::test]
async fn without_a_folder_file_urls_are_a_bad_request() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().without("INPUT_DIR").start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let (status, body) = plane.post(&job("file:///etc/passwd", "480p_h264", "local", "a.mp4")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert!(body["error"].as_str().is_some_and(|error| error.contains("INPUT_DIR")), "{body}");
}

#[tokio::test]
async fn files_outside_the_folder_cannot_be_named() {
    let sandbox = Sandbox::new();
    let (_worker, plane) = service(&sandbox).await;
    let folder = sandbox.input_dir();
    let secret = sandbox.path().join("secret.mp4");
    fs::copy(clips::short(), &secret).expect("a copy");
    symlink(&secret, folder.join("link.mp4")).expect("a link");
    symlink(sandbox.path(), folder.join("up")).expect("a link");
    // A folder beside it, whose name begins like its own.
    fs::create_dir(sandbox.path().join("input-2")).expect("a folder");
    fs::copy(&secret, sandbox.path().join("input-2/a.mp4")).expect("a copy");
    let folder = folder.display();
    for path in [
        format!("{folder}/../secret.mp4"),
        format!("{folder}/%2e%2e/secret.mp4"),
        format!("{folder}/%2E%2E%2Fsecret.mp4"),
        format!("{folder}/..%2fsecret.mp4"),
        format!("{folder}/link.mp4"),
        format!("{folder}/up/secret.mp4"),
        format!("{folder}-2/a.mp4"),
        format!("{folder}/missing.mp4"),
        format!("{folder}/"),
        format!("{folder}"),
        format!("{}", secret.display()),
        "/etc/passwd".to_owned(),
        "/dev/zero".to_owned(),
        "/proc/self/environ".to_owned(),
    ] {
        let error = failure(&plane, &sandbox, &format!("file://{path}")).await;
        assert!(error.contains("no such file in INPUT_DIR"), "{path}: {error}");
    }
}

#[tokio::test]
async fn a_playlist_in_the_folder_opens_nothing() {
    let sandbox = Sandbox::new();
    let (_worker, plane) = service(&sandbox).await;
    let secret = sandbox.path().join("secret.mp4");
    fs::copy(clips::short(), &secret).expect("a copy");
    let secret = secret.display();
    for (name, text) in [
        ("a.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n")),
        ("b.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n".to_owned()),
        ("c.txt", format!("ffconcat version 1.0\nfile '{secret}'\n")),
        ("d.mpd", format!("<MPD><Period><BaseURL>file://{secret}</BaseURL></Period></MPD>")),
        ("e.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n".to_owned()),
    ] {
        let file = sandbox.input_dir().join(name);
        fs::write(&file, text).expect("a file");
        let error = failure(&plane, &sandbox, &format!("file://{}", file.display())).await;
        assert!(error.starts_with("encoding failed: input_url: cannot be read"), "{name}: {error}");
    }
}

/// Paths that climb out, or cannot be stored everywhere.
const BAD_PATHS: [&str; 12] = [
    "",
    "..",
    "../a.mp4",
    "a/../../b.mp4",
    "a/..",
    "/a.mp4",
    "a\0.mp4",
    "a\n.mp4",
    "a\u{7f}.mp4",
    "a\\b.mp4",
    "./a.mp4",
    "a//b.mp4",
];

#[tokio::test]
async fn an_output_path_that_climbs_out_is_a_bad_request() {
    let sandbox = Sandbox::new();
    let (_worker, plane) = service(&sandbox).await;
    let input = sandbox.input(&clips::short());
    for path in BAD_PATHS {
        for preset in ["480p_h264", "hls_720p"] {
            let (status, body) = plane.post(&job(&input, preset, "local", path)).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path:?}: {body}");
            assert!(body["error"].as_str().is_some_and(|error| error.starts_with("output.path: ")), "{path:?}: {body}");
        }
    }
    assert_eq!(sandbox.outputs(), Vec::<String>::new());
}

fn request(sandbox: &Sandbox, job_id: &str, path: &str) -> JobRequest {
    let output = OutputConfig { storage: "local".to_owned(), path: path.to_owned(), ..OutputConfig::default() };
    JobRequest {
        job_id: job_id.to_owned(),
        input_url: sandbox.input(&clips::short()),
        preset: "480p_h264".to_owned(),
        output: Some(output),
        ..JobRequest::default()
    }
}

#[tokio::test]
async fn the_worker_trusts_no_path_either() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    for path in BAD_PATHS {
        let status = worker.client().submit_job(request(&sandbox, "a", path)).await.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{path:?}: {status}");
        assert!(status.message().contains("output.path"), "{path:?}: {status}");
    }
}

#[tokio::test]
async fn the_worker_trusts_no_job_id() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    for id in ["../x", "..", ".", "", "a/b", "/etc", "a\0b", "a b", &"x".repeat(129)] {
        let status = worker.client().submit_job(request(&sandbox, id, "a.mp4")).await.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{id:?}: {status}");
        assert!(status.message().starts_with("job_id"), "{id:?}: {status}");
    }
    assert_eq!(sandbox.outputs(), Vec::<String>::new());
}

#[tokio::test]
async fn a_url_forges_no_line_of_a_log() {
    let sandbox = Sandbox::new();
    let (worker, plane) = service(&sandbox).await;
    let forged = "file:///tmp/x%0A2026-11-28T00:00:00Z%20ERROR%20forged%1B%5B31m%00";
    failure(&plane, &sandbox, forged).await;
    for (name, log) in [("worker", worker.daemon.log()), ("control plane", plane.daemon.log())] {
        let is_raw = |character: char| character.is_control() && character != '\n';
        assert!(
            !log.contains(is_raw) && !log.lines().any(|line| line.starts_with("2026-11-28T00:00:00Z")),
            "{name}: {log:?}"
        );
    }
    assert!(worker.daemon.log().contains("forged"), "it is not in the log at all");
}
