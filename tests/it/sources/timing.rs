//! Frame rates and clocks.

use rstest::rstest;

use super::{
    promise::{Promise, shows},
    recipe::make,
};

#[rstest]
#[case::fps_23_976("23976.mp4", "-f lavfi -i testsrc2=s=160x90:r=24000/1001:d=1 {sound} {h264} {aac}")]
#[case::fps_29_97_in_milliseconds("2997.mkv", "-f lavfi -i testsrc2=s=160x90:r=30000/1001:d=1 {sound} {h264} {aac}")]
#[case::fps_60("60.mp4", "-f lavfi -i testsrc2=s=160x90:r=60:d=1 {sound} {h264} {aac}")]
#[case::fps_59_94_in_milliseconds("5994.mkv", "-f lavfi -i testsrc2=s=160x90:r=60000/1001:d=1 {sound} {h264} {aac}")]
#[case::one_frame_a_second("1.mp4", "-f lavfi -i testsrc2=s=160x90:r=1:d=4 {sound} {h264} {aac}")]
#[tokio::test]
async fn a_constant_rate_is_kept(#[case] name: &str, #[case] recipe: &str) {
    shows(160, 90).sounds(1).holds(&make(name, recipe)).await;
}

/// Frames of a phone: each is a little early or late. The clock of the encoder is that of the filter.
const JITTER: &str = "-f lavfi -i testsrc2=s=160x90:r=24:d=2 -f lavfi -i sine=d=2 \
    -vf settb=1/1000,setpts=N/(24*TB)+random(1)*0.03/TB -enc_time_base 1/1000 -fps_mode vfr {h264} {aac}";

/// A recording of a screen: lively, then nearly still.
const SCREEN: &str = "-f lavfi -i testsrc2=s=160x90:r=60:d=4 -f lavfi -i sine=d=4 \
    -vf select=lt(t\\,0.3)+not(mod(n\\,60)) -fps_mode vfr {h264} {aac}";
const SILENT_SCREEN: &str = "-f lavfi -i testsrc2=s=160x90:r=60:d=4 -vf select=lt(t\\,0.3)+not(mod(n\\,60)) \
    -fps_mode vfr {h264}";

const SLOW_THEN_FAST: &str = "-f lavfi -i testsrc2=s=160x90:r=15:d=1 -f lavfi -i testsrc2=s=160x90:r=30:d=1 \
    -f lavfi -i sine=d=2 -filter_complex [0:v][1:v]concat=n=2:v=1:a=0[v] -map [v] -map 2:a -fps_mode vfr {h264} {aac}";
const FAST_THEN_SLOW: &str = "-f lavfi -i testsrc2=s=160x90:r=30:d=1 -f lavfi -i testsrc2=s=160x90:r=15:d=1 \
    -f lavfi -i sine=d=2 -filter_complex [0:v][1:v]concat=n=2:v=1:a=0[v] -map [v] -map 2:a -fps_mode vfr {h264} {aac}";

#[rstest]
#[case::jitter_mkv("jitter.mkv", JITTER, shows(160, 90).sounds(1))]
#[case::jitter_mp4("jitter.mp4", JITTER, shows(160, 90).sounds(1))]
#[case::screen_mp4("screen.mp4", SCREEN, shows(160, 90).sounds(1))]
#[case::screen_mkv("screen.mkv", SCREEN, shows(160, 90).sounds(1))]
#[case::silent_screen_mp4("silent.mp4", SILENT_SCREEN, shows(160, 90))]
#[case::slow_then_fast("faster.mp4", SLOW_THEN_FAST, shows(160, 90).sounds(1))]
#[case::fast_then_slow_mkv("slower.mkv", FAST_THEN_SLOW, shows(160, 90).sounds(1))]
// Segments need evenly spaced frames, so the ladder repeats some.
#[tokio::test]
async fn a_variable_rate_is_kept(#[case] name: &str, #[case] recipe: &str, #[case] promise: Promise) {
    promise.with_steady_ladder().holds(&make(name, recipe)).await;
}

/// The sound starts later than the picture.
const SOUND_LATE: &str = "-f lavfi -i testsrc2=s=160x90:r=6:d=2 -itsoffset 0.7 {sound} {h264} {aac}";
/// The picture starts later than the sound.
const PICTURE_LATE: &str = "-itsoffset 0.7 {picture} -f lavfi -i sine=d=2 {h264} {aac} -fps_mode passthrough";

#[rstest]
#[case::sound_late_mp4("sound.mp4", SOUND_LATE, shows(160, 90).sounds(1))]
#[case::sound_late_mkv("sound.mkv", SOUND_LATE, shows(160, 90).sounds(1))]
#[case::sound_late_ts("sound.ts", SOUND_LATE, shows(160, 90).sounds(1))]
#[case::picture_late_mp4("picture.mp4", PICTURE_LATE, shows(160, 90).sounds(1))]
#[case::picture_late_mkv("picture.mkv", PICTURE_LATE, shows(160, 90).sounds(1))]
#[case::picture_late_ts("picture.ts", PICTURE_LATE, shows(160, 90).sounds(1))]
#[case::start_at_10_s("10.mkv", "{picture} {sound} {h264} {aac} -output_ts_offset 10", shows(160, 90).sounds(1))]
#[case::start_after_a_day("day.ts", "{picture} {sound} {h264} {aac} -output_ts_offset 90000", shows(160, 90).sounds(1))]
#[case::edit_list("edit.mp4", "-ss 0.3 -i {plain} -c copy", shows(160, 90).sounds(1))]
#[case::fragments(
    "fragments.mp4",
    "{picture} {sound} {h264} {aac} -g 6 -movflags frag_keyframe+empty_moov",
    shows(160, 90).sounds(1).within(0.03).in_one_piece()
)]
#[tokio::test]
async fn sound_and_picture_stay_together(#[case] name: &str, #[case] recipe: &str, #[case] promise: Promise) {
    promise.holds(&make(name, recipe)).await;
}
