//! HLS folders.

use std::fmt::Write as _;

use rstest::rstest;

use super::*;

const SINGLE: Preset = preset(Packaging::Hls { segment_seconds: 1, ladder: false }, &[rung(160, 90, 200)]);
const LADDER_PRESET: Preset = preset(Packaging::Hls { segment_seconds: 1, ladder: true }, LADDER);
const RICH: &[Rendition] = &[rung(160, 90, 50_000)];
const WANTED: &[Rendition] = &[LADDER[0], LADDER[1], LADDER[1]];
const VIDEO: &str = "-c:v libx264 -preset ultrafast -g 25 -fps_mode vfr -c:a aac -f hls -hls_time 1";
const SEGMENTS: &str = "-hls_playlist_type vod -hls_segment_filename";

fn single(otherwise: &str) -> Bench {
    encode(Bench::new(), otherwise)
}

/// Encodes the source into one playlist.
fn encode(bench: Bench, otherwise: &str) -> Bench {
    std::fs::create_dir(bench.path("out")).expect("made");
    let size = "-vf scale=160:90,setsar=1 -b:v 200k";
    bench.ffmpeg(&format!("-i source.mp4 {size} {VIDEO} {otherwise} {SEGMENTS} out/segment_%05d.ts out/playlist.m3u8"));
    bench
}

fn good() -> Bench {
    static FILES: OnceLock<Files> = OnceLock::new();
    Bench::copy_of(&FILES, || single(""))
}

fn good_ladder() -> Bench {
    static FILES: OnceLock<Files> = OnceLock::new();
    Bench::copy_of(&FILES, || ladder(1))
}

/// Two renditions, the second with a segment length of its own.
fn ladder(second_length: u32) -> Bench {
    let bench = Bench::new();
    let mut master = "#EXTM3U\n#EXT-X-VERSION:3\n".to_owned();
    for (name, size, length) in [("90p", "160:90", 1), ("72p", "128:72", second_length)] {
        let folder = format!("out/{name}");
        std::fs::create_dir_all(bench.path(&folder)).expect("made");
        let scale = format!("-vf scale={size},setsar=1 -b:v 150k");
        let length = format!("-hls_time {length}");
        let files = format!("{folder}/segment_%05d.ts {folder}/playlist.m3u8");
        bench.ffmpeg(&format!("-i source.mp4 {scale} {VIDEO} {length} {SEGMENTS} {files}"));
        let resolution = size.replace(':', "x");
        writeln!(master, "#EXT-X-STREAM-INF:BANDWIDTH=300000,RESOLUTION={resolution}\n{name}/playlist.m3u8")
            .expect("a String takes every write");
    }
    std::fs::write(bench.path("out/master.m3u8"), master).expect("written");
    bench
}

#[tokio::test]
async fn a_good_playlist_passes_at_every_level() {
    let mut bench = good();
    for level in [Level::Minimal, Level::Standard, Level::Strict] {
        bench.level = level;
        assert_eq!(bench.report(&SINGLE, "out").await, Report::default());
    }
}

#[tokio::test]
async fn a_good_ladder_passes_at_every_level() {
    let mut bench = good_ladder();
    for level in [Level::Minimal, Level::Standard, Level::Strict] {
        bench.level = level;
        assert_eq!(bench.report(&LADDER_PRESET, "out").await, Report::default());
    }
}

#[tokio::test]
async fn one_short_segment_passes() {
    let source = Bench::with_source("-f lavfi -i testsrc2=s=320x180:r=25:d=0.4 -f lavfi -i sine=d=0.4");
    let bench = encode(source, "");
    assert_eq!(bench.report(&SINGLE, "out").await, Report::default());
}

