//! Facts about a media file, as ffprobe tells them. Unknown is `None`, never zero.

use std::{
    collections::BTreeMap, ffi::OsString, fmt, net::SocketAddr, os::unix::process::ExitStatusExt, path::Path,
    time::Duration,
};

use preset::Size;
use tokio_util::sync::CancellationToken;

use crate::{
    failure::Blame,
    playlist,
    tool::{Ended, Invocation, Tail, Tools, run},
};

pub(crate) use frames::{KeySearch, Measured, Patience, measure, promised};

mod frames;
mod json;
pub(crate) mod known;

/// ffprobe's answer is a few kilobytes; thousands of streams would be hostile.
const MAX_ANSWER: usize = 1024 * 1024;

/// A line of a hundred bytes for each packet in three segments of each rendition.
const MAX_PACKETS: usize = 16 * 1024 * 1024;

/// A stream that is not in the first segments is looked for in all of so many bytes.
const THOROUGH: [&str; 4] = ["-probesize", "32M", "-analyzeduration", "3600M"];

/// A container and the streams that matter.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Media {
    /// How the container keeps time.
    pub(crate) container: Container,
    /// Time of the first stream's start on the container's clock, in seconds.
    pub(crate) start: Option<f64>,
    /// Length in seconds.
    pub(crate) duration: Option<f64>,
    /// Length in bytes.
    pub(crate) bytes: Option<u64>,
    /// Average in bit/s.
    pub(crate) bit_rate: Option<f64>,
    /// The video stream to use: the largest picture that is not a cover.
    pub(crate) video: Option<Video>,
    /// Whether that stream's frames are known to be evenly spaced. Only containers that count frames can tell: of a
    /// Matroska or MPEG-TS file, ffprobe knows no more than the rate that its header promises.
    pub(crate) has_even_frames: bool,
    /// Whether the container's own table proves that they are, all but where an edit list cuts at both ends.
    pub(crate) has_frame_table: bool,
    /// The audio stream to use: the one marked as default, or the first.
    pub(crate) audio: Option<Audio>,
    /// How much is in these streams.
    pub(crate) index: Index,
}

/// How much is in a file, as its own index counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Index {
    /// Packets of the video: frames.
    pub(crate) frames: Option<u64>,
    /// Packets of the audio.
    pub(crate) sounds: Option<u64>,
    /// Its samples a second; there if there is audio.
    pub(crate) sample_rate: Option<u32>,
}

/// What a container's clock and index are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Container {
    /// It has an index of key frames: a search for a time ends at one before it.
    Indexed,
    /// Its clock may jump, and a search ends near a time, anywhere between two key frames: MPEG-TS, MPEG-PS.
    Broadcast,
    /// Not known.
    #[default]
    Other,
}

impl Media {
    /// The time on the container's clock that is zero in an output: where the first stream starts. In a broadcast ffmpeg
    /// counts only the streams that it uses.
    pub(crate) fn origin(&self, with_audio: bool) -> f64 {
        let used = [
            self.video.as_ref().and_then(|video| video.start),
            self.audio.as_ref().filter(|_| with_audio).and_then(|audio| audio.start),
        ];
        let first_used = used.into_iter().flatten().reduce(f64::min);
        match self.container {
            Container::Broadcast => first_used.or(self.start),
            Container::Indexed | Container::Other => self.start.or(first_used),
        }
        .unwrap_or(0.0)
    }
}

/// A video stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Video {
    /// Number of the stream in its container.
    pub(crate) index: u32,
    /// ffmpeg's codec name, such as `h264`.
    pub(crate) codec: String,
    /// Stored picture size in pixels.
    pub(crate) coded: Size,
    /// Size at which the picture is shown: rotated, and with square pixels.
    pub(crate) display: Size,
    /// Average frames per second.
    pub(crate) frame_rate: Option<f64>,
    /// The lowest rate on which every frame seems to lie; ffprobe guesses it from the first frames.
    pub(crate) grid: Option<FrameRate>,
    /// Time of the first frame in seconds.
    pub(crate) start: Option<f64>,
    /// Length in seconds.
    pub(crate) duration: Option<f64>,
    /// Average in bit/s.
    pub(crate) bit_rate: Option<f64>,
}

