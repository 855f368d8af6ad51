//! Shapes, pixels and codecs of pictures.

use rstest::rstest;

use super::{
    promise::{Promise, shows},
    recipe::make,
};

#[rstest]
#[case::landscape("landscape.mp4", "{picture} {sound} {h264} {aac}", shows(160, 90).sounds(1))]
#[case::portrait("portrait.mp4", "-f lavfi -i testsrc2=s=90x160:r=6:d=1 {sound} {h264} {aac}", shows(90, 160).sounds(1))]
#[case::turned_left("left.mp4", "-i {plain} -metadata:s:v rotate=90 -c copy", shows(90, 160).sounds(1))]
#[case::turned_right("right.mp4", "-i {plain} -metadata:s:v rotate=270 -c copy", shows(90, 160).sounds(1))]
#[case::upside_down("down.mp4", "-i {plain} -metadata:s:v rotate=180 -c copy", shows(160, 90).sounds(1))]
#[case::anamorphic("wide.mp4", "-f lavfi -i testsrc2=s=120x90:r=6:d=1 -vf setsar=4/3 {h264}", shows(160, 90))]
#[case::odd("odd.mkv", "-f lavfi -i testsrc2=s=641x359:r=6:d=1 -c:v ffv1 -pix_fmt yuv444p", shows(641, 359))]
#[case::full_chroma("444.mp4", "{picture} -c:v libx264 -preset ultrafast -pix_fmt yuv444p", shows(160, 90))]
#[case::ten_bit("10.mp4", "{picture} -c:v libx264 -preset ultrafast -pix_fmt yuv420p10le", shows(160, 90))]
#[case::hevc("hevc.mp4", "{picture} -c:v libx265 -preset ultrafast -x265-params log-level=none", shows(160, 90))]
#[case::av1("av1.mkv", "{picture} {sound} -c:v libaom-av1 -cpu-used 8 -usage realtime -c:a libopus", shows(160, 90).sounds(1))]
#[case::transparent(
    "alpha.webm",
    "{picture} -vf format=yuva420p -c:v libvpx-vp9 -cpu-used 8 -deadline realtime",
    shows(160, 90)
)]
#[case::interlaced(
    "fields.ts",
    "-f lavfi -i testsrc2=s=160x96:r=50:d=1 -vf tinterlace=interleave_top,setfield=tff -c:v libx264 -preset fast \
     -flags +ilme+ildct -pix_fmt yuv420p",
    shows(160, 96)
)]
#[case::interlaced_mpeg2(
    "fields.mpg",
    "-f lavfi -i testsrc2=s=160x96:r=50:d=1 -vf tinterlace=interleave_top,setfield=tff -c:v mpeg2video \
     -flags +ilme+ildct",
    shows(160, 96)
)]
#[case::one_frame("one.mp4", "{picture} -frames:v 1 {h264}", shows(160, 90).in_one_piece())]
#[case::one_frame_mkv("one.mkv", "{picture} -frames:v 1 {h264}", shows(160, 90).in_one_piece())]
#[case::three_frames("three.mp4", "{picture} -frames:v 3 {h264}", shows(160, 90))]
#[case::narrow("narrow.mp4", "-f lavfi -i testsrc2=s=16x360:r=6:d=1 {h264}", shows(16, 360))]
#[case::tiny("tiny.mp4", "-f lavfi -i testsrc2=s=16x16:r=6:d=1 {h264}", shows(16, 16))]
#[case::two_pictures("two.mp4", "-f lavfi -i testsrc2=s=80x60:r=10:d=1 {picture} -map 0 -map 1 {h264}", shows(160, 90))]
#[tokio::test]
async fn a_picture_keeps_its_shape(#[case] name: &str, #[case] recipe: &str, #[case] promise: Promise) {
    promise.holds(&make(name, recipe)).await;
}

#[rstest]
#[case::behind("behind.mp4", "-map 0 -map 1 -disposition:v:1 attached_pic")]
#[case::in_front("front.mp4", "-map 1 -map 0 -disposition:v:0 attached_pic")]
#[tokio::test]
async fn a_cover_is_not_the_picture(#[case] name: &str, #[case] maps: &str) {
    let cover = make("cover.jpg", "-f lavfi -i testsrc2=s=600x600:r=1:d=1 -frames:v 1");
    let recipe = format!("-i {{plain}} -i {} {maps} -c copy", cover.display());
    shows(160, 90).sounds(1).holds(&make(name, &recipe)).await;
}
