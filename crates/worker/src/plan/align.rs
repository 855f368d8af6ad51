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
    /// Around which times key frames are worth knowing, in seconds on the source's clock: the last one before each time. An
    /// edge that may move has one before it, one in the nearer half of what is in reach behind it, and one in the other.
    /// `origin` is the source's time that is zero in the output. Where edges may move, but that were more than `most`
    /// times, only those that chunks are decoded from.
    pub(crate) fn searches(&self, origin: f64, may_move: bool, most: usize) -> Vec<f64> {
        let may_move = may_move && 3 * (self.chunks.len() - 1) <= most;
        let mut times = Vec::new();
        for pair in self.chunks.windows(2) {
            let [before, after] = pair else { continue };
            times.push(self.seconds_at(after.first, origin));
            if may_move {
                let reach = reach(*before, *after);
                times.extend([reach / 2, reach].map(|behind| self.seconds_at(after.first + behind, origin)));
            }
        }
        times
    }

    /// Of key frames those that [`Self::align`] makes something of, in order, as times to search for. Were it told only these,
    /// it would come to the same.
    pub(crate) fn decoded_from(&self, keys: &[f64], origin: f64, may_move: bool) -> Vec<f64> {
        let keys = self.frames_at(keys, origin);
        let edges = if may_move { self.moved_edges(&keys) } else { self.edges().collect() };
        let mut wanted: Vec<_> = edges.into_iter().filter_map(|edge| last_before(&keys, edge)).collect();
        wanted.dedup();
        wanted.into_iter().map(|key| self.seconds_at(key, origin)).collect()
    }

    /// The plan with the key frames that are known, in seconds on the source's clock. Where edges may move, they do to the
    /// key frames within reach.
    pub(crate) fn align(mut self, keys: &[f64], origin: f64, may_move: bool) -> Self {
        let keys = self.frames_at(keys, origin);
        if may_move {
            self.cut_at(self.moved_edges(&keys));
        }
        // The first one is decoded from the start of the source, whatever is there.
        for chunk in self.chunks.iter_mut().skip(1) {
            chunk.key = last_before(&keys, chunk.first);
        }
        self
    }

    /// Where chunks begin, but for the first.
    fn edges(&self) -> impl Iterator<Item = u64> {
        self.chunks.iter().skip(1).map(|chunk| chunk.first)
    }

    /// The same once they are at the nearest of these frames, where it is within reach.
    fn moved_edges(&self, keys: &[u64]) -> Vec<u64> {
        let edge = |pair: &[Chunk]| {
            let [before, after] = pair else { return None };
            let near = keys.iter().copied().min_by_key(|key| key.abs_diff(after.first)).unwrap_or(after.first);
            Some(if near.abs_diff(after.first) <= reach(*before, *after) { near } else { after.first })
        };
        self.chunks.windows(2).filter_map(edge).collect()
    }

    /// Makes chunks of what is between these edges, but for those that are too near to one another.
    fn cut_at(&mut self, mut edges: Vec<u64>) {
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

    /// The numbers of these frames in order, but for those that there are not.
    fn frames_at(&self, times: &[f64], origin: f64) -> Vec<u64> {
        let mut frames: Vec<_> = times.iter().filter_map(|time| self.frame_at(time - origin)).collect();
        frames.sort_unstable();
        frames
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

/// The last of these frames that is not behind this one.
fn last_before(keys: &[u64], frame: u64) -> Option<u64> {
    keys.iter().copied().rfind(|key| *key <= frame)
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
            assert_eq!((lengths(&aligned), keys(&aligned)), (vec![second, 700 - second], vec![None, Some(second)]));
        }
    }

    #[test]
    fn edges_of_segments_stay() {
        let aligned = plan(&[500, 500]).align(&[0.0, 16.0], 0.0, false);
        assert_eq!((lengths(&aligned), keys(&aligned)), (vec![500, 500], vec![None, Some(400)]));
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
        assert_eq!(searches(true, 6), "13.02 16.62 20.22 25.02 27.42 29.82");
        assert_eq!(searches(true, 5), "13.02 25.02");
    }

    proptest! {
        #[test]
        fn key_frames_that_are_not_wanted_change_nothing(
            given in proptest::collection::vec(1..500_u64, 2..20),
            keys in proptest::collection::vec(0..4000_u32, 0..60),
            may_move: bool,
        ) {
            let keys: Vec<_> = keys.into_iter().map(|frame| f64::from(frame) / 25.0).collect();
            let half_a_frame = 0.5 / 25.0;
            let searches = plan(&given).decoded_from(&keys, 0.0, may_move);
            let wanted: Vec<_> = searches.into_iter().map(|time| time - half_a_frame).collect();
            prop_assert_eq!(plan(&given).align(&wanted, 0.0, may_move), plan(&given).align(&keys, 0.0, may_move));
        }

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
