//! Containers and the codecs that live in them, from files and over HTTP.

use std::{fs, path::Path};

use e2e::{Sandbox, job};
use rstest::rstest;

use super::{
    facts,
    promise::{Promise, shows},
    recipe::make,
};
use crate::site::{Answer, Site};

/// What most have: picture and one channel of sound.
const USUAL: Promise = shows(160, 90).sounds(1);

#[rstest]
#[case::mkv("a.mkv", "{picture} {sound} {h264} {aac}", USUAL)]
#[case::webm_vp8("vp8.webm", "{picture} {sound} -c:v libvpx -cpu-used 8 -deadline realtime -c:a libvorbis", USUAL)]
#[case::webm_vp9("vp9.webm", "{picture} {sound} -c:v libvpx-vp9 -cpu-used 8 -deadline realtime -c:a libopus", USUAL)]
#[case::mov(
    "prores.mov",
    "{picture} {sound} -c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le -c:a pcm_s16le",
    USUAL
)]
#[case::avi("mjpeg.avi", "{picture} {sound} -c:v mjpeg -c:a pcm_s16le", USUAL)]
#[case::avi_mpeg4("mpeg4.avi", "{picture} {sound} -c:v mpeg4 -bf 2 -c:a libmp3lame", USUAL.with_vague_start().in_one_piece())]
#[case::flv("sorenson.flv", "{picture} {sound} -c:v flv1 -ar 44100 -c:a libmp3lame", USUAL)]
#[case::flv_h264("h264.flv", "{picture} {sound} {h264} {aac}", USUAL)]
#[case::ogv("theora.ogv", "{picture} {sound} -c:v libtheora -c:a libvorbis", USUAL)]
#[case::ts("plain.ts", "{picture} {sound} {h264} {aac}", USUAL)]
#[case::ts_mpeg2("mpeg2.ts", "{picture25} {sound} -c:v mpeg2video -c:a mp2", USUAL)]
#[case::ps("mpeg1.mpg", "{picture25} {sound} -c:v mpeg1video -c:a mp2 -f mpeg", USUAL.with_vague_start().in_one_piece())]
#[case::vob("mpeg2.vob", "{picture25} {sound} -c:v mpeg2video -c:a ac3 -f vob", USUAL)]
// The decoder drops the first packet of sound, and whether it counts differs.
#[case::wmv("a.wmv", "{picture} {sound} -c:v wmv2 -c:a wmav2", USUAL.with_vague_start())]
#[case::three_gp("a.3gp", "-f lavfi -i testsrc2=s=176x144:r=6:d=1 {sound} -c:v h263 -c:a aac", shows(176, 144).sounds(1))]
#[case::mxf("a.mxf", "{picture25} -f lavfi -i sine=r=48000:d=1 -c:v mpeg2video -c:a pcm_s16le", USUAL)]
#[case::gif("a.gif", "{picture}", shows(160, 90).in_one_piece())]
#[tokio::test]
async fn a_container_is_read(#[case] name: &str, #[case] recipe: &str, #[case] promise: Promise) {
    promise.holds(&make(name, recipe)).await;
}

/// Runs a job over HTTP and compares the number of frames.
async fn encodes_from(site: &Site, path: &str, frames: usize) {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().env("INPUT_ALLOW_LOOPBACK", "true").start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    plane.completed(&job(&site.url(path), "480p_h264", "local", "a.mp4")).await;
    let found = facts::of_output(&sandbox.output_dir().join("a.mp4")).await.frames.len();
    assert_eq!(found, frames, "{path}");
    sandbox.clean().await;
}

#[rstest]
#[case::index_in_front("-movflags +faststart")]
#[case::index_behind("")]
#[tokio::test]
async fn a_file_is_read_over_http(#[case] flags: &str) {
    let clip = make("web.mp4", &format!("{{picture25}} {{sound}} {{h264}} {{aac}} {flags}"));
    let content = fs::read(clip).expect("a clip");
    let site = Site::local(move |_| Answer::Content(content.clone())).await;
    encodes_from(&site, "/a.mp4", 25).await;
}

#[tokio::test]
async fn a_stream_without_a_length_is_read_over_http() {
    let content = fs::read(make("live.ts", "{picture25} {sound} {h264} {aac}")).expect("a clip");
    let site = Site::local(move |_| Answer::Endless(content.clone())).await;
    encodes_from(&site, "/a.ts", 25).await;
}

#[tokio::test]
async fn a_redirect_is_followed() {
    let content = fs::read(make("live.ts", "{picture25} {sound} {h264} {aac}")).expect("a clip");
    let site = Site::local(move |path| match path {
        "/old" => Answer::Redirect("/new.ts".to_owned()),
        _ => Answer::Content(content.clone()),
    })
    .await;
    encodes_from(&site, "/old", 25).await;
}

/// Cuts a clip of two seconds into segments of half a second, as a folder with a master playlist.
async fn playlist(folder: &Path, kind: &str) {
    let picture = "-f lavfi -i testsrc2=s=160x90:r=24:d=2 -f lavfi -i sine=d=2 -c:v libx264 -preset ultrafast -g 12 \
        -pix_fmt yuv420p -c:a aac -f hls -hls_time 0.5 -hls_list_size 0 -master_pl_name master.m3u8 -hls_segment_type";
    let status = tokio::process::Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin"])
        .args(picture.split_whitespace())
        .args([kind, "media.m3u8"])
        .current_dir(folder)
        .status()
        .await;
    assert!(status.expect("ffmpeg is installed").success());
}

#[rstest]
#[case::master_of_ts("mpegts", "/master.m3u8")]
#[case::media_of_ts("mpegts", "/media.m3u8")]
#[case::master_of_fragments("fmp4", "/master.m3u8")]
#[tokio::test]
async fn a_playlist_is_read_over_http(#[case] kind: &str, #[case] path: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    playlist(folder.path(), kind).await;
    let site = Site::folders(vec![folder.path().to_owned()]).await;
    encodes_from(&site, path, 48).await;
}
