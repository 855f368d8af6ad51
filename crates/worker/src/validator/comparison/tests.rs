//! One rule at a time, on figures.

use preset::Preset;
use rstest::rstest;

use super::*;
use crate::{media::Media, validator::tests::source};

const MP4: &str = "480p_h264";
const HLS: &str = "hls_720p";

fn preset(name: &str) -> &'static Preset {
    preset::find(name).expect("in the catalogue")
}

fn track() -> Track {
    Track {
        name: String::new(),
        carries: Carries::Both,
        rendition: 0,
        init: None,
        pieces: vec!["output.mp4".into()],
        declared_length: None,
        declared_size: None,
        init_size: 0,
        sizes: vec![500_000],
    }
}

/// What a good output of `source` looks like.
fn good(preset: &Preset, source: &Media) -> Observed {
    let mut video = source.video.clone().expect("has video");
    video.coded = preset.renditions[0].fit.apply(video.display);
    (video.display, video.codec) = (video.coded, "h264".into());
    let audio = source.audio.clone().map(|audio| crate::media::Audio { codec: "aac".into(), ..audio });
    let timeline = Timeline::of(source);
    Observed { video: Some(video), audio, timeline, pieces: vec![timeline.streams()], index: None }
}

fn span(start: f64, end: f64) -> Span {
    Span { start, end: Some(end) }
}

fn found(source: &Media, observed: &Observed) -> Vec<String> {
    let expected = Expectation::new(preset(MP4), source);
    compare(&track(), observed, &expected).iter().map(ToString::to_string).collect()
}

/// Begins and ends of picture and sound, in the source and in the output.
type Times = ((f64, f64), (f64, f64));

#[rstest]
#[case::same(((0.0, 10.0), (0.0, 10.0)), ((0.0, 10.0), (0.0, 10.0)), "")]
#[case::kept_gap(((0.0, 10.0), (1.0, 10.0)), ((0.0, 10.0), (1.0, 10.0)), "")]
#[case::gap_filled_with_silence(((0.0, 10.0), (1.0, 10.0)), ((0.0, 10.0), (0.0, 10.0)), "")]
#[case::gap_lost(((0.0, 10.0), (1.0, 10.0)), ((0.0, 10.0), (0.0, 9.0)), "the sound is 1.00 s early")]
#[case::late(((0.0, 10.0), (0.0, 10.0)), ((0.0, 10.0), (0.3, 10.3)), "the sound is 0.30 s late")]
#[case::a_little_late(((0.0, 10.0), (0.0, 10.0)), ((0.0, 10.0), (0.1, 10.1)), "")]
#[case::picture_without_first_frames(((0.0, 10.0), (0.0, 10.0)), ((1.4, 10.0), (0.0, 10.0)), "")]
#[case::sound_padded_at_its_end(((0.0, 10.0), (0.0, 9.7)), ((0.0, 10.0), (0.0, 10.0)), "")]
#[case::sound_cut(((0.0, 10.0), (0.0, 10.0)), ((0.0, 10.0), (0.0, 6.0)), "audio: expected 10.00 s, found 6.00 s")]
#[case::longer_sound_cut(((0.0, 5.0), (0.0, 10.0)), ((0.0, 5.0), (0.0, 5.0)), "audio: expected 10.00 s, found 5.00 s")]
#[case::both_cut(((0.0, 10.0), (0.0, 10.0)), ((0.0, 6.0), (0.0, 6.0)), "video: expected 10.00 s, found 6.00 s")]
fn sound_and_picture_keep_their_times(#[case] from: Times, #[case] to: Times, #[case] expected: &str) {
    let (mut source, ((video_start, video_end), (audio_start, audio_end))) = (source(), from);
    let video = source.video.as_mut().expect("has video");
    (video.start, video.duration) = (Some(video_start), Some(video_end - video_start));
    let audio = source.audio.as_mut().expect("has audio");
    (audio.start, audio.duration) = (Some(audio_start), Some(audio_end - audio_start));
    source.duration = Some(video_end.max(audio_end));
    let mut observed = good(preset(MP4), &source);
    let ((video_start, video_end), (audio_start, audio_end)) = to;
    observed.timeline =
        Timeline { video: Some(span(video_start, video_end)), audio: Some(span(audio_start, audio_end)), length: None };
    let findings = found(&source, &observed).join("; ");
    assert_eq!(findings.is_empty(), expected.is_empty(), "{findings}");
    assert!(findings.contains(expected), "{findings}");
}

#[rstest]
#[case::matroska_that_counts_from_zero(1.0, 10.0, 10.0, 10.0)]
#[case::matroska_that_counts_from_its_start(1.0, 9.0, 10.0, 10.0)]
fn no_stream_is_promised_beyond_its_container(
    #[case] start: f64,
    #[case] length: f64,
    #[case] container: f64,
    #[case] expected: f64,
) {
    let mut source = Media { duration: Some(container), ..source() };
    let audio = source.audio.as_mut().expect("has audio");
    (audio.start, audio.duration) = (Some(start), Some(length));
    assert_eq!(Timeline::of(&source).audio, Some(span(start, expected)));
}