#[rstest]
#[case::end_missing("#EXT-X-ENDLIST", "", "HLS_PLAYLIST_SYNTAX_ERROR: playlist.m3u8: it has no end")]
#[case::climbing("segment_00002.ts", "../source.mp4", "HLS_PLAYLIST_SYNTAX_ERROR: playlist.m3u8: it names")]
#[case::absolute("segment_00002.ts", "/etc/passwd", "HLS_PLAYLIST_SYNTAX_ERROR: playlist.m3u8: it names")]
#[case::other_length("#EXTINF:1.000000,\nsegment_00002", "#EXTINF:1.4,\nsegment_00002", "HLS_DURATION_MISMATCH")]
#[case::long_length("#EXTINF:1.000000,\nsegment_00002", "#EXTINF:9,\nsegment_00002", "HLS_PLAYLIST_SYNTAX_ERROR")]
#[case::segment_left_out("#EXTINF:1.000000,\nsegment_00002.ts\n", "", "HLS_DURATION_MISMATCH")]
#[case::segment_unknown("segment_00002", "segment_77777", "HLS_SEGMENT_MISSING: segment_77777.ts")]
#[tokio::test]
async fn a_changed_playlist_is_refused(#[case] part: &str, #[case] instead: &str, #[case] expected: &str) {
    let bench = good();
    bench.edit("out/playlist.m3u8", part, instead);
    if expected == "HLS_DURATION_MISMATCH" && instead.starts_with("#EXTINF") {
        // One segment alone stays within the tolerance.
        bench.edit("out/playlist.m3u8", "#EXTINF:1.000000,\nsegment_00003", "#EXTINF:1.4,\nsegment_00003");
    }
    let report = bench.report(&SINGLE, "out").await.to_string();
    assert!(report.starts_with(expected) || report.contains(&format!("; {expected}")), "{report}");
}

#[tokio::test]
async fn a_cut_playlist_is_refused() {
    let bench = good();
    bench.cut("out/playlist.m3u8", 60);
    let report = bench.report(&SINGLE, "out").await;
    assert_eq!(codes(&report), "HLS_PLAYLIST_SYNTAX_ERROR", "{report}");
}

#[rstest]
#[case::playlist("out/playlist.m3u8", "FILE_NOT_FOUND: playlist.m3u8")]
#[case::segment("out/segment_00003.ts", "HLS_SEGMENT_MISSING: segment_00003.ts")]
#[tokio::test]
async fn a_missing_file_is_named(#[case] file: &str, #[case] expected: &str) {
    let bench = good();
    std::fs::remove_file(bench.path(file)).expect("there");
    assert_eq!(bench.report(&SINGLE, "out").await.to_string(), expected);
}

#[rstest]
#[case::playlist("playlist.m3u8")]
#[case::segment("segment_00003.ts")]
#[tokio::test]
async fn an_empty_file_is_named(#[case] file: &str) {
    let bench = good();
    std::fs::write(bench.path("out").join(file), "").expect("written");
    assert_eq!(bench.report(&SINGLE, "out").await.to_string(), format!("FILE_EMPTY: {file}"));
}

#[rstest]
#[case::codec("-c:v mpeg2video", "CODEC_MISMATCH")]
#[case::sound("-an", "CODEC_MISMATCH")]
#[case::short("-t 3", "DURATION_TOO_SHORT AV_SYNC_ERROR")]
#[tokio::test]
async fn a_stream_that_was_encoded_otherwise_is_refused(#[case] otherwise: &str, #[case] expected: &str) {
    let report = single(otherwise).report(&SINGLE, "out").await;
    assert_eq!(codes(&report), expected, "{report}");
}

#[tokio::test]
async fn a_segment_that_is_not_video_is_refused() {
    let bench = good();
    std::fs::write(bench.path("out/segment_00000.ts"), "words ".repeat(500)).expect("written");
    let report = bench.report(&SINGLE, "out").await;
    assert_eq!(codes(&report), "FFPROBE_FAILED", "{report}");
}

#[rstest]
#[case::first("72p/segment_00000.ts")]
#[case::last("72p/segment_00004.ts")]
#[tokio::test]
async fn a_segment_of_a_ladder_that_is_not_video_is_named(
    #[case] segment: &str,
    #[values(Level::Minimal, Level::Standard, Level::Strict)] level: Level,
) {
    let mut bench = good_ladder();
    bench.level = level;
    std::fs::write(bench.path("out").join(segment), "words ".repeat(500)).expect("written");
    let report = bench.report(&LADDER_PRESET, "out").await.to_string();
    let (folder, name) = segment.split_once('/').expect("in a folder");
    assert!(report.starts_with(&format!("FFPROBE_FAILED: {folder}: {name}: ")), "{report}");
    assert!(!report.contains("90p"), "{report}");
}

