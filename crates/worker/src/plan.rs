//! How a job is split: evenly spaced frames, numbered, in ranges. Pure, but for the reading of the frames.
//!
//! A plan depends on the source's frames, the preset and the settings, not on the fleet. It is written down before any part
//! is made: where key frames could not be looked for in time, other edges are as good.

use preset::{Packaging, Preset};

use crate::media::FrameRate;

pub use shape::chunk_lengths;
pub(crate) use wire::{Invalid, chunk_from, plan_from};

mod align;
mod shape;
mod threads;
mod wire;

/// Threads of an encoder at most.
const MAX_THREADS: u32 = 16;

/// More chunks are not made, however long the source is: they are longer instead.
pub(crate) const MAX_CHUNKS: u64 = 4096;

/// A day and a half at the highest rate.
pub(crate) const MAX_FRAMES: u64 = 1 << 25;

/// Either part of a rate; ticks of an eighth of a frame must fit into ffmpeg's time bases.
const MAX_RATE_PART: u32 = 1_000_000;

/// Clocks in outputs count eighths of a frame.
pub(crate) const TICKS_PER_FRAME: u32 = 8;

/// Microseconds a second.
const MICROS: i128 = 1_000_000;

/// Evenly spaced frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    rate: FrameRate,
    start: i64,
    frames: u64,
    /// Length of the source; 0 where it is not known.
    source_bytes: u64,
    /// What tells versions of it that have the same length apart; 0 where it is not known.
    source_tag: u64,
}

/// A range of frames; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Number of the first one.
    pub(crate) first: u64,
    /// How many there are.
    pub(crate) frames: u64,
    /// Number of a key frame, not behind the first, from which on all frames can be decoded. `None`: it is not known.
    pub(crate) key: Option<u64>,
    /// Threads of each encoder. They change the bytes, so they are planned.
    pub(crate) threads: u32,
}

/// How a job is split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The frames of the source.
    pub(crate) grid: Grid,
    /// In order, without a gap; two or more.
    pub(crate) chunks: Vec<Chunk>,
    /// Whether there is an audio part.
    pub(crate) has_audio: bool,
}

/// Why a job is not split.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Whole {
    /// Not worth it, or all in one segment.
    #[error("shorter than two chunks of {0} s")]
    Short(f64),
    /// The frames have no numbers.
    #[error("frames are not evenly spaced")]
    Uneven,
    /// Nobody knows how many frames there are.
    #[error("length is not known")]
    UnknownLength,
    /// Nothing to decode from within reach.
    #[error("key frames are too far apart")]
    FewKeyFrames,
    /// The rate is none that a clock can count.
    #[error("frame rate cannot be counted exactly")]
    Rate,
    /// Longer than anything sensible.
    #[error("too many frames")]
    ManyFrames,
    /// It could not be read to its end in time.
    #[error("frames cannot be counted: {0}")]
    Uncounted(String),
    /// Parts need more permissions than outputs.
    #[error("parts cannot be kept: {0}")]
    Storage(String),
}

impl Grid {
    /// Frames at this rate, the first at `start` microseconds after the start of the file.
    ///
    /// # Errors
    /// Why such frames cannot be split.
    pub(crate) fn new(rate: FrameRate, start: i64, frames: u64) -> Result<Self, Whole> {
        let parts = [rate.numerator, rate.denominator];
        let is_countable = parts.iter().all(|part| (1..=MAX_RATE_PART).contains(part));
        if !is_countable || !(1.0..=240.0).contains(&rate.per_second()) || start.unsigned_abs() > 1 << 45 {
            return Err(Whole::Rate);
        }
        match frames {
            0 => Err(Whole::UnknownLength),
            1..=MAX_FRAMES => Ok(Self { rate, start, frames, source_bytes: 0, source_tag: 0 }),
            _ => Err(Whole::ManyFrames),
        }
    }

    /// The frames of a source of this length in bytes and with this tag; 0 for what is not known.
    pub(crate) fn of_source(self, bytes: u64, tag: u64) -> Self {
        Self { source_bytes: bytes, source_tag: tag, ..self }
    }

    /// Whether a source of this length and with this tag may be the one that was planned; 0 for what is not known.
    pub(crate) fn may_be_of(&self, bytes: u64, tag: u64) -> bool {
        let may_be = |planned: u64, found: u64| planned == 0 || found == 0 || planned == found;
        may_be(self.source_bytes, bytes) && may_be(self.source_tag, tag)
    }

