//! Frame by frame the same as in one piece.

use std::{path::Path, process::Command};

use e2e::{Sandbox, clips};
use rstest::rstest;

use super::{job, nothing_hidden, plane, tasks, whole};

const PICTURE: &str = "-f lavfi -i testsrc2=size=160x90:rate=25:duration=9";
const SOUND: &str = "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=9";
const H264: &str = "-c:v libx264 -preset veryfast -g 50 -bf 3 -pix_fmt yuv420p";

fn source(name: &str, recipe: &str) -> std::path::PathBuf {
    let line = recipe.replace("{picture}", PICTURE).replace("{sound}", SOUND).replace("{h264}", H264);
    let plain = || clips::made("plain9.mp4", &words(&format!("{PICTURE} {SOUND} {H264} -c:a aac")));
    let line = if line.contains("{plain}") { line.replace("{plain}", &plain().display().to_string()) } else { line };
    clips::made(name, &words(&line))
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// When each decoded frame is shown, in order, as ffprobe prints it.
fn frames(path: &Path) -> Vec<String> {
    let args = "-v error -select_streams v:0 -show_entries frame=pts_time -of csv=p=0";
    let output = Command::new("ffprobe").args(words(args)).arg(path).output().expect("ffprobe");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| line.trim_end_matches(',').to_owned()).filter(|line| !line.is_empty()).collect()
}

/// How much later the sound starts than the picture, and its number of packets.
fn sound(path: &Path) -> (usize, Option<f64>) {
    let args = "-v error -select_streams a:0 -show_entries packet=pts_time -of csv=p=0";
    let output = Command::new("ffprobe").args(words(args)).arg(path).output().expect("ffprobe");
    let text = String::from_utf8(output.stdout).expect("text");
    let times: Vec<f64> = text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
    (times.len(), times.first().copied())
}

#[rstest]
#[case::plain("plain.mp4", "{picture} {sound} {h264} -c:a aac")]
#[case::silent("silent.mp4", "{picture} {h264}")]
#[case::open_gop("open.mp4", "{picture} {sound} {h264} -x264-params open-gop=1:keyint=40:bframes=3 -c:a aac")]
#[case::transport_stream("a.ts", "{picture} {sound} {h264} -c:a aac -f mpegts")]
#[case::matroska("a.mkv", "{picture} {sound} {h264} -c:a aac")]
#[case::hevc(
    "hevc.mp4",
    "{picture} {sound} -c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=4 -c:a aac"
)]
#[case::edit_list("edit.mp4", "-ss 1.3 -i {plain} -c copy")]
#[case::interlaced("i.mp4", "{picture} {sound} {h264} -s 160x96 -flags +ildct+ilme -x264-params tff=1 -c:a aac")]
#[case::ntsc("ntsc.mp4", "-f lavfi -i testsrc2=size=160x90:rate=30000/1001:duration=9 {sound} {h264} -c:a aac")]
#[case::film("film.mkv", "-f lavfi -i testsrc2=size=160x90:rate=24000/1001:duration=9 {sound} {h264} -c:a aac")]
#[case::late_picture("late.mp4", "-itsoffset 0.5 {picture} {sound} {h264} -c:a aac")]
#[tokio::test]
async fn a_split_source_has_the_frames_of_the_whole_one(#[case] name: &str, #[case] recipe: &str) {
    let (sandbox, clip) = (Sandbox::new(), source(name, recipe));
    let worker = sandbox.worker().start().await;
    let (plane, input) = (plane(&sandbox, &[&worker]).await, sandbox.input(&clip));
    plane.completed(&whole(&input, "480p_h264", "whole.mp4")).await;
    let id = plane.accepted(&job(&input, "480p_h264", "split.mp4")).await;
    let last = plane.events(&id).await.last().await;
    assert_eq!(last["status"], "JOB_STATUS_COMPLETED", "{last}");
    let there = plane.job(&id).await;
    assert!(tasks(&there, "chunk").len() >= 3, "{there}");
    let (whole, split) = (sandbox.output_dir().join("whole.mp4"), sandbox.output_dir().join("split.mp4"));
    assert_eq!(frames(&split), frames(&whole));
    let ((sounds, start), (expected, expected_start)) = (sound(&split), sound(&whole));
    assert_eq!(sounds, expected);
    assert!(start.zip(expected_start).is_none_or(|(start, expected)| (start - expected).abs() < 0.002));
    sandbox.clean().await;
}

#[rstest]
#[case::single("hls_720p")]
#[case::ladder("hls_720p_abr")]
#[case::dash("dash_720p_abr")]
#[tokio::test]
async fn segments_of_a_split_source_are_those_of_the_whole_one(#[case] preset: &str) {
    let recipe = "-f lavfi -i testsrc2=size=160x90:rate=30000/1001:duration=26 \
        -f lavfi -i sine=frequency=440:sample_rate=48000:duration=26 {h264} -c:a aac";
    let (sandbox, clip) = (Sandbox::new(), source("segments.mp4", recipe));
    let worker = sandbox.worker().start().await;
    let (plane, input) = (plane(&sandbox, &[&worker]).await, sandbox.input(&clip));
    plane.completed(&whole(&input, preset, "whole")).await;
    plane.completed(&job(&input, preset, "split")).await;
    let playlists = |root: &str| {
        let mut all = super::contents(&sandbox.output_dir().join(root));
        all.retain(|(name, _)| name.ends_with("playlist.m3u8"));
        let text = |(name, bytes): (String, Vec<u8>)| (name, String::from_utf8(bytes).expect("text"));
        all.into_iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(playlists("split"), playlists("whole"));
    let names = |root: &str| {
        super::contents(&sandbox.output_dir().join(root)).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names("split"), names("whole"));
    let entry = if preset.starts_with("dash") { "manifest.mpd" } else { "playlist.m3u8" };
    let entry = if preset == "hls_720p_abr" { "master.m3u8" } else { entry };
    let show = |root: &str| frames(&sandbox.output_dir().join(root).join(entry));
    assert_eq!(show("split"), show("whole"));
}

#[rstest]
#[case::variable_rate(
    "vfr.mkv",
    "-f lavfi -i testsrc2=size=160x90:rate=25:duration=9 -vf setpts=PTS+0.3*floor(N/20)/TB -fps_mode vfr {h264}"
)]
#[case::broken_times(
    "broken.mkv",
    "-f lavfi -i testsrc2=size=160x90:rate=25:duration=9 -vf settb=1/1000,setpts=PTS+random(1)*0.02/TB -fps_mode vfr -enc_time_base 1/1000 {h264}"
)]
#[case::short("short.mp4", "-f lavfi -i testsrc2=size=160x90:rate=25:duration=3 {h264}")]
#[tokio::test]
async fn what_cannot_be_split_is_encoded_whole_and_says_why(#[case] name: &str, #[case] recipe: &str) {
    let (sandbox, clip) = (Sandbox::new(), source(name, recipe));
    let worker = sandbox.worker().start().await;
    let plane = plane(&sandbox, &[&worker]).await;
    let id = plane.accepted(&job(&sandbox.input(&clip), "480p_h264", "a.mp4")).await;
    let last = plane.events(&id).await.last().await;
    assert_eq!(last["status"], "JOB_STATUS_COMPLETED", "{last}");
    let there = plane.job(&id).await;
    assert!(there["whole"].as_str().is_some_and(|reason| !reason.is_empty()), "{there}");
    assert_eq!(tasks(&there, "chunk").len(), 0, "{there}");
    nothing_hidden(&sandbox).await;
    assert_eq!(sandbox.outputs(), ["a.mp4"]);
}
