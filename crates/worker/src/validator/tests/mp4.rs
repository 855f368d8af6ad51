//! Single files.

use rstest::rstest;

use super::*;

#[tokio::test]
async fn a_good_file_passes_at_every_level() {
    let mut bench = Bench::mp4("");
    for level in [Level::Minimal, Level::Standard, Level::Strict] {
        bench.level = level;
        assert_eq!(bench.report(&MP4, "output.mp4").await.findings, []);
    }
}

#[rstest]
#[case::codec("-c:v mpeg4", "CODEC_MISMATCH", "video: expected h264, found mpeg4")]
#[case::sound_codec("-c:a libmp3lame", "CODEC_MISMATCH", "audio: expected aac, found mp3")]
#[case::no_sound("-an", "CODEC_MISMATCH", "audio: expected aac, found none")]
#[case::no_picture("-vn", "NO_VIDEO_STREAM", "there is no picture")]
#[case::size("-vf scale=100:90,setsar=1", "RESOLUTION_MISMATCH", "expected 160x90, 100x90")]
#[case::pixels("-vf scale=160:90,setsar=2", "RESOLUTION_MISMATCH", "expected 160x90, shown as 320x90")]
#[case::frame_rate("-r 12", "FRAME_RATE_MISMATCH", "expected 25.000 frames per second, found 12.000")]
#[case::short("-t 3", "DURATION_TOO_SHORT AV_SYNC_ERROR", "video: expected 5.00 s, found 3.00 s")]
#[case::sound_short("-af atrim=end=3", "AV_SYNC_ERROR", "audio: expected 5.00 s, found 3.00 s")]
#[tokio::test]
async fn a_file_that_was_encoded_otherwise_is_refused(
    #[case] otherwise: &str,
    #[case] expected: &str,
    #[case] detail: &str,
) {
    let report = Bench::mp4(otherwise).report(&MP4, "output.mp4").await;
    assert_eq!(codes(&report), expected, "{report}");
    assert!(report.to_string().contains(detail), "{report}");
}

#[tokio::test]
async fn a_file_that_is_longer_than_its_source_is_only_worth_a_warning() {
    let bench = Bench::mp4("");
    bench.ffmpeg("-stream_loop 1 -i output.mp4 -c copy long.mp4");
    let report = bench.report(&MP4, "long.mp4").await;
    assert_eq!((codes(&report).as_str(), report.is_whole()), ("(DURATION_TOO_LONG)", true), "{report}");
}

#[rstest]
#[case::late("-i output.mp4 -itsoffset 0.6 -i output.mp4", "late")]
#[case::early("-itsoffset 0.6 -i output.mp4 -i output.mp4", "early")]
#[tokio::test]
async fn shifted_sound_is_refused(#[case] inputs: &str, #[case] direction: &str) {
    let bench = Bench::mp4("");
    bench.ffmpeg(&format!("{inputs} -map 0:v -map 1:a -c copy shifted.mp4"));
    let report = bench.report(&MP4, "shifted.mp4").await;
    assert_eq!(codes(&report).split(' ').next(), Some("AV_SYNC_ERROR"), "{report}");
    assert!(report.to_string().ends_with(direction), "{report}");
}

#[tokio::test]
async fn a_source_that_is_cut_in_the_middle_gives_no_output() {
    let bench = Bench::new();
    bench.cut("source.mp4", 60);
    bench.encode_mp4("");
    let report = bench.report(&MP4, "output.mp4").await;
    assert!(codes(&report).starts_with("DURATION_TOO_SHORT"), "{report}");
}

#[tokio::test]
async fn a_source_without_sound_is_worth_a_warning() {
    let bench = Bench::with_source("-f lavfi -i testsrc2=s=320x180:r=25:d=2");
    bench.encode_mp4("");
    let report = bench.report(&MP4, "output.mp4").await;
    assert_eq!((codes(&report).as_str(), report.is_whole()), ("(NO_AUDIO_STREAM)", true), "{report}");
}

#[tokio::test]
async fn sound_that_nobody_asked_for_is_refused() {
    let report = Bench::mp4("").report(&Preset { audio: None, ..MP4 }, "output.mp4").await;
    assert!(report.to_string().contains("audio: expected none, found aac"), "{report}");
}

