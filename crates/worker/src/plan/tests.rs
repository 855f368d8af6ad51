//! What a plan promises.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn rate(numerator: u32, denominator: u32) -> FrameRate {
    FrameRate { numerator, denominator }
}

fn grid(numerator: u32, denominator: u32, frames: u64) -> Grid {
    Grid::new(rate(numerator, denominator), 0, frames).expect("countable")
}

fn preset(name: &str) -> &'static Preset {
    preset::find(name).expect("in the catalogue")
}

#[test]
fn a_minute_in_chunks_of_24_seconds_at_most() {
    let plan = split(grid(25, 1, 1500), preset("720p_h264"), 24.0, true).expect("long enough");
    let edges: Vec<_> = plan.chunks.iter().map(|chunk| (chunk.first, chunk.frames)).collect();
    assert_eq!(edges, [(0, 429), (429, 306), (735, 219), (954, 156), (1110, 150), (1260, 120), (1380, 120)]);
    assert!(plan.has_audio);
}

#[test]
fn chunks_of_hls_have_whole_segments() {
    // 61 s: eleven segments of 6 s. A segment of 29.97 frames a second begins with frame 180, 360, 540, …
    let plan = split(grid(30_000, 1001, 1828), preset("hls_720p"), 24.0, false).expect("long enough");
    let firsts: Vec<_> = plan.chunks.iter().map(|chunk| chunk.first).collect();
    assert_eq!(firsts, [0, 540, 900, 1259, 1439, 1619, 1799]);
}

#[rstest]
#[case::short(749, "720p_h264", Some("shorter than two chunks of 15 s"))]
#[case::long_enough(750, "720p_h264", None)]
#[case::segments(750, "hls_720p", None)]
fn what_is_shorter_than_two_chunks_is_not_split(#[case] frames: u64, #[case] name: &str, #[case] why: Option<&str>) {
    let plan = split(grid(25, 1, frames), preset(name), 15.0, false);
    assert_eq!(plan.err().map(|whole| whole.to_string()).as_deref(), why);
}

#[test]
fn one_segment_is_one_chunk() {
    let plan = split(grid(25, 1, 150), preset("hls_720p"), 1.0, false);
    assert_eq!(plan, Err(Whole::Short(1.0)));
}

#[test]
fn an_edge_lies_half_a_frame_before() {
    let grid = Grid::new(rate(25, 1), 700_000, 100).expect("countable");
    assert_eq!((grid.edge(0), grid.time(0), grid.edge(50), grid.time(50)), (680_000, 700_000, 2_680_000, 2_700_000));
}

#[rstest]
#[case::none(rate(0, 1), 10)]
#[case::fine(rate(90_000, 1), 10)]
#[case::slow(rate(1, 2), 10)]
#[case::large(rate(24_000_000, 1_001_000), 10)]
#[case::empty(rate(25, 1), 0)]
#[case::endless(rate(25, 1), MAX_FRAMES + 1)]
fn no_grid_is_made_of_what_cannot_be_counted(#[case] rate: FrameRate, #[case] frames: u64) {
    assert!(Grid::new(rate, 0, frames).is_err());
}

fn rates() -> impl Strategy<Value = FrameRate> {
    let known = prop::sample::select(vec![(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (50, 1), (60_000, 1001)]);
    let any = (1..=MAX_RATE_PART, 1..=MAX_RATE_PART);
    prop_oneof![known, any].prop_map(|(numerator, denominator)| rate(numerator, denominator))
}

fn grids() -> impl Strategy<Value = Grid> {
    (rates(), -1_000_000_i64..1_000_000, 1..=MAX_FRAMES)
        .prop_filter_map("cannot be counted", |(rate, start, frames)| Grid::new(rate, start, frames).ok())
}

proptest! {
    #[test]
    fn chunks_follow_each_other_without_gap_or_overlap(
        grid in grids(), preset in prop::sample::select(preset::ALL), seconds in 0.5..600.0_f64,
    ) {
        let Ok(plan) = split(grid, &preset, seconds, false) else { return Ok(()) };
        prop_assert!(plan.chunks.len() >= 2 && plan.chunks.len() as u64 <= MAX_CHUNKS);
        let mut next = 0;
        for chunk in &plan.chunks {
            prop_assert_eq!(chunk.first, next);
            prop_assert!(grid.holds(*chunk));
            next += chunk.frames;
        }
        prop_assert_eq!(next, grid.frames());
    }

    #[test]
    fn a_chunk_begins_with_a_segment(grid in grids(), seconds in 0.5..600.0_f64) {
        let preset = *preset("hls_720p_abr");
        let length = segment_seconds(preset.packaging).expect("has segments");
        let Ok(plan) = split(grid, &preset, seconds, false) else { return Ok(()) };
        for chunk in &plan.chunks {
            let segment = grid.segment_at(chunk.first, length);
            prop_assert_eq!(grid.segment_start(segment, length), chunk.first);
        }
    }

    #[test]
    fn edges_and_frames_take_turns(grid in grids(), frame in 0..MAX_FRAMES) {
        prop_assert!(grid.edge(frame) < grid.time(frame) && grid.time(frame) < grid.edge(frame + 1));
    }

    #[test]
    fn a_plan_comes_back_from_the_wire(
        grid in grids(), preset in prop::sample::select(preset::ALL), seconds in 1.0..600.0_f64,
    ) {
        let Ok(plan) = split(grid, &preset, seconds, true) else { return Ok(()) };
        prop_assert_eq!(plan_from(Some((&plan).into())), Ok(plan));
    }
}
