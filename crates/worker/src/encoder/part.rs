//! Encodes one part of a split job, and lists its frames.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use preset::Preset;
use tokio_util::sync::CancellationToken;

use super::{
    Error, Limits, Order, Progress,
    argv::{self, part},
    broke_off, run_tool, supervise,
};
use crate::{
    failure::Blame,
    media::{FrameRate, Media},
    plan::{Chunk, Grid},
    proof::{self, Kind},
    tool::{Invocation, Tools},
};

#[cfg(test)]
mod tests;

/// A range of a source's frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// Number of the chunk, for people.
    pub(crate) index: u32,
    /// All frames.
    pub(crate) grid: Grid,
    /// The range.
    pub(crate) chunk: Chunk,
}

/// The files of a part: their names, and where they are.
pub(crate) type Files = Vec<(String, PathBuf)>;

/// The arguments of ffmpeg for a chunk.
pub(crate) fn chunk_arguments(order: &Order<'_>, cut: &Cut) -> Vec<OsString> {
    part::chunk(order, cut)
}

/// The arguments of ffmpeg for the audio, if there is any.
pub(crate) fn audio_arguments(order: &Order<'_>) -> Option<Vec<OsString>> {
    part::audio(order)
}

/// Encodes a chunk: a file a rendition, whose first frame is at zero, and a list of its frames.
///
/// # Errors
/// Why there is no result, or that its frames are not those of the range.
pub(crate) async fn encode_chunk(
    tools: &Tools,
    order: &Order<'_>,
    cut: &Cut,
    limits: &Limits,
    report: impl FnMut(Progress),
    cancel: &CancellationToken,
) -> Result<Files, Error> {
    encode(tools, chunk_arguments(order, cut), order, limits, report, cancel).await?;
    let mut files = Files::new();
    for number in 0..order.preset.renditions.len() {
        let video = order.directory.join(part::video_file(number));
        check(&video.with_extension(part::MARKS), cut).await?;
        add(&mut files, &video);
    }
    Ok(files)
}

/// Encodes the audio, whole: its file, and a list of its packets. `None` when there is none to encode.
///
/// # Errors
/// Why there is no result.
pub(crate) async fn encode_audio(
    tools: &Tools,
    order: &Order<'_>,
    limits: &Limits,
    report: impl FnMut(Progress),
    cancel: &CancellationToken,
) -> Result<Option<Files>, Error> {
    let Some(args) = audio_arguments(order) else { return Ok(None) };
    encode(tools, args, order, limits, report, cancel).await?;
    let audio = order.directory.join(part::AUDIO_FILE);
    let list = proof::arguments(&[(audio.clone(), audio.with_extension(part::MARKS))], Kind::Audio);
    run_tool(tools, list, order.directory, limits, cancel).await?;
    let mut files = Files::new();
    add(&mut files, &audio);
    Ok(Some(files))
}

async fn encode(
    tools: &Tools,
    args: Vec<OsString>,
    order: &Order<'_>,
    limits: &Limits,
    report: impl FnMut(Progress),
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let ffmpeg = Invocation::new(&tools.ffmpeg, args).in_directory(order.directory).through(order.input.proxy);
    let tail = supervise(&ffmpeg, order.directory, limits, report, cancel).await?;
    broke_off(&tail, order.input)
}

/// The constant rate that a whole run would give the video of a source, if it would.
pub(crate) fn steady_rate(preset: &Preset, source: &Media) -> Option<FrameRate> {
    argv::steady(preset.packaging, source, source.video.as_ref()?)
}

/// Whether a chunk's list has every frame of the range once, at its time.
async fn check(list: &Path, cut: &Cut) -> Result<(), Error> {
    let (list, cut) = (list.to_owned(), *cut);
    let checked = tokio::task::spawn_blocking(move || proof::check_chunk(&list, &cut)).await;
    match checked.map_err(io::Error::other)? {
        Ok(()) => Ok(()),
        Err(error) if error.blame() == Blame::Job => Err(Error::Frames(error.to_string())),
        Err(error) => Err(Error::Io(io::Error::other(error))),
    }
}

fn add(files: &mut Files, media: &Path) {
    for path in [media.to_owned(), media.with_extension(part::MARKS)] {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push((name, path));
    }
}