#[rstest]
#[case::missing("nothing.mp4", "FILE_NOT_FOUND: nothing.mp4")]
#[case::empty("empty.mp4", "FILE_EMPTY: empty.mp4")]
#[case::a_link("link.mp4", "FILE_NOT_FOUND: link.mp4")]
#[case::a_folder("folder.mp4", "FILE_NOT_FOUND: folder.mp4")]
#[tokio::test]
async fn what_is_not_a_file_with_content_is_refused(#[case] output: &str, #[case] expected: &str) {
    let bench = Bench::new();
    std::fs::write(bench.path("empty.mp4"), "").expect("written");
    std::os::unix::fs::symlink("source.mp4", bench.path("link.mp4")).expect("linked");
    std::fs::create_dir(bench.path("folder.mp4")).expect("made");
    assert_eq!(bench.report(&MP4, output).await.to_string(), expected);
}

#[tokio::test]
async fn what_is_not_video_is_refused() {
    let mut bench = Bench::new();
    bench.level = Level::Minimal;
    std::fs::write(bench.path("text.mp4"), "no video, only words ".repeat(50)).expect("written");
    let report = bench.report(&MP4, "text.mp4").await;
    assert_eq!(codes(&report), "FFPROBE_FAILED", "{report}");
}

#[tokio::test]
async fn a_file_whose_index_is_cut_off_is_refused() {
    let bench = Bench::mp4("");
    bench.cut("output.mp4", 90);
    let report = bench.report(&MP4, "output.mp4").await;
    assert_eq!(codes(&report), "FFPROBE_FAILED DECODE_ERROR", "{report}");
}

#[tokio::test]
async fn a_file_that_is_cut_behind_its_index_is_refused() {
    let bench = Bench::mp4("-movflags +faststart");
    bench.cut("output.mp4", 60);
    let report = bench.report(&MP4, "output.mp4").await;
    assert_eq!(codes(&report), "DECODE_ERROR", "{report}");
}

fn long() -> Bench {
    static FILES: OnceLock<Files> = OnceLock::new();
    Bench::copy_of(&FILES, || {
        let bench = Bench::with_source("-f lavfi -i testsrc2=s=320x180:r=25:d=24 -f lavfi -i sine=d=24");
        bench.encode_mp4("-g 25");
        bench
    })
}

#[tokio::test]
async fn damage_between_the_samples_is_found_by_a_complete_decode() {
    let mut bench = long();
    bench.flip("output.mp4", 25, 2000);
    let sampled = bench.report(&MP4, "output.mp4").await;
    assert_eq!(codes(&sampled), "", "{sampled}");
    bench.level = Level::Strict;
    let complete = bench.report(&MP4, "output.mp4").await;
    assert_eq!(codes(&complete), "DECODE_ERROR", "{complete}");
}

#[rstest]
#[case::start(2)]
#[case::middle(50)]
#[case::end(95)]
#[tokio::test]
async fn damage_in_a_sample_is_found_at_the_standard_level(#[case] at_percent: usize) {
    let bench = long();
    bench.flip("output.mp4", at_percent, 2000);
    let report = bench.report(&MP4, "output.mp4").await;
    assert_eq!(codes(&report), "DECODE_ERROR", "{report}");
}

#[rstest]
#[case::sound_starts_late("-i silent.mp4 -itsoffset 1 -f lavfi -i sine=d=4")]
#[case::sound_is_longer("-i silent.mp4 -f lavfi -i sine=d=9")]
#[case::sound_is_shorter("-i silent.mp4 -f lavfi -i sine=d=2")]
#[tokio::test]
async fn sound_that_differs_in_the_source_may_differ_in_the_output(#[case] inputs: &str) {
    let bench = Bench::new();
    bench.ffmpeg("-i source.mp4 -c copy -an silent.mp4");
    bench.ffmpeg(&format!("{inputs} -c:v copy -c:a aac source.mp4"));
    bench.encode_mp4("");
    let report = bench.report(&MP4, "output.mp4").await;
    assert_eq!(report.findings, []);
}

#[tokio::test]
async fn a_variable_frame_rate_raises_no_alarm() {
    let vfr = "-f lavfi -i testsrc2=s=320x180:r=25:d=5,select='lt(n,40)+not(mod(n,3))' -f lavfi -i sine=d=5";
    let bench = Bench::with_source(&format!("{vfr} -fps_mode vfr"));
    bench.encode_mp4("");
    assert_eq!(bench.report(&MP4, "output.mp4").await.findings, []);
}