#[tokio::test]
async fn a_segment_without_content_is_not_taken_for_a_quiet_one() {
    let bench = good();
    let packet = [&[0x47, 0x1f, 0xff, 0x10][..], &[0xff; 184]].concat();
    std::fs::write(bench.path("out/segment_00004.ts"), packet.repeat(50)).expect("written");
    let report = bench.report(&SINGLE, "out").await;
    assert!(codes(&report).starts_with("FFPROBE_FAILED"), "{report}");
}

#[rstest]
#[case::sampled(2, Level::Standard)]
#[case::between(1, Level::Strict)]
#[tokio::test]
async fn a_damaged_segment_is_found(#[case] number: u32, #[case] level: Level) {
    let mut bench = good();
    bench.level = level;
    bench.flip(&format!("out/segment_0000{number}.ts"), 30, 2000);
    let report = bench.report(&SINGLE, "out").await;
    assert_eq!(codes(&report), "DECODE_ERROR", "{report}");
}

#[tokio::test]
async fn far_too_few_bits_are_worth_a_warning() {
    let rich = Preset { renditions: RICH, ..SINGLE };
    let report = good().report(&rich, "out").await;
    assert_eq!((codes(&report).as_str(), report.is_whole()), ("(BITRATE_ABNORMAL)", true), "{report}");
}

#[tokio::test]
async fn renditions_with_other_boundaries_are_refused() {
    let report = ladder(2).report(&LADDER_PRESET, "out").await;
    assert_eq!(codes(&report), "HLS_DURATION_MISMATCH", "{report}");
}

#[rstest]
#[case::size("128x72", "640x360", "RESOLUTION_MISMATCH: 72p: expected 128x72, the playlist says 640x360")]
#[case::climbing("72p/", "../72p/", "HLS_PLAYLIST_SYNTAX_ERROR: master.m3u8: it names")]
#[case::twice("72p/", "90p/", "RESOLUTION_MISMATCH: 90p: expected 128x72")]
#[case::media_instead("72p/playlist.m3u8", "90p/segment_00000.ts", "HLS_PLAYLIST_SYNTAX_ERROR: 90p/segment")]
#[case::gone("72p/playlist", "72p/nothing", "FILE_NOT_FOUND: 72p/nothing.m3u8")]
#[tokio::test]
async fn a_changed_master_is_refused(#[case] part: &str, #[case] instead: &str, #[case] expected: &str) {
    let bench = good_ladder();
    bench.edit("out/master.m3u8", part, instead);
    let report = bench.report(&LADDER_PRESET, "out").await.to_string();
    assert!(report.starts_with(expected), "{report}");
}

#[tokio::test]
async fn a_master_with_too_few_renditions_is_refused() {
    let bench = good_ladder();
    let wanted = Preset { renditions: WANTED, ..LADDER_PRESET };
    let report = bench.report(&wanted, "out").await;
    assert_eq!(report.to_string(), "HLS_PLAYLIST_SYNTAX_ERROR: master.m3u8: it has 2 renditions, expected 3");
}

#[rstest]
#[case::ends_segments_before_the_picture("-f lavfi -i sine=d=2")]
#[case::starts_segments_after_the_picture("-itsoffset 2.5 -f lavfi -i sine=d=2.5")]
#[tokio::test]
async fn sound_that_is_not_in_every_segment_raises_no_alarm(#[case] sound: &str) {
    let source = Bench::with_source(&format!("-f lavfi -i testsrc2=s=320x180:r=25:d=5 {sound}"));
    let bench = encode(source, "");
    assert_eq!(bench.report(&SINGLE, "out").await, Report::default());
}

#[tokio::test]
async fn sound_that_is_stored_far_before_a_slow_picture_raises_no_alarm() {
    let source = Bench::with_source("-f lavfi -i testsrc2=s=320x180:r=1:d=40 -f lavfi -i sine=d=40");
    let bench = encode(source, "-g 6 -hls_time 6");
    let slow = Preset { packaging: Packaging::Hls { segment_seconds: 6, ladder: false }, ..SINGLE };
    let report = bench.report(&slow, "out").await;
    assert_eq!(report, Report::default());
}
