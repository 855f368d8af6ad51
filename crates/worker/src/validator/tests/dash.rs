//! DASH folders.

use rstest::rstest;

use super::*;

const DASH: Preset = preset(Packaging::Dash { segment_seconds: 1 }, LADDER);

fn dash(sound: &str) -> Bench {
    encode(Bench::new(), sound)
}

fn encode(bench: Bench, sound: &str) -> Bench {
    std::fs::create_dir(bench.path("out")).expect("made");
    let scale = "[0:v]split=2[a][b];[a]scale=160:90,setsar=1[v];[b]scale=128:72,setsar=1[w]";
    let encode = "-map [v] -map [w] -c:v libx264 -preset ultrafast -g 25 -b:v 150k -fps_mode vfr";
    let names = "-init_seg_name init_$RepresentationID$.m4s -media_seg_name chunk_$RepresentationID$_$Number%05d$.m4s";
    let form = "-f dash -seg_duration 1 -use_template 1 -use_timeline 1";
    bench.ffmpeg(&format!("-i source.mp4 -filter_complex {scale} {encode} {sound} {form} {names} out/manifest.mpd"));
    bench
}

fn with_sound() -> Bench {
    static FILES: OnceLock<Files> = OnceLock::new();
    Bench::copy_of(&FILES, || dash("-map 0:a -c:a aac"))
}

#[tokio::test]
async fn a_good_manifest_passes_at_every_level() {
    let mut bench = with_sound();
    for level in [Level::Minimal, Level::Standard, Level::Strict] {
        bench.level = level;
        assert_eq!(bench.report(&DASH, "out").await, Report::default());
    }
}

#[tokio::test]
async fn a_picture_that_starts_late_raises_no_alarm() {
    let bench = Bench::new();
    bench.ffmpeg("-itsoffset 1.2 -i source.mp4 -i source.mp4 -map 0:v -map 1:a -c copy late.mp4");
    std::fs::rename(bench.path("late.mp4"), bench.path("source.mp4")).expect("renamed");
    assert_eq!(encode(bench, "-map 0:a -c:a aac").report(&DASH, "out").await, Report::default());
}

#[rstest]
#[case::manifest("manifest.mpd", "FILE_NOT_FOUND")]
#[case::segment("chunk_1_00003.m4s", "HLS_SEGMENT_MISSING")]
#[case::init("init_2.m4s", "HLS_SEGMENT_MISSING")]
#[tokio::test]
async fn a_missing_file_is_named(#[case] file: &str, #[case] code: &str) {
    let bench = with_sound();
    std::fs::remove_file(bench.path("out").join(file)).expect("there");
    assert_eq!(bench.report(&DASH, "out").await.to_string(), format!("{code}: {file}"));
}

#[rstest]
#[case::live("static", "dynamic", "HLS_PLAYLIST_SYNTAX_ERROR")]
#[case::cut("</Period>", "", "HLS_PLAYLIST_SYNTAX_ERROR")]
#[case::climbing("media=\"chunk", "media=\"../chunk", "HLS_PLAYLIST_SYNTAX_ERROR")]
#[case::size("width=\"128\"", "width=\"640\"", "RESOLUTION_MISMATCH")]
#[case::slower_clock("timescale=\"12800\"", "timescale=\"6400\"", "HLS_DURATION_MISMATCH")]
#[tokio::test]
async fn a_changed_manifest_is_refused(#[case] part: &str, #[case] instead: &str, #[case] code: &str) {
    let bench = with_sound();
    bench.edit("out/manifest.mpd", part, instead);
    let report = bench.report(&DASH, "out").await;
    assert!(codes(&report).starts_with(code), "{report}");
}

#[tokio::test]
async fn missing_sound_is_refused_once() {
    let report = dash("").report(&DASH, "out").await;
    assert_eq!(report.to_string(), "CODEC_MISMATCH: representation 0: audio: expected aac, found none");
}

#[tokio::test]
async fn sound_that_ends_early_is_refused() {
    let report = dash("-map 0:a -c:a aac -af atrim=end=3").report(&DASH, "out").await;
    assert_eq!(codes(&report), "AV_SYNC_ERROR", "{report}");
}

#[rstest]
#[case::sampled("out/chunk_1_00003.m4s", Level::Standard)]
#[case::between("out/chunk_1_00002.m4s", Level::Strict)]
#[tokio::test]
async fn a_damaged_segment_is_found(#[case] file: &str, #[case] level: Level) {
    let mut bench = with_sound();
    bench.level = level;
    bench.flip(file, 50, 1500);
    let report = bench.report(&DASH, "out").await;
    assert_eq!(codes(&report), "DECODE_ERROR", "{report}");
}

#[tokio::test]
async fn a_source_that_is_cut_in_the_middle_gives_no_output() {
    let bench = with_sound();
    let mut source = bench.probe("source.mp4").await;
    for length in [&mut source.duration, &mut source.video.as_mut().expect("has video").duration] {
        *length = Some(8.0);
    }
    let report = bench.judge_against(&source, &DASH, "out", &CancellationToken::new()).await.expect("can be judged");
    assert_eq!(codes(&report), "DURATION_TOO_SHORT", "{report}");
}
