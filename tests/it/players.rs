//! Web players as judges: what the service makes plays to its end in a browser.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use e2e::{Sandbox, clips, job};
use rstest::rstest;
use serde_json::Value;
use tokio::process::Command;

use crate::site::Site;

/// Thirteen seconds: two whole segments and a rest.
const SECONDS: f64 = 13.0;
const CLIP: &str = "-f lavfi -i testsrc2=s=160x90:r=10:d=13 -f lavfi -i sine=d=13 -c:v libx264 -preset fast \
    -pix_fmt yuv420p -c:a aac";

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A program of this machine.
fn program(names: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let mut candidates = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = candidates.find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| {
        panic!("{} is not installed: tests/run.sh does that (apt-get install chromium nodejs npm)", names[0])
    })
}

/// The players, as the lock file has them.
fn modules() -> PathBuf {
    let modules = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/players/node_modules"));
    assert!(modules.join("hls.js").is_dir(), "the players are not installed: tests/run.sh does that");
    modules.to_owned()
}

/// Opens the player's page and tells what happened.
async fn play(page: &str) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/players/play.mjs");
    let output = Command::new(program(&["node"]))
        .args([Path::new(script), &modules(), &program(&BROWSERS), Path::new(page)])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("node starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[rstest]
#[case::mp4_without_a_player("480p_h264", "native", "a.mp4", &["854x480"])]
#[case::hls_with_hls_js("hls_720p_abr", "hls", "a/master.m3u8", &["640x360", "1280x720"])]
#[case::hls_with_shaka("hls_720p_abr", "shaka", "a/master.m3u8", &["640x360", "1280x720"])]
#[case::dash_with_shaka("dash_720p_abr", "shaka", "a/manifest.mpd", &["640x360", "1280x720"])]
#[tokio::test]
async fn an_output_plays_to_its_end(
    #[case] preset: &str,
    #[case] player: &str,
    #[case] entry: &str,
    #[case] sizes: &[&str],
) {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let clip = clips::made("played.mp4", &CLIP.split_whitespace().collect::<Vec<_>>());
    let path = entry.split('/').next().expect("a path");
    plane.completed(&job(&sandbox.input(&clip), preset, "local", path)).await;
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("players");
    let site = Site::folders(vec![sandbox.output_dir(), pages, modules()]).await;
    let outcome = play(&site.url(&format!("/page.html?player={player}&media=/{entry}&rate=4"))).await;
    assert_eq!(outcome["ended"], true, "{outcome}");
    assert_eq!((&outcome["errors"], &outcome["complaints"]), (&Value::Array(Vec::new()), &Value::Array(Vec::new())));
    let time = |name: &str| outcome[name].as_f64().expect("a time");
    assert!((time("duration") - SECONDS).abs() < 0.3, "{outcome}");
    assert!((time("currentTime") - time("duration")).abs() < 0.1, "{outcome}");
    let seen: Vec<_> = outcome["sizes"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(sizes.iter().all(|size| seen.contains(size)), "{outcome}");
    assert_eq!(outcome["size"].as_str(), sizes.last().copied(), "{outcome}");
}
