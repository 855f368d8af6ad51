//! How a job is split: chunks of evenly spaced frames, and the audio beside them. What a worker plans is checked here
//! before anything is built on it.

use serde::{Deserialize, Serialize};

/// Chunks of a job at most.
pub const MAX_CHUNKS: usize = 10_000;

/// Frames of a job at most: months of video.
const MAX_FRAMES: u64 = 1 << 32;

/// The start of a file's video at most, in microseconds: a day.
const MAX_START_US: u64 = 86_400_000_000;

/// How a job is split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Where the frames are.
    pub grid: FrameGrid,
    /// In order, without a gap.
    pub chunks: Vec<Chunk>,
    /// The audio is a task of its own.
    pub has_audio: bool,
}

/// Evenly spaced frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameGrid {
    /// Frames a second, with [`Self::rate_denominator`].
    pub rate_numerator: u32,
    /// See [`Self::rate_numerator`].
    pub rate_denominator: u32,
    /// Time of the first frame after the start of the file, in microseconds.
    pub start_us: i64,
    /// How many there are.
    pub frames: u64,
    /// Length of the source in bytes; 0 where it is not known.
    #[serde(default)]
    pub source_bytes: u64,
    /// What tells versions of the source that have the same length apart; 0 where it is not known.
    #[serde(default)]
    pub source_tag: u64,
}

/// A range of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Number of its first frame, from 0.
    pub first_frame: u64,
    /// How many.
    pub frames: u64,
    /// Number of a key frame, not behind the first, from which on it can be decoded; `None` where none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_frame: Option<u64>,
    /// Threads of each encoder; 0 is one. The worker that encodes it judges the number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub encoder_threads: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A plan that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Senseless {
    /// No frame rate, or no frames, or more than there can be.
    #[error("a grid of {frames} frames, {numerator}/{denominator} a second, from {start_us} µs")]
    Grid {
        /// Frames.
        frames: u64,
        /// Of the rate.
        numerator: u32,
        /// Of the rate.
        denominator: u32,
        /// Start.
        start_us: i64,
    },
    /// None, or too many.
    #[error("{0} chunks, where 1 to {MAX_CHUNKS} are allowed")]
    Chunks(usize),
    /// A chunk does not begin where the one before it ends, or is empty.
    #[error("chunk {0} does not follow the one before it")]
    Gap(usize),
    /// A chunk is to be decoded from behind its first frame.
    #[error("chunk {0} has its key frame behind its first frame")]
    Key(usize),
    /// The chunks are not the whole video.
    #[error("the chunks have {found} frames of {expected}")]
    Sum {
        /// In all chunks.
        found: u64,
        /// In the grid.
        expected: u64,
    },
}

impl Plan {
    /// The plan, if it is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn checked(self) -> Result<Self, Senseless> {
        let FrameGrid { rate_numerator: numerator, rate_denominator: denominator, start_us, frames, .. } = self.grid;
        let is_grid = numerator > 0 && denominator > 0 && (1..=MAX_FRAMES).contains(&frames);
        if !is_grid || start_us.unsigned_abs() > MAX_START_US {
            return Err(Senseless::Grid { frames, numerator, denominator, start_us });
        }
        if self.chunks.is_empty() || self.chunks.len() > MAX_CHUNKS {
            return Err(Senseless::Chunks(self.chunks.len()));
        }
        let mut end = 0;
        for (index, chunk) in self.chunks.iter().enumerate() {
            if chunk.first_frame != end || !(1..=frames).contains(&chunk.frames) {
                return Err(Senseless::Gap(index));
            }
            if chunk.key_frame.is_some_and(|key| key > chunk.first_frame) {
                return Err(Senseless::Key(index));
            }
            // At most as many chunks, of at most so many frames: far from the end of the numbers.
            end += chunk.frames;
        }
        if end == frames { Ok(self) } else { Err(Senseless::Sum { found: end, expected: frames }) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rstest::rstest;

    use super::*;

    /// A plan with chunks of 250 frames.
    pub(crate) fn plan(chunks: u64, has_audio: bool) -> Plan {
        let grid = FrameGrid {
            rate_numerator: 25,
            rate_denominator: 1,
            start_us: 0,
            frames: chunks * 250,
            source_bytes: 9,
            source_tag: u64::MAX,
        };
        let chunks = (0..chunks)
            .map(|index| Chunk { first_frame: index * 250, frames: 250, key_frame: None, encoder_threads: 0 })
            .collect();
        Plan { grid, chunks, has_audio }
    }

    #[test]
    fn a_good_plan_passes() {
        assert_eq!(plan(3, true).checked(), Ok(plan(3, true)));
    }

    #[test]
    fn what_an_earlier_release_has_planned_has_one_thread() {
        let chunk: Chunk = serde_json::from_str(r#"{"first_frame":0,"frames":250}"#).expect("a chunk");
        assert_eq!((chunk.key_frame, chunk.encoder_threads), (None, 0));
        let two = Chunk { encoder_threads: 2, ..chunk };
        let kept = serde_json::from_value(serde_json::to_value(two).expect("JSON")).ok();
        assert_eq!(kept, Some(two));
    }

    #[rstest]
    #[case::no_rate(|plan: &mut Plan| plan.grid.rate_numerator = 0)]
    #[case::no_clock(|plan: &mut Plan| plan.grid.rate_denominator = 0)]
    #[case::too_many_frames(|plan: &mut Plan| plan.grid.frames = u64::MAX)]
    #[case::far_away(|plan: &mut Plan| plan.grid.start_us = i64::MIN)]
    #[case::no_chunks(|plan: &mut Plan| plan.chunks.clear())]
    #[case::too_many_chunks(|plan: &mut Plan| *plan = tests::plan(10_001, false))]
    #[case::a_gap(|plan: &mut Plan| plan.chunks[1].first_frame += 1)]
    #[case::an_overlap(|plan: &mut Plan| plan.chunks[1].first_frame -= 1)]
    #[case::a_key_frame_behind(|plan: &mut Plan| plan.chunks[1].key_frame = Some(251))]
    #[case::an_empty_chunk(|plan: &mut Plan| plan.chunks[1].frames = 0)]
    #[case::an_endless_chunk(|plan: &mut Plan| plan.chunks[1].frames = u64::MAX)]
    #[case::a_chunk_is_missing(|plan: &mut Plan| plan.chunks.truncate(2))]
    #[case::out_of_order(|plan: &mut Plan| plan.chunks.reverse())]
    fn a_plan_that_makes_no_sense_is_refused(#[case] spoil: fn(&mut Plan)) {
        let mut plan = plan(3, true);
        spoil(&mut plan);
        assert!(plan.checked().is_err());
    }
}
