//! Moves the edges of chunks to where little has to be decoded before them. Pure.

use super::{Chunk, Plan};

/// How much earlier than told a search goes, in seconds: where frames are reordered, ffmpeg goes back by 3/23 s.
const SLACK: f64 = 0.2;

/// An edge moves by a part of the shorter of its chunks at most.
const REACH: u64 = 3;

impl Plan {
    /// Where chunks begin but the first, in seconds on the source's clock. `origin` is its time that is zero in the output.
    pub(crate) fn edges(&self, origin: f64) -> Vec<f64> {
        #[expect(clippy::cast_precision_loss, reason = "at most 2^45")]
        let seconds = |chunk: &Chunk| origin + self.grid.time(chunk.first) as f64 / 1e6;
        self.chunks.iter().skip(1).map(seconds).collect()
    }

    /// The plan with edges so long behind key frames as a chunk is decoded before its first frame, where one is near.
    pub(crate) fn align(mut self, keys: &[f64], origin: f64, lead: f64) -> Self {
        let cheap: Vec<_> = keys.iter().map(|key| self.first_frame_at(key + lead + SLACK - origin)).collect();
        let edge = |pair: &[Chunk]| {
            let [before, after] = pair else { return None };
            let reach = before.frames.min(after.frames) / REACH;
            let near = cheap.iter().copied().min_by_key(|edge| edge.abs_diff(after.first))?;
            Some(if near.abs_diff(after.first) <= reach { near } else { after.first })
        };
        let mut edges: Vec<_> = self.chunks.windows(2).filter_map(edge).collect();
        if edges.len() + 1 == self.chunks.len() {
            edges.push(self.grid.frames());
            let mut first = 0;
            for (chunk, end) in self.chunks.iter_mut().zip(edges) {
                *chunk = Chunk { first, frames: end - first };
                first = end;
            }
        }
        self
    }

    /// The first frame that is not before this time, in seconds after the source's first.
    fn first_frame_at(&self, seconds: f64) -> u64 {
        #[expect(clippy::cast_precision_loss, reason = "at most 2^45")]
        let after = seconds - self.grid.start() as f64 / 1e6;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let frame = (after * self.grid.rate().per_second()).ceil() as u64;
        frame
    }
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
            let chunk = Chunk { first, frames: *frames };
            first += frames;
            chunk
        };
        let chunks: Vec<_> = lengths.iter().map(chunk).collect();
        Plan { grid: Grid::new(rate, 0, first).expect("countable"), chunks, has_audio: false }
    }

    fn lengths(plan: &Plan) -> Vec<u64> {
        plan.chunks.iter().map(|chunk| chunk.frames).collect()
    }

    #[test]
    fn an_edge_moves_to_where_a_chunk_is_decoded_from_a_key_frame() {
        let aligned = plan(&[500, 500, 100, 400]).align(&[1012.0, 1030.0], 1000.0, 3.0);
        // The second edge has nothing within reach, the third neither.
        assert_eq!(lengths(&aligned), [381, 619, 100, 400]);
        assert_eq!(aligned.edges(1000.0), [1015.24, 1040.0, 1044.0]);
    }

    proptest! {
        #[test]
        fn chunks_stay_in_order_and_whole(
            given in proptest::collection::vec(1..2000_u64, 2..20),
            keys in proptest::collection::vec(0.0..1600.0_f64, 0..40),
        ) {
            let aligned = plan(&given).align(&keys, 0.0, 3.0);
            prop_assert_eq!(lengths(&aligned).iter().sum::<u64>(), given.iter().sum::<u64>());
            let mut next = 0;
            for chunk in &aligned.chunks {
                prop_assert!(chunk.first == next && chunk.frames > 0);
                next += chunk.frames;
            }
        }
    }
}
