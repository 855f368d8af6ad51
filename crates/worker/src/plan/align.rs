//! Where chunks are decoded from: a chunk begins with a key frame where one is near, and is decoded from the last one before
//! its first frame where that is known. Pure.

use super::{Chunk, Plan};

/// The part of the shorter of its chunks that an edge moves by at most.
const REACH: (u64, u64) = (3, 5);

/// Of two edges that have come nearer to each other than this part of the shortest chunk, one goes: a chunk has as much to
/// do besides, however short it is.
const NEAREST: u64 = 3;

/// A key frame that is off by more than this part of a frame is none of the grid's.
const TOLERANCE: f64 = 0.125;

/// Microseconds a second.
const MICROS: f64 = 1e6;

impl Plan {
    /// Around which times key frames are worth knowing, in seconds on the source's clock: the last one before each time. Behind
    /// an edge only half of what is in reach is looked at: the last one before the end of it may be far from the edge.
    /// `origin` is the source's time that is zero in the output. Where edges may move, but that were more than `most`
    /// times, only those that chunks are decoded from.
    pub(crate) fn searches(&self, origin: f64, may_move: bool, most: usize) -> Vec<f64> {
        let may_move = may_move && 2 * (self.chunks.len() - 1) <= most;
        let mut times = Vec::new();
        for pair in self.chunks.windows(2) {
            let [before, after] = pair else { continue };
            times.push(self.seconds_at(after.first, origin));
            if may_move {
                times.push(self.seconds_at(after.first + reach(*before, *after) / 2, origin));
            }
        }
        times
    }

    /// The plan with the key frames that are known, in seconds on the source's clock. Where edges may move, they do to the
    /// key frames within reach.
    pub(crate) fn align(mut self, keys: &[f64], origin: f64, may_move: bool) -> Self {
        let mut keys: Vec<_> = keys.iter().filter_map(|key| self.frame_at(key - origin)).collect();
        keys.sort_unstable();
        if may_move {
            self.move_edges(&keys);
        }
        for chunk in &mut self.chunks {
            chunk.key = keys.iter().copied().rfind(|key| *key <= chunk.first);
        }
        self
    }

    fn move_edges(&mut self, keys: &[u64]) {
        let edge = |pair: &[Chunk]| {
            let [before, after] = pair else { return None };
            let near = keys.iter().copied().min_by_key(|key| key.abs_diff(after.first)).unwrap_or(after.first);
            Some(if near.abs_diff(after.first) <= reach(*before, *after) { near } else { after.first })
        };
        let mut edges: Vec<_> = self.chunks.windows(2).filter_map(edge).collect();
        edges.push(self.grid.frames());
        let shortest = self.chunks.iter().map(|chunk| chunk.frames).min().unwrap_or_default();
        // The last one stays.
        edges.reverse();
        edges.dedup_by(|edge, later| (*later - *edge) * NEAREST < shortest);
        edges.reverse();
        let mut first = 0;
        let chunk = |end| {
            let chunk = Chunk { first, frames: end - first, key: None, threads: 1 };
            first = end;
            chunk
        };
        self.chunks = edges.into_iter().map(chunk).collect();
    }

    /// Half a frame behind a frame, so that no rounding moves it before the frame.
    fn seconds_at(&self, frame: u64, origin: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most 2^45")]
        let edge = self.grid.edge(frame + 1) as f64;
        origin + edge / MICROS
    }

    /// The frame that is so many seconds after the start of the file, if there is one.
    fn frame_at(&self, seconds: f64) -> Option<u64> {
        #[expect(clippy::cast_precision_loss, reason = "at most 2^45")]
        let after = seconds - self.grid.start() as f64 / MICROS;
        let place = after * self.grid.rate().per_second();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let frame = place.round() as u64;
        ((place - place.round()).abs() <= TOLERANCE && place > -TOLERANCE).then_some(frame)
    }
}

