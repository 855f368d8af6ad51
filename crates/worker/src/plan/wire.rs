//! Plans as the wire has them. What comes from there is not trusted.

use proto::v1;

use super::{Chunk, Grid, MAX_CHUNKS, Plan};
use crate::media::FrameRate;

/// What is wrong with a plan or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    /// The frames.
    #[error("grid: is missing, or its rate, start or number of frames cannot be")]
    Grid,
    /// A range.
    #[error(
        "chunk: is missing, empty or not inside the grid, or its key frame is behind it, or it has too many threads"
    )]
    Chunk,
    /// All ranges together.
    #[error(
        "chunks: there must be 2 to 4096, each of which can be encoded, without a gap, from the first frame to the last"
    )]
    Chunks,
    /// The plan itself.
    #[error("plan: is missing")]
    Plan,
}

/// Checks a chunk and the frames that it is a range of.
///
/// # Errors
/// What is wrong.
pub(crate) fn chunk_from(grid: Option<v1::FrameGrid>, chunk: Option<v1::Chunk>) -> Result<(Grid, Chunk), Invalid> {
    let grid = grid_from(grid)?;
    let chunk = chunk.ok_or(Invalid::Chunk)?.into();
    if grid.holds(chunk) { Ok((grid, chunk)) } else { Err(Invalid::Chunk) }
}

/// Checks a plan.
///
/// # Errors
/// What is wrong.
pub(crate) fn plan_from(plan: Option<v1::Plan>) -> Result<Plan, Invalid> {
    let v1::Plan { grid, chunks, has_audio } = plan.ok_or(Invalid::Plan)?;
    let grid = grid_from(grid)?;
    let chunks: Vec<Chunk> = chunks.into_iter().map(Into::into).collect();
    let count = u64::try_from(chunks.len()).unwrap_or(u64::MAX);
    let next = |next: u64, chunk: &Chunk| (chunk.first == next && grid.holds(*chunk)).then(|| next + chunk.frames);
    let is_whole = chunks.iter().try_fold(0, next) == Some(grid.frames());
    if (2..=MAX_CHUNKS).contains(&count) && is_whole {
        Ok(Plan { grid, chunks, has_audio })
    } else {
        Err(Invalid::Chunks)
    }
}

fn grid_from(grid: Option<v1::FrameGrid>) -> Result<Grid, Invalid> {
    let v1::FrameGrid { rate_numerator, rate_denominator, start_us, frames, source_bytes, source_tag } =
        grid.ok_or(Invalid::Grid)?;
    let rate = FrameRate { numerator: rate_numerator, denominator: rate_denominator };
    let grid = Grid::new(rate, start_us, frames).map_err(|_| Invalid::Grid)?;
    Ok(grid.of_source(source_bytes, source_tag))
}

impl From<v1::Chunk> for Chunk {
    fn from(v1::Chunk { first_frame: first, frames, key_frame: key, encoder_threads }: v1::Chunk) -> Self {
        Self { first, frames, key, threads: encoder_threads.max(1) }
    }
}

impl From<&Chunk> for v1::Chunk {
    fn from(&Chunk { first: first_frame, frames, key: key_frame, threads }: &Chunk) -> Self {
        let encoder_threads = if threads == 1 { 0 } else { threads };
        Self { first_frame, frames, key_frame, encoder_threads }
    }
}

impl From<&Plan> for v1::Plan {
    fn from(plan: &Plan) -> Self {
        let rate = plan.grid.rate();
        let grid = v1::FrameGrid {
            rate_numerator: rate.numerator,
            rate_denominator: rate.denominator,
            start_us: plan.grid.start(),
            frames: plan.grid.frames(),
            source_bytes: plan.grid.source_bytes,
            source_tag: plan.grid.source_tag,
        };
        Self { grid: Some(grid), chunks: plan.chunks.iter().map(Into::into).collect(), has_audio: plan.has_audio }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn grid(rate_numerator: u32, rate_denominator: u32, frames: u64) -> v1::FrameGrid {
        v1::FrameGrid { rate_numerator, rate_denominator, frames, ..v1::FrameGrid::default() }
    }

    fn chunk(first_frame: u64, frames: u64) -> v1::Chunk {
        v1::Chunk { first_frame, frames, ..v1::Chunk::default() }
    }

    fn keyed(first_frame: u64, frames: u64, key: u64) -> v1::Chunk {
        v1::Chunk { key_frame: Some(key), ..chunk(first_frame, frames) }
    }

    #[rstest]
    #[case::good(Some(grid(25, 1, 100)), Some(chunk(50, 50)), None)]
    #[case::key(Some(grid(25, 1, 100)), Some(keyed(50, 50, 50)), None)]
    #[case::key_behind(Some(grid(25, 1, 100)), Some(keyed(50, 50, 51)), Some(Invalid::Chunk))]
    #[case::threads(Some(grid(25, 1, 100)), Some(v1::Chunk { encoder_threads: 16, ..chunk(50, 50) }), None)]
    #[case::many_threads(Some(grid(25, 1, 100)), Some(v1::Chunk { encoder_threads: 17, ..chunk(50, 50) }), Some(Invalid::Chunk))]
    #[case::no_grid(None, Some(chunk(0, 1)), Some(Invalid::Grid))]
    #[case::no_rate(Some(grid(25, 0, 100)), Some(chunk(0, 1)), Some(Invalid::Grid))]
    #[case::no_chunk(Some(grid(25, 1, 100)), None, Some(Invalid::Chunk))]
    #[case::empty(Some(grid(25, 1, 100)), Some(chunk(10, 0)), Some(Invalid::Chunk))]
    #[case::beyond(Some(grid(25, 1, 100)), Some(chunk(50, 51)), Some(Invalid::Chunk))]
    #[case::overflow(Some(grid(25, 1, 100)), Some(chunk(u64::MAX, 2)), Some(Invalid::Chunk))]
    fn a_chunk_lies_inside_its_frames(
        #[case] grid: Option<v1::FrameGrid>,
        #[case] chunk: Option<v1::Chunk>,
        #[case] wrong: Option<Invalid>,
    ) {
        assert_eq!(chunk_from(grid, chunk).err(), wrong);
    }

    #[rstest]
    #[case::good(vec![chunk(0, 60), chunk(60, 40)], None)]
    #[case::one(vec![chunk(0, 100)], Some(Invalid::Chunks))]
    #[case::gap(vec![chunk(0, 60), chunk(61, 39)], Some(Invalid::Chunks))]
    #[case::overlap(vec![chunk(0, 60), chunk(59, 41)], Some(Invalid::Chunks))]
    #[case::short(vec![chunk(0, 60), chunk(60, 39)], Some(Invalid::Chunks))]
    #[case::key_behind(vec![chunk(0, 60), keyed(60, 40, 61)], Some(Invalid::Chunks))]
    #[case::many_threads(
        vec![chunk(0, 60), v1::Chunk { encoder_threads: 17, ..chunk(60, 40) }],
        Some(Invalid::Chunks)
    )]
    #[case::many((0..=MAX_CHUNKS).map(|first| chunk(first, 1)).collect(), Some(Invalid::Chunks))]
    fn chunks_are_the_whole(#[case] chunks: Vec<v1::Chunk>, #[case] wrong: Option<Invalid>) {
        let frames = chunks.len().max(100) as u64;
        assert_eq!(
            plan_from(Some(v1::Plan { grid: Some(grid(25, 1, frames)), chunks, has_audio: false })).err(),
            wrong
        );
    }
}