/// An exact frame rate, such as 30000/1001.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameRate {
    /// Frames.
    pub(crate) numerator: u32,
    /// In so many seconds; not zero.
    pub(crate) denominator: u32,
}

impl FrameRate {
    /// Frames per second.
    pub(crate) fn per_second(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

#[cfg(test)]
impl Video {
    /// A plain stream for tests.
    pub(crate) fn sized(width: u32, height: u32) -> Self {
        let size = Size { width, height };
        Self {
            index: 0,
            codec: "h264".into(),
            coded: size,
            display: size,
            frame_rate: Some(25.0),
            grid: Some(FrameRate { numerator: 25, denominator: 1 }),
            start: Some(0.0),
            duration: None,
            bit_rate: None,
        }
    }
}

/// An audio stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Audio {
    /// Number of the stream in its container.
    pub(crate) index: u32,
    /// ffmpeg's codec name, such as `aac`.
    pub(crate) codec: String,
    /// Number of channels.
    pub(crate) channels: Option<u32>,
    /// Time of the first sample in seconds.
    pub(crate) start: Option<f64>,
    /// Length in seconds.
    pub(crate) duration: Option<f64>,
}

/// What is in a variant of a master playlist.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Variant {
    /// Its streams. When they run, their packets tell.
    pub(crate) media: Media,
    /// Packets of the picture, in the order in which they are stored.
    pub(crate) pictures: Vec<Packet>,
    /// Packets of the sound.
    pub(crate) sounds: Vec<Packet>,
}

/// When something is shown or heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Packet {
    /// From then on, in seconds on the container's clock.
    pub(crate) start: f64,
    /// So long, in seconds; 0 where that is not known.
    pub(crate) length: f64,
    /// Where it is stored: byte from the start of the variant's first file. What is stored inside another packet has its
    /// place.
    pub(crate) place: u64,
}

/// Why ffprobe told nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// ffprobe cannot be started.
    #[error("{0}")]
    Start(#[from] std::io::Error),
    /// ffprobe was killed by something else.
    #[error("ffprobe was killed by signal {0}")]
    Killed(i32),
    /// ffprobe cannot read the file.
    #[error("{}", why(.0))]
    Unreadable(Tail),
    /// ffprobe cannot start, or knows no such options.
    #[error("{0}; is FFPROBE_PATH ffprobe, 5.1 or later?")]
    Unusable(String),
    /// ffprobe's answer makes no sense, as that of another program.
    #[error("ffprobe's answer cannot be understood; is FFPROBE_PATH ffprobe, 5.1 or later?")]
    Nonsense(#[source] serde_json::Error),
    /// There is more to say than is listened to.
    #[error("ffprobe says more about it than {0} bytes")]
    Endless(usize),
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The caller gave up.
    #[error("cancelled")]
    Cancelled,
}

impl ProbeError {
    /// Who can mend it.
    pub(crate) fn blame(&self) -> Blame {
        match self {
            Self::Start(_) | Self::Killed(_) | Self::Unusable(_) | Self::Nonsense(_) | Self::Cancelled => {
                Blame::Infrastructure
            }
            Self::Unreadable(_) | Self::Endless(_) | Self::TimedOut(_) => Blame::Job,
        }
    }
}

/// What ffprobe said last is often only a consequence.
fn why(tail: &Tail) -> &str {
    if tail.lines().any(|line| line.contains("ot on whitelist")) {
        return "files of this kind are not read";
    }
    tail.cause().unwrap_or("ffprobe cannot read it")
}

/// What a program reads.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// ffmpeg's and ffprobe's options for it, then `-i` and its operand.
    pub(crate) args: Vec<OsString>,
    /// What network connections must go through.
    pub(crate) proxy: Option<SocketAddr>,
}

