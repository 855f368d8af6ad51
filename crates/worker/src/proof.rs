//! Proves the output of a split job, picture by picture and packet by packet.
//!
//! With each part goes a list of *marks*: time, length and hash of every coded picture, in a form that does not depend on
//! the container (without what containers add or leave out: parameter sets, delimiters, supplemental information). The
//! joined output is read back, and its list must be that of the chunks one after the other: nothing missing, nothing
//! twice, nothing in another order, each picture at the time of its number, to half a tick of the output's clock; and
//! the sound beside it where it belongs.
//!
//! Lists are written to the disk by ffmpeg and read line by line: neither side is ever in memory.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use crate::{
    encoder::{self, Cut, Limits, join::NO_READER, run_tool},
    failure::Blame,
    permit::Permit,
    tool::Tools,
    validator::uri,
};

use expected::Range;
use marks::Marks;
use time::Time;

#[cfg(test)]
pub(crate) use output::Proved;
pub(crate) use output::{Parts, Track, prove};

mod expected;
mod follow;
mod marks;
mod output;
#[cfg(test)]
pub(crate) mod tests;
mod time;

/// Samples in a packet of AAC-LC.
pub(crate) const SAMPLES_PER_PACKET: u64 = 1024;

/// What a list of marks is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The packets of a part's sound.
    Audio,
    /// All of an output's file, or the pictures of a chunk's. In transport streams, packets of sound have headers of their
    /// own.
    Output {
        /// Whether it is a transport stream.
        transport_stream: bool,
    },
}

/// Why an output is not proved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The parts do not make what they should: encode the whole.
    #[error("split: {0}")]
    Split(String),
    /// ffmpeg could not read it.
    #[error("split: {name}: cannot be read back: {error}")]
    Unreadable {
        /// Which file.
        name: String,
        /// What it said.
        error: encoder::Error,
    },
    /// ffmpeg could not do its work.
    #[error("{0}")]
    Tool(encoder::Error),
    /// A list of marks cannot be read.
    #[error("marks of {name}: {error}")]
    Marks {
        /// Of which part.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// The blocking part died.
    #[error("the proof crashed")]
    Crashed,
    /// The caller gave up.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Who can mend it. Where the job is to blame, it can still be encoded whole.
    pub(crate) fn blame(&self) -> Blame {
        match self {
            Self::Split(_) | Self::Unreadable { .. } => Blame::Job,
            Self::Tool(_) | Self::Marks { .. } | Self::Crashed | Self::Cancelled => Blame::Infrastructure,
        }
    }

    fn split(text: impl Into<String>) -> Self {
        Self::Split(text.into())
    }

    fn marks(name: String, error: io::Error) -> Self {
        Self::Marks { name, error }
    }
}

/// Writes the marks of each file to the list beside it, in one process. All are the worker's own.
///
/// # Errors
/// Why there is no list, which one of them may be to blame for.
pub(crate) async fn marks(
    tools: &Tools,
    files: &[(PathBuf, PathBuf)],
    kind: Kind,
    limits: &Limits,
    permit: &Permit,
) -> Result<(), Error> {
    let directory = files.first().and_then(|(_, list)| list.parent()).unwrap_or(Path::new("."));
    let name = |(file, _): &(PathBuf, PathBuf)| file.file_name().unwrap_or_default().display().to_string();
    run_tool(tools, arguments(files, kind), directory, limits, permit.token()).await.map(drop).map_err(|error| {
        match error {
            encoder::Error::Cancelled => Error::Cancelled,
            encoder::Error::Failed(_) => {
                Error::Unreadable { name: files.iter().map(name).collect::<Vec<_>>().join(", "), error }
            }
            error => Error::Tool(error),
        }
    })
}

/// Annex B, whatever the container has, without SEI, SPS, PPS and delimiters.
const CANONICAL_VIDEO: &str = "h264_mp4toannexb,filter_units=remove_types=6-9";

/// ffmpeg's arguments that write the marks of each file to the list beside it, behind those that every run has.
pub(crate) fn arguments(files: &[(PathBuf, PathBuf)], kind: Kind) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["-copyts".into()];
    for (file, _) in files {
        args.extend(NO_READER.iter().chain(&["-protocol_whitelist", "file", "-i"]).map(OsString::from));
        args.push(uri::file(file));
    }
    for (number, (_, list)) in files.iter().enumerate() {
        let map = |stream: &str| ["-map".to_owned(), format!("{number}:{stream}")].map(OsString::from);
        let filters: &[&str] = match kind {
            Kind::Audio => {
                args.extend(map("a:0"));
                &[]
            }
            Kind::Output { transport_stream } => {
                args.extend(map("v:0?").into_iter().chain(map("a:0?")));
                let filters = &["-bsf:v", CANONICAL_VIDEO, "-bsf:a", "aac_adtstoasc"];
                if transport_stream { filters } else { &filters[..2] }
            }
        };
        args.extend(["-c", "copy"].iter().chain(filters).map(OsString::from));
        args.extend(["-fflags", "+bitexact", "-f", "framehash", "-hash", "md5"].map(Into::into));
        args.push(uri::file(list));
    }
    args
}

/// What the `tee` muxer is to make beside a chunk's file: the same list that [`arguments`] would read back from it, in a
/// plain file name.
pub(crate) fn beside(list: &Path) -> String {
    format!("[f=framehash:hash=md5:fflags=+bitexact:bsfs/v={CANONICAL_VIDEO}]{}", list.display())
}

/// Whether the list of a chunk has every frame of its range once, at its time. Blocks.
///
/// # Errors
/// What is not as it should be, or that the list cannot be read.
pub(crate) fn check_chunk(list: &Path, cut: &Cut) -> Result<(), Error> {
    let (index, rate) = (cut.index as usize, cut.grid.rate());
    let marks = open(list, || format!("chunk {index}"))?;
    let range = Range { first: cut.chunk.first, frames: cut.chunk.frames };
    expected::check(marks, index, range, Time::new(rate.denominator.into(), rate.numerator.into()))
}

/// Opens a list.
fn open(path: &Path, name: impl Fn() -> String) -> Result<Marks<BufReader<File>>, Error> {
    File::open(path).and_then(|file| Marks::open(BufReader::new(file))).map_err(|error| Error::marks(name(), error))
}

/// The list of a file of the output.
fn list_of(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("track-{number}.marks"))
}

/// Samples a second of a list of a sound's marks.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn sample_rate(list: &Path) -> Result<u32, Error> {
    let marks = open(list, || "audio".to_owned())?;
    Ok(marks.find("audio").and_then(|number| marks.stream(number)).map_or(0, |stream| stream.sample_rate))
}

/// A moment of an output.
fn moment((numerator, denominator): (i128, i128)) -> Time {
    Time::new(numerator, denominator)
}