#[rstest]
#[case::whole(5.2, "")]
#[case::cut(3.0, "DURATION_TOO_SHORT")]
fn a_source_that_tells_only_its_whole_length_is_compared_with_the_whole(#[case] end: f64, #[case] code: &str) {
    let mut source = source();
    source.video.as_mut().expect("has video").duration = None;
    source.audio.as_mut().expect("has audio").duration = None;
    let mut observed = good(preset(MP4), &source);
    observed.timeline = Timeline { video: Some(span(0.0, end.min(2.0))), audio: Some(span(0.0, end)), length: None };
    let findings = found(&source, &observed).join("; ");
    assert!(findings.starts_with(code) && findings.is_empty() == code.is_empty(), "{findings}");
}

#[rstest]
#[case::whole(6.0, "")]
#[case::cut(3.0, "DURATION_TOO_SHORT")]
fn the_gap_before_a_picture_is_not_part_of_it(#[case] end: f64, #[case] code: &str) {
    let mut source = Media { duration: Some(7.2), ..source() };
    let video = source.video.as_mut().expect("has video");
    (video.start, video.duration) = (Some(1.2), None);
    source.audio.as_mut().expect("has audio").duration = None;
    let mut observed = good(preset(MP4), &source);
    observed.audio = None;
    observed.timeline = Timeline { video: Some(span(0.0, end)), ..Timeline::default() };
    let silent = Preset { audio: None, ..*preset(MP4) };
    let findings = compare(&track(), &observed, &Expectation::new(&silent, &source));
    assert_eq!(findings.first().map_or("", |finding| finding.code.as_str()), code);
}

#[rstest]
#[case::a_little(1.4, 3.88, Some("Warning"))]
#[case::half(1.4, 2.0, Some("Error"))]
#[case::not_an_excerpt(0.0, 3.88, Some("Error"))]
fn an_excerpt_may_lose_what_is_before_its_first_key_frame(
    #[case] start: f64,
    #[case] end: f64,
    #[case] severity: Option<&str>,
) {
    let mut source = Media { audio: None, ..source() };
    source.video.as_mut().expect("has video").start = Some(start);
    let mut observed = good(preset(MP4), &source);
    observed.timeline = Timeline { video: Some(span(0.0, end)), ..Timeline::default() };
    let findings = compare(&track(), &observed, &Expectation::new(preset(MP4), &source));
    assert_eq!(findings.first().map(|finding| format!("{:?}", finding.severity)).as_deref(), severity);
}

#[test]
fn a_last_picture_that_stands_is_only_worth_a_warning() {
    let source = Media { has_even_frames: false, ..source() };
    let mut observed = good(preset(MP4), &source);
    observed.timeline.video = Some(span(0.0, 3.0));
    let findings = compare(&track(), &observed, &Expectation::new(preset(MP4), &source));
    assert!(matches!(findings.as_slice(), [only] if *only == Finding::warning(Code::DurationTooShort, &*only.detail)));
}

#[rstest]
#[case::two_pixels(856, 480, true)]
#[case::more(858, 480, false)]
fn a_size_may_be_rounded(#[case] width: u32, #[case] height: u32, #[case] passes: bool) {
    let mut observed = good(preset(MP4), &source());
    let video = observed.video.as_mut().expect("has video");
    video.coded = Size { width, height };
    video.display = video.coded;
    assert_eq!(found(&source(), &observed).is_empty(), passes);
}

#[rstest]
#[case::as_asked(1_700_000, 0)]
#[case::twice(4_000_000, 1)]
#[case::next_to_nothing(50_000, 1)]
fn the_bit_rate_is_compared_where_the_preset_has_one(#[case] bytes: u64, #[case] warnings: usize) {
    let expected = Expectation::new(preset(HLS), &source());
    let track = Track { sizes: vec![bytes], ..track() };
    let findings = compare(&track, &good(preset(HLS), &source()), &expected);
    assert_eq!(findings.iter().filter(|finding| finding.code == Code::BitrateAbnormal).count(), warnings);
}

#[rstest]
#[case::same(Some(5.28), true)]
#[case::longer(Some(9.0), false)]
#[case::shorter(Some(4.0), false)]
#[case::no_playlist(None, true)]
fn segments_add_up_to_the_stream(#[case] declared_length: Option<f64>, #[case] passes: bool) {
    let expected = Expectation::new(preset(HLS), &source());
    let track = Track { declared_length, sizes: vec![1_700_000], ..track() };
    assert_eq!(compare(&track, &good(preset(HLS), &source()), &expected).is_empty(), passes);
}