    /// Frames a second.
    pub(crate) fn rate(&self) -> FrameRate {
        self.rate
    }

    /// Time of the first frame after the start of the file, in microseconds.
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// How many frames there are.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Time of a frame after the start of the file, in microseconds.
    pub(crate) fn time(&self, frame: u64) -> i64 {
        self.half_frames(2 * i128::from(frame))
    }

    /// Half a frame before that: no rounding of a container's clock moves a frame over this edge.
    pub(crate) fn edge(&self, frame: u64) -> i64 {
        self.half_frames(2 * i128::from(frame) - 1)
    }

    /// Length of so many frames in seconds.
    pub(crate) fn seconds(&self, frames: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "exact: there are at most MAX_FRAMES")]
        let frames = frames as f64;
        frames / self.rate.per_second()
    }

    /// Whether the range lies inside, and can be encoded.
    pub(crate) fn holds(&self, chunk: Chunk) -> bool {
        let end = chunk.first.checked_add(chunk.frames);
        let is_ahead = chunk.key.is_none_or(|key| key <= chunk.first);
        let has_threads = (1..=MAX_THREADS).contains(&chunk.threads);
        chunk.frames > 0 && is_ahead && has_threads && end.is_some_and(|end| end <= self.frames)
    }

    /// The first frame of a segment: the first one that is not before its start.
    pub(crate) fn segment_start(&self, segment: u64, segment_seconds: u32) -> u64 {
        let FrameRate { numerator, denominator } = self.rate;
        let frames = u128::from(segment) * u128::from(segment_seconds) * u128::from(numerator);
        u64::try_from(frames.div_ceil(u128::from(denominator))).unwrap_or(u64::MAX)
    }

    /// How many segments there are.
    fn segments(&self, segment_seconds: u32) -> u64 {
        self.segment_at(self.frames, segment_seconds)
    }

    /// The number of segments that begin before a frame: the next one is the first that begins with it or later.
    pub(crate) fn segment_at(&self, frame: u64, segment_seconds: u32) -> u64 {
        let FrameRate { numerator, denominator } = self.rate;
        // A segment begins before the frame where its exact start is at most the time of the frame before.
        let Some(last) = frame.checked_sub(1) else { return 0 };
        let per_segment = u128::from(segment_seconds.max(1)) * u128::from(numerator);
        u64::try_from(u128::from(last) * u128::from(denominator) / per_segment).map_or(u64::MAX, |begun| begun + 1)
    }

    fn half_frames(&self, count: i128) -> i64 {
        let FrameRate { numerator, denominator } = self.rate;
        let (count, per) = (count * i128::from(denominator) * MICROS, 2 * i128::from(numerator));
        let rounded = (2 * count + per).div_euclid(2 * per);
        // At most 2^25 seconds and 2^45 microseconds.
        i64::try_from(rounded).unwrap_or(i64::MAX).saturating_add(self.start)
    }
}

/// Splits frames into chunks of at most about `chunk_seconds`. Where the output has segments, every chunk has whole ones.
///
/// # Errors
/// Why the job is better not split.
pub(crate) fn split(grid: Grid, preset: &Preset, chunk_seconds: f64, has_audio: bool) -> Result<Plan, Whole> {
    let seconds = grid.seconds(grid.frames);
    if seconds < 2.0 * chunk_seconds {
        return Err(Whole::Short(chunk_seconds));
    }
    // Units that are not split further, and where each begins.
    let segment_seconds = segment_seconds(preset.packaging);
    let units = segment_seconds.map_or(grid.frames, |seconds| grid.segments(seconds));
    let begin = |unit: u64| match segment_seconds {
        _ if unit == units => grid.frames,
        None => unit,
        Some(seconds) => grid.segment_start(unit, seconds),
    };
    let mut chunks = Vec::new();
    let mut at = 0;
    for length in chunk_lengths(units, chunk_seconds / seconds) {
        chunks.push(Chunk { first: begin(at), frames: begin(at + length) - begin(at), key: None, threads: 1 });
        at += length;
    }
    if chunks.len() < 2 {
        return Err(Whole::Short(chunk_seconds));
    }
    Ok(Plan { grid, chunks, has_audio })
}

/// Length of an output's segments, if it has any.
pub(crate) fn segment_seconds(packaging: Packaging) -> Option<u32> {
    match packaging {
        Packaging::Mp4 => None,
        Packaging::Hls { segment_seconds, .. } | Packaging::Dash { segment_seconds } => Some(segment_seconds),
    }
}

#[cfg(test)]
mod tests;
