//! HLS sources, in the clear and over TLS, of which a server gives all or not.

use std::{fs, path::Path};

use e2e::{Sandbox, job};
use rstest::rstest;

use super::{broken::segments, facts};
use crate::site::{Answer, Secure, Site};

/// The one of four that is not answered like the others.
const MIDDLE: &str = "/1.ts";

/// Serves a playlist whose segment in the middle has this answer.
async fn site(folder: &Path, answer: Option<Answer>) -> Site {
    segments(folder).await;
    let folder = folder.to_owned();
    Site::local(move |path| match &answer {
        Some(answer) if path == MIDDLE => answer.clone(),
        Some(_) | None => {
            fs::read(folder.join(path.trim_start_matches('/'))).map_or(Answer::Status(404), Answer::Content)
        }
    })
    .await
}

/// The frames of the output of a job, or why there is none. The worker waits two seconds for a silent server.
async fn outcome(url: &str, authorities: Option<&Path>) -> Result<usize, String> {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().env("INPUT_ALLOW_LOOPBACK", "true").env("INPUT_TIMEOUT", "2");
    let worker = match authorities {
        Some(file) => worker.env("SSL_CERT_FILE", &file.display()),
        None => worker,
    };
    let worker = worker.start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let last = plane.run(&job(url, "480p_h264", "local", "a.mp4")).await;
    let ended = if last["status"] == "JOB_STATUS_COMPLETED" {
        Ok(facts::of_output(&sandbox.output_dir().join("a.mp4")).await.frames.len())
    } else {
        assert_eq!(sandbox.outputs(), Vec::<String>::new());
        Err(last["error"].as_str().unwrap_or_default().to_owned())
    };
    sandbox.clean().await;
    ended
}

#[tokio::test]
async fn a_playlist_over_tls_is_encoded_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let site = site(folder.path(), None).await;
    let secure = Secure::before(&site).await;
    let frames = outcome(&secure.url("/media.m3u8"), Some(&secure.authorities())).await;
    assert_eq!(frames, Ok(80));
}

/// ffmpeg goes on with the next segment, and calls that a success.
#[rstest]
#[case::missing(|_| Answer::Status(404), "the server answered 404 Not Found")]
#[case::busy(|_| Answer::Status(503), "the server answered 503 Service Unavailable")]
#[case::silent(|_| Answer::Silence, "127.0.0.1 accepts connections but does not answer")]
#[case::stops(Answer::Hang, "127.0.0.1 stopped sending")]
#[case::breaks_off(|part| Answer::Short(part, 1_000_000), "127.0.0.1 broke the connection: ")]
#[tokio::test]
async fn a_playlist_with_a_hole_publishes_nothing(
    #[case] answer: fn(Vec<u8>) -> Answer,
    #[case] cause: &str,
    #[values(false, true)] is_secure: bool,
) {
    let folder = tempfile::tempdir().expect("a folder");
    segments(folder.path()).await;
    let segment = fs::read(folder.path().join("1.ts")).expect("was made");
    let site = site(folder.path(), Some(answer(segment[..segment.len() / 2].to_vec()))).await;
    let secure = Secure::before(&site).await;
    let url = if is_secure { secure.url("/media.m3u8") } else { site.url("/media.m3u8") };
    let error = outcome(&url, Some(&secure.authorities())).await.expect_err("it has a hole");
    assert!(error.starts_with("encoding failed: input_url: ") && error.contains(cause), "{error}");
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let site = site(folder.path(), None).await;
    let secure = Secure::before(&site).await;
    let error = outcome(&secure.url("/0.ts"), None).await.expect_err("nobody knows it");
    let cause =
        "input_url: cannot be read: no trusted TLS connection to 127.0.0.1: invalid peer certificate: UnknownIssuer";
    assert!(error.contains(cause), "{error}");
}

/// Not even where a playlist that can be trusted names it.
#[tokio::test]
async fn a_segment_of_a_server_that_nobody_vouches_for_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    segments(folder.path()).await;
    let files = Site::folders(vec![folder.path().to_owned()]).await;
    let stranger = Secure::before(&files).await;
    let playlist = fs::read_to_string(folder.path().join("media.m3u8")).expect("was made");
    fs::write(folder.path().join("media.m3u8"), playlist.replace("1.ts", &stranger.url(MIDDLE))).expect("writes");
    let known = Secure::before(&files).await;
    let error = outcome(&known.url("/media.m3u8"), Some(&known.authorities())).await.expect_err("a part is not proved");
    assert!(error.contains("no trusted TLS connection to 127.0.0.1"), "{error}");
}