/// By how many frames the edge between two chunks may move.
fn reach(before: Chunk, after: Chunk) -> u64 {
    REACH.0 * before.frames.min(after.frames) / REACH.1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{media::FrameRate, plan::Grid};

    fn plan(lengths: &[u64]) -> Plan {
        let rate = FrameRate { numerator: 25, denominator: 1 };
        let mut first = 0;
        let chunk = |frames: &u64| {
            let chunk = Chunk { first, frames: *frames, key: None, threads: 1 };
            first += frames;
            chunk
        };
        let chunks: Vec<_> = lengths.iter().map(chunk).collect();
        Plan { grid: Grid::new(rate, 0, first).expect("countable"), chunks, has_audio: false }
    }

    fn lengths(plan: &Plan) -> Vec<u64> {
        plan.chunks.iter().map(|chunk| chunk.frames).collect()
    }

    fn keys(plan: &Plan) -> Vec<Option<u64>> {
        plan.chunks.iter().map(|chunk| chunk.key).collect()
    }

    #[test]
    fn an_edge_moves_to_a_key_frame_within_reach() {
        let aligned = plan(&[500, 500, 100, 400]).align(&[1030.0, 1016.0], 1000.0, true);
        // The other edges have nothing within reach.
        assert_eq!(lengths(&aligned), [400, 600, 100, 400]);
        assert_eq!(keys(&aligned), [None, Some(400), Some(750), Some(750)]);
    }

    #[test]
    fn a_chunk_whose_edges_meet_goes_with_its_neighbours() {
        for near in [14.0, 14.04] {
            let aligned = plan(&[300, 100, 300]).align(&[0.0, 14.0, near], 0.0, true);
            let second = if near > 14.0 { 351 } else { 350 };
            assert_eq!((lengths(&aligned), keys(&aligned)), (vec![second, 700 - second], vec![Some(0), Some(second)]));
        }
    }

    #[test]
    fn edges_of_segments_stay() {
        let aligned = plan(&[500, 500]).align(&[0.0, 16.0], 0.0, false);
        assert_eq!((lengths(&aligned), keys(&aligned)), (vec![500, 500], vec![Some(0), Some(400)]));
    }

    #[test]
    fn what_is_no_frame_of_the_grid_is_no_key_frame() {
        let aligned = plan(&[500, 500]).align(&[-1.0, 10.02, 19.9], 0.0, false);
        assert_eq!(keys(&aligned), [None, None]);
    }

    #[test]
    fn key_frames_are_looked_for_at_each_edge_and_where_it_may_move_to() {
        let plan = plan(&[300, 300, 200]);
        let searches = |may_move, most| {
            let times = plan.searches(1.0, may_move, most).into_iter().map(|time| format!("{time:.2}"));
            times.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(searches(false, 4), "13.02 25.02");
        assert_eq!(searches(true, 4), "13.02 16.62 25.02 27.42");
        assert_eq!(searches(true, 3), "13.02 25.02");
    }

    proptest! {
        #[test]
        fn chunks_stay_in_order_and_whole(
            given in proptest::collection::vec(1..2000_u64, 2..20),
            keys in proptest::collection::vec(0..40_000_u32, 0..40),
        ) {
            let keys: Vec<_> = keys.into_iter().map(|frame| f64::from(frame) / 25.0).collect();
            let aligned = plan(&given).align(&keys, 0.0, true);
            prop_assert_eq!(lengths(&aligned).iter().sum::<u64>(), given.iter().sum::<u64>());
            let shortest = given.iter().min().expect("there is one");
            prop_assert!(lengths(&aligned).iter().all(|length| 3 * length >= *shortest));
            let mut next = 0;
            for chunk in &aligned.chunks {
                prop_assert!(chunk.first == next && chunk.frames > 0 && aligned.grid.holds(*chunk));
                next += chunk.frames;
            }
        }
    }
}
