//! The list of a part's coded pictures or audio packets, in the order of decoding: time, size and hash of each, in a form
//! that does not depend on the container.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use tokio_util::sync::CancellationToken;

use crate::{
    encoder::{Cut, Error, Limits, argv::part::frame_ticks, run_tool},
    proof::{self, Kind},
    tool::Tools,
};

/// Of a list's name.
pub(super) const EXTENSION: &str = "marks";

/// Writes the list beside the file.
pub(super) async fn write(
    tools: &Tools,
    media: &Path,
    kind: Kind,
    limits: &Limits,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let args = proof::arguments(media, kind, &media.with_extension(EXTENSION));
    let directory = media.parent().unwrap_or(Path::new("."));
    run_tool(tools, args, directory, limits, cancel).await.map(drop)
}

/// Whether a video's list has every frame of the range once, at its time. Blocks.
pub(super) fn check(media: &Path, cut: &Cut) -> Result<(), Error> {
    let (wanted, ticks) = (cut.chunk.frames, frame_ticks(cut));
    let mut missing = vec![true; usize::try_from(wanted).unwrap_or(usize::MAX)];
    let (mut found, mut stray) = (0_u64, 0_u64);
    for line in BufReader::new(File::open(media.with_extension(EXTENSION))?).lines() {
        let line = line?;
        if line.starts_with('#') {
            continue;
        }
        found += 1;
        let frame = time(&line).filter(|time| time % ticks == 0).and_then(|time| usize::try_from(time / ticks).ok());
        match frame.and_then(|frame| missing.get_mut(frame)) {
            Some(missing) if *missing => *missing = false,
            Some(_) | None => stray += 1,
        }
    }
    let index = cut.index;
    match (found == wanted, stray) {
        (true, 0) => Ok(()),
        (false, _) => Err(Error::Frames(format!("split: chunk {index} has {found} frames instead of {wanted}"))),
        (true, _) => Err(Error::Frames(format!("split: {stray} frames of chunk {index} are not evenly spaced"))),
    }
}

/// The time in `stream, dts, pts, duration, size, hash`.
fn time(line: &str) -> Option<u64> {
    line.split(',').nth(2)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{
        media::FrameRate,
        plan::{Chunk, Grid},
    };

    fn verdict(list: &str) -> Option<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let line = |time| format!("0, -16, {time}, 8, 1, a\n");
        let list: String = list.split_whitespace().map(line).collect();
        std::fs::write(folder.path().join("v0.marks"), format!("#tb 0: 1/200\n{list}")).expect("written");
        let grid = Grid::new(FrameRate { numerator: 25, denominator: 1 }, 0, 100).expect("countable");
        let cut = Cut { index: 3, grid, chunk: Chunk { first: 50, frames: 3 } };
        check(&folder.path().join("v0.mp4"), &cut).err().map(|error| error.to_string())
    }

    #[rstest]
    #[case::whole("0 16 8", None)]
    #[case::short("0 8", Some("split: chunk 3 has 2 frames instead of 3"))]
    #[case::long("0 8 16 24", Some("split: chunk 3 has 4 frames instead of 3"))]
    #[case::twice("0 8 8", Some("split: 1 frames of chunk 3 are not evenly spaced"))]
    #[case::late("0 8 17", Some("split: 1 frames of chunk 3 are not evenly spaced"))]
    #[case::early("-8 8 16", Some("split: 1 frames of chunk 3 are not evenly spaced"))]
    #[case::nothing("", Some("split: chunk 3 has 0 frames instead of 3"))]
    fn every_frame_of_a_chunk_is_there_once(#[case] list: &str, #[case] error: Option<&str>) {
        assert_eq!(verdict(list).as_deref(), error);
    }
}
