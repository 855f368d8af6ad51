//! How many threads encode a chunk: one, so that as many chunks are encoded at a time as there are cores. Pure.

use preset::{Preset, Rate};

use super::Plan;

/// Threads of each encoder of the chunk that is begun last. Of two, one often waits for the other; more than four gain little,
/// as what decodes the frames has one.
const LAST: u32 = 4;

impl Plan {
    /// The plan with more threads for the chunk that is begun last: when the other slots have nothing left to do, it has
    /// their cores. Control planes begin the longest chunks first, and of equal ones the earliest.
    ///
    /// Only at a constant quality: what x264 spends of a bit rate depends on how far its other threads are.
    pub(crate) fn hurry_the_last(mut self, preset: &Preset) -> Self {
        if preset.renditions.iter().any(|rendition| !matches!(rendition.rate, Rate::Quality { .. })) {
            return self;
        }
        if let Some(last) = self.chunks.iter_mut().rev().min_by_key(|chunk| chunk.frames) {
            last.threads = LAST;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{
        media::FrameRate,
        plan::{Chunk, Grid},
    };

    #[rstest]
    #[case::of_equal_ones("480p_h264", [300, 120, 120, 200], [1, 1, 4, 1])]
    #[case::shortest("1080p_h264", [300, 200, 120, 150], [1, 1, 4, 1])]
    #[case::bit_rate("hls_720p", [300, 200, 120, 150], [1, 1, 1, 1])]
    #[case::ceiling("hls_720p_abr", [300, 200, 120, 150], [1, 1, 1, 1])]
    fn the_chunk_that_is_begun_last_may_have_more_threads(
        #[case] preset: &str,
        #[case] lengths: [u64; 4],
        #[case] expected: [u32; 4],
    ) {
        let mut first = 0;
        let chunk = |frames| {
            first += frames;
            Chunk { first: first - frames, frames, key: None, threads: 1 }
        };
        let chunks: Vec<_> = lengths.into_iter().map(chunk).collect();
        let rate = FrameRate { numerator: 25, denominator: 1 };
        let plan = Plan { grid: Grid::new(rate, 0, first).expect("countable"), chunks, has_audio: false };
        let plan = plan.hurry_the_last(preset::find(preset).expect("a preset"));
        assert_eq!(plan.chunks.iter().map(|chunk| chunk.threads).collect::<Vec<_>>(), expected);
    }
}