/// Asks ffprobe about an input.
///
/// # Errors
/// Why ffprobe told nothing.
pub(crate) async fn probe(
    tools: &Tools,
    input: &Input,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Media, ProbeError> {
    let answer = ask(tools, json::ENTRIES, input, MAX_ANSWER, limit, cancel).await?;
    json::parse(&answer).map_err(ProbeError::Nonsense)
}

/// Asks ffprobe about the variants of a master playlist that [`playlist::master`] made: the first is number 1. Those of
/// which it tells nothing are missing. All of them is read, for the times of all packets.
///
/// # Errors
/// Why ffprobe told nothing, which one variant may be to blame for.
pub(crate) async fn probe_variants(
    tools: &Tools,
    master: &Path,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<BTreeMap<usize, Variant>, ProbeError> {
    let mut args: Vec<OsString> = THOROUGH.map(Into::into).into();
    args.extend(playlist::input(master));
    let input = Input { args, proxy: None };
    let answer = ask(tools, json::VARIANT_ENTRIES, &input, MAX_PACKETS, limit, cancel).await?;
    json::variants(&answer).map_err(ProbeError::Nonsense)
}

/// ffprobe's words about `entries` of an input, as JSON, and no more than about `most` bytes.
async fn ask(
    tools: &Tools,
    entries: &str,
    input: &Input,
    most: usize,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Vec<u8>, ProbeError> {
    let mut args: Vec<OsString> = ["-v", "error", "-of", "json=c=1", "-show_entries", entries].map(Into::into).into();
    args.extend_from_slice(&input.args);
    let ffprobe = Invocation::new(&tools.ffprobe, args).through(input.proxy);
    let (mut answer, mut is_cut) = (Vec::new(), false);
    let collect = |bytes: &[u8]| {
        if answer.len() < most {
            answer.extend_from_slice(bytes);
        } else {
            is_cut = true;
        }
    };
    let (ended, tail) = run(&ffprobe, collect, give_up(limit, cancel)).await?;
    match ended {
        Ended::Exited(status) if status.success() && is_cut => Err(ProbeError::Endless(most)),
        Ended::Exited(status) if status.success() => Ok(answer),
        Ended::Exited(status) => Err(match (ExitStatusExt::signal(&status), tail.unusable(status)) {
            (Some(signal), _) => ProbeError::Killed(signal),
            (None, Some(why)) => ProbeError::Unusable(why.to_owned()),
            (None, None) => ProbeError::Unreadable(tail),
        }),
        Ended::Stopped(reason) => Err(reason),
    }
}

async fn give_up(limit: Duration, cancel: &CancellationToken) -> ProbeError {
    tokio::select! {
        () = cancel.cancelled() => ProbeError::Cancelled,
        () = tokio::time::sleep(limit) => ProbeError::TimedOut(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of the question where ffprobe is another program.
    async fn asked_of(program: &str, args: Vec<OsString>) -> ProbeError {
        let tools = Tools { ffmpeg: program.into(), ffprobe: program.into() };
        let (input, cancel) = (Input { args, proxy: None }, CancellationToken::new());
        probe(&tools, &input, Duration::from_mins(1), &cancel).await.expect_err("that is not ffprobe")
    }

    /// Otherwise one machine that is set up badly would end every job that it can get.
    #[tokio::test]
    async fn a_program_that_is_not_ffprobe_is_the_machines_fault() {
        // What says nothing, what has other options, and what an interpreter is missing for.
        for (program, args) in [("/bin/true", vec![]), ("ffmpeg", vec![]), ("/usr/bin/env", vec!["none".into()])] {
            let error = asked_of(program, args).await;
            assert_eq!(error.blame(), Blame::Infrastructure, "{program}: {error}");
            assert!(error.to_string().ends_with("is FFPROBE_PATH ffprobe, 5.1 or later?"), "{program}: {error}");
        }
    }

    #[tokio::test]
    async fn a_source_without_end_is_its_own_fault() {
        // No argument may be longer than 128 KiB: see execve(2).
        let error = asked_of("/bin/echo", vec!["x".repeat(100_000).into(); 12]).await;
        assert!(matches!(error, ProbeError::Endless(MAX_ANSWER)), "{error}");
        assert_eq!(error.blame(), Blame::Job);
    }
}
