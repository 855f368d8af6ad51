//! Kinds of sound, and what lies beside it.

use rstest::rstest;

use super::{
    promise::{Promise, shows},
    recipe::make,
};

#[rstest]
#[case::none("none.mp4", "{picture} {h264}", shows(160, 90))]
#[case::surround(
    "surround.mp4",
    "{picture} -f lavfi -i aevalsrc=0.1*sin(440*t)|0|0|0|0|0:c=5.1:d=1 {h264} {aac}",
    shows(160, 90).sounds(6)
)]
#[case::the_default_of_two_tracks(
    "tracks.mkv",
    "{picture} {sound} {sound} -map 0 -map 1 -map 2 {h264} {aac} -ac:a:0 1 -ac:a:1 2 -disposition:a:0 0 \
     -disposition:a:1 default",
    shows(160, 90).sounds(2)
)]
#[case::the_first_of_two_tracks(
    "first.mp4",
    "{picture} {sound} {sound} -map 0 -map 1 -map 2 {h264} {aac} -ac:a:0 2 -ac:a:1 1",
    shows(160, 90).sounds(2)
)]
#[case::mono_22_khz("mono.mp4", "{picture} -f lavfi -i sine=r=22050:d=1 {h264} {aac}", shows(160, 90).sounds(1))]
#[case::sound_first("first.mkv", "{picture} {sound} -map 1 -map 0 {h264} {aac}", shows(160, 90).sounds(1))]
#[case::shorter("short.mp4", "-f lavfi -i testsrc2=s=160x90:r=6:d=3 -f lavfi -i sine=d=0.4 {h264} {aac}", shows(160, 90).sounds(1))]
#[case::shorter_mkv("short.mkv", "-f lavfi -i testsrc2=s=160x90:r=6:d=3 -f lavfi -i sine=d=0.4 {h264} {aac}", shows(160, 90).sounds(1))]
#[case::longer("long.mp4", "{picture} -f lavfi -i sine=d=4 {h264} {aac}", shows(160, 90).sounds(1))]
#[case::longer_ts("long.ts", "{picture} -f lavfi -i sine=d=4 {h264} {aac}", shows(160, 90).sounds(1))]
#[case::timecode("timecode.mov", "{picture25} {sound} {h264} {aac} -timecode 10:00:00:00", shows(160, 90).sounds(1))]
#[tokio::test]
async fn sound_is_kept(#[case] name: &str, #[case] recipe: &str, #[case] promise: Promise) {
    promise.holds(&make(name, recipe)).await;
}

#[rstest]
#[case::mkv("subtitles.mkv", "srt")]
#[case::mp4("subtitles.mp4", "mov_text")]
#[tokio::test]
async fn subtitles_are_left_out(#[case] name: &str, #[case] codec: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let words = folder.path().join("words.srt");
    std::fs::write(&words, "1\n00:00:00,000 --> 00:00:01,000\nhello\n").expect("a file");
    // Made in place: a name that differs each time would fill the cache.
    let source = folder.path().join(name);
    let plain = make("plain.mp4", "{picture25} {sound} {h264} {aac}");
    let made = tokio::process::Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .args([&plain])
        .arg("-i")
        .arg(&words)
        .args(["-map", "0", "-map", "1", "-c", "copy", "-c:s", codec])
        .arg(&source)
        .status()
        .await;
    assert!(made.expect("ffmpeg is installed").success());
    shows(160, 90).sounds(1).holds(&source).await;
}
