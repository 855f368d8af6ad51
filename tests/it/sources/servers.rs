//! Servers that do not give what was asked for.

use std::{fs, time::Duration};

use e2e::{Plane, Sandbox, Worker, job};
use rstest::rstest;
use tokio::time::Instant;

use super::recipe::make;
use crate::site::{Answer, Site};

/// A worker that waits two seconds for a silent server, and its control plane.
async fn service(sandbox: &Sandbox) -> (Worker, Plane) {
    let worker = sandbox.worker().env("INPUT_ALLOW_LOOPBACK", "true").env("INPUT_TIMEOUT", "2").start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    (worker, plane)
}

/// The job fails in time, says the cause, and leaves nothing.
async fn assert_fails(url: &str, cause: &str) {
    let sandbox = Sandbox::new();
    let (_worker, plane) = service(&sandbox).await;
    let start = Instant::now();
    let error = plane.failed(&job(url, "480p_h264", "local", "a.mp4")).await;
    assert!(error.contains(cause), "{error}");
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    assert_eq!(sandbox.outputs(), Vec::<String>::new());
    sandbox.clean().await;
}

#[rstest]
#[case::not_found(Answer::Status(404), "404 Not Found")]
#[case::gone(Answer::Status(410), "410 Gone")]
#[case::forbidden(Answer::Status(403), "403 Forbidden")]
#[case::broken(Answer::Status(500), "500 Internal Server Error")]
#[case::silent(Answer::Silence, "does not answer")]
#[case::not_http(Answer::Noise, "broke the connection")]
#[case::empty(Answer::Content(Vec::new()), "input_url: cannot be read")]
#[case::silent_at_once(Answer::Hang(Vec::new()), "input_url: cannot be read")]
#[case::turns_in_circles(Answer::Redirect("/a.mp4".to_owned()), "127.0.0.1 redirects too often")]
#[tokio::test]
async fn a_server_that_does_not_serve_is_named(#[case] answer: Answer, #[case] cause: &str) {
    let site = Site::local(move |_| answer.clone()).await;
    assert_fails(&site.url("/a.mp4"), cause).await;
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_named() {
    let port = e2e::Port::reserve();
    assert_fails(&format!("http://{}/a.mp4", port.address()), "cannot connect to 127.0.0.1").await;
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_named() {
    assert_fails("http://no-such-host.invalid/a.mp4", "host no-such-host.invalid cannot be found").await;
}

/// Two thirds of a clip.
fn first_part(name: &str) -> Vec<u8> {
    let clip = make(name, "-f lavfi -i testsrc2=s=320x180:r=25:d=6 {sound} {h264} {aac} -movflags +faststart");
    let content = fs::read(clip).expect("a clip");
    content[..content.len() * 2 / 3].to_vec()
}

#[rstest]
#[case::hangs_in_mp4("long.mp4", Answer::Hang, "input_url: 127.0.0.1 stopped sending")]
#[case::hangs_in_mkv("long.mkv", Answer::Hang, "input_url: 127.0.0.1 stopped sending")]
#[case::hangs_in_ts("long.ts", Answer::Hang, "input_url: 127.0.0.1 stopped sending")]
#[case::resets("long.ts", Answer::Reset, "127.0.0.1 broke the connection: ")]
#[case::lies_about_the_length("long.ts", |part| Answer::Short(part, 1_000_000), "127.0.0.1 broke the connection: ")]
#[case::lies_in_mkv("long.mkv", |part| Answer::Short(part, 1_000_000), "127.0.0.1 broke the connection: ")]
#[tokio::test]
async fn a_server_that_stops_in_the_middle_publishes_nothing(
    #[case] name: &str,
    #[case] answer: fn(Vec<u8>) -> Answer,
    #[case] cause: &str,
) {
    let part = first_part(name);
    let site = Site::local(move |_| answer(part.clone())).await;
    assert_fails(&site.url(&format!("/{name}")), cause).await;
}
