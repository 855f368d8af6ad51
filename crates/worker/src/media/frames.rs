//! Counts a source's frames exactly, or says why they cannot be numbered.
//!
//! Where the container's table proves that all frames have one length, only its two ends are looked at. Otherwise the times
//! of all packets are read, none of them is decoded, and none is kept: the memory is bounded.

use std::{
    ffi::OsString,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{Container, FrameRate, Input, Media, Video};
use crate::{
    plan::{Grid, Whole},
    tool::{Ended, Invocation, Tools, run},
};

pub(crate) use self::keys::KeySearch;
use self::{lines::Lines, scan::Scan};

mod keys;
mod lines;
mod scan;

/// So many packets at the start are decoded, and more where no frame comes out of the first ones: the first frame is behind
/// the first key frame, and the reordering, which no codec has more of than sixteen frames.
const HEADS: [&str; 2] = ["%+#24", "%+#400"];

/// The last frames are looked for in so many seconds more before the end than the last one may be away from it.
const TAIL: f64 = 0.5;

/// More frames are not between there and the end, nor in the packets at the start.
const MAX_TIMES: usize = 100_000;

/// The last frame must be so near to the promised end, in seconds.
const END_TOLERANCE: f64 = 1.0;

/// Where a search may end anywhere, key frames must not be further apart, in seconds: see the lead of chunks.
const MAX_KEY_DISTANCE: f64 = 10.0;

/// Where a search ends at a key frame, all from there on is decoded for each chunk anew, in seconds.
const MAX_INDEXED_KEY_DISTANCE: f64 = 60.0;

/// What came of the counting.
#[derive(Debug)]
pub(crate) enum Measured {
    /// All frames have a number.
    Even(Grid),
    /// They have none, or it is not known.
    Uneven(Whole),
    /// The caller gave up.
    Cancelled,
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Longest silence.
    pub(crate) silence: Duration,
    /// Longest time in all.
    pub(crate) total: Duration,
}

/// Counts the frames of a source's video. `origin` is the time on its clock that is zero in the output.
pub(crate) async fn measure(
    tools: &Tools,
    input: &Input,
    media: &Media,
    origin: f64,
    patience: Patience,
    cancel: &CancellationToken,
) -> Measured {
    let Some(video) = &media.video else { return Measured::Uneven(Whole::Uneven) };
    let Some(rate) = video.grid else { return Measured::Uneven(Whole::Rate) };
    let prober = Prober { tools, input, video, patience, cancel };
    let counted = if media.has_frame_table { prober.ends(media, rate).await } else { prober.all(media, rate).await };
    match counted.and_then(|count| count.grid(origin)) {
        Ok(grid) => Measured::Even(grid),
        Err(Stop::Whole(whole)) => Measured::Uneven(whole),
        Err(Stop::Cancelled) => Measured::Cancelled,
    }
}

/// The frames that a source's header promises. There may be others.
pub(crate) fn promised(media: &Media, origin: f64) -> Option<Grid> {
    let video = media.video.as_ref()?;
    let (rate, length) = (video.grid?, video.duration.or(media.duration)?);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and the grid is checked")]
    let frames = (length * rate.per_second()).round() as u64;
    Count { rate, first: video.start.or(media.start)?, frames }.grid(origin).ok()
}

/// Why there is no count.
#[derive(Debug)]
enum Stop {
    Whole(Whole),
    Cancelled,
}

impl From<Whole> for Stop {
    fn from(whole: Whole) -> Self {
        Self::Whole(whole)
    }
}

/// Frames that are evenly spaced.
struct Count {
    rate: FrameRate,
    /// On the container's clock, in seconds.
    first: f64,
    frames: u64,
}

impl Count {
    fn grid(&self, origin: f64) -> Result<Grid, Stop> {
        #[expect(clippy::cast_possible_truncation, reason = "saturates, and the grid is checked")]
        let start = ((self.first - origin) * 1e6).round() as i64;
        Ok(Grid::new(self.rate, start, self.frames)?)
    }
}

struct Prober<'a> {
    tools: &'a Tools,
    input: &'a Input,
    video: &'a Video,
    patience: Patience,
    cancel: &'a CancellationToken,
}

impl Prober<'_> {
    /// Believes the table, and finds the first frame that comes out of the decoder and the last that is to be shown: what
    /// becomes of the end, each chunk's count tells.
    async fn ends(&self, media: &Media, rate: FrameRate) -> Result<Count, Stop> {
        let length = self.video.duration.or(media.duration).ok_or(Whole::UnknownLength)?;
        let end = self.video.start.or(media.start).unwrap_or(0.0) + length;
        let tolerance = END_TOLERANCE.max(3.0 / rate.per_second());
        let last = format!("{:.6}%", (end - tolerance - TAIL).max(0.0));
        let (head, tail) = tokio::join!(self.head(), self.shown(&last));
        let times = [head?, tail?].concat();
        let (first, last) = times
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(first, last), time| (time.min(first), time.max(last)));
        if !first.is_finite() || last < end - tolerance {
            return Err(Whole::UnknownLength.into());
        }
        if !times.iter().all(|time| scan::place(*time - first, rate).is_some()) {
            return Err(Whole::Uneven.into());
        }
        let frames = scan::place(last - first, rate).ok_or(Whole::Uneven)? + 1;
        Ok(Count { rate, first, frames })
    }

    /// The times of the first frames that come out of the decoder.
    async fn head(&self) -> Result<Vec<f64>, Stop> {
        for packets in HEADS {
            let entries = ["-read_intervals", packets, "-show_entries", "frame=best_effort_timestamp_time"];
            let times = self.times(&entries, |_| true).await?;
            if !times.is_empty() {
                return Ok(times);
            }
        }
        Ok(Vec::new())
    }

    /// The times of the packets there, in the order of decoding, but for those that an edit list hides.
    async fn shown(&self, intervals: &str) -> Result<Vec<f64>, Stop> {
        let entries = ["-read_intervals", intervals, "-show_entries", "packet=pts_time,flags"];
        self.times(&entries, |flags| !flags.contains('D')).await
    }

    /// The times at the beginnings of lines, of which what follows is `wanted`. All of these must have one.
    async fn times(&self, entries: &[&str], wanted: impl Fn(&str) -> bool) -> Result<Vec<f64>, Stop> {
        let mut times = Vec::new();
        let mut is_good = true;
        self.run(entries, |line| {
            let (time, rest) = line.split_once(',').unwrap_or((line, ""));
            if wanted(rest) {
                let time = time.parse().ok().filter(|time: &f64| time.is_finite() && times.len() < MAX_TIMES);
                is_good = time.is_some();
                times.extend(time);
            }
            is_good
        })
        .await?;
        if is_good { Ok(times) } else { Err(Whole::Uneven.into()) }
    }

    /// Reads the time of every packet.
    async fn all(&self, media: &Media, rate: FrameRate) -> Result<Count, Stop> {
        let first = self.head().await?.into_iter().reduce(f64::min).ok_or(Whole::UnknownLength)?;
        // Of interlaced video, ffprobe may tell the rate of the fields.
        let halved = rate.numerator.is_multiple_of(2).then_some(FrameRate { numerator: rate.numerator / 2, ..rate });
        let mut scans: Vec<_> = [Some(rate), halved].into_iter().flatten().map(|rate| Scan::new(first, rate)).collect();
        self.run(&["-show_entries", "packet=pts_time,flags"], |line| {
            let (time, flags) = line.split_once(',').unwrap_or((line, ""));
            let time = time.parse().ok().filter(|time: &f64| time.is_finite());
            for scan in &mut scans {
                scan.packet(time, flags.contains('K'));
            }
            scans.iter().any(Scan::is_even)
        })
        .await?;
        let even = scans.into_iter().find_map(Scan::finish).ok_or(Whole::Uneven)?;
        let furthest = match media.container {
            Container::Indexed => MAX_INDEXED_KEY_DISTANCE,
            Container::Broadcast | Container::Other => MAX_KEY_DISTANCE,
        };
        if even.key_distance > furthest {
            return Err(Whole::FewKeyFrames.into());
        }
        Ok(Count { rate: even.rate, first, frames: even.frames })
    }

    /// Hands on each line that is not empty, as those of side data are, until there is none left or none is wanted.
    async fn run(&self, entries: &[&str], mut each: impl FnMut(&str) -> bool) -> Result<(), Stop> {
        let index = self.video.index.to_string();
        let fixed = ["-v", "error", "-of", "csv=p=0", "-select_streams", &index];
        let mut args: Vec<OsString> = fixed.iter().chain(entries).map(Into::into).collect();
        args.extend_from_slice(&self.input.args);
        let ffprobe = Invocation::new(&self.tools.ffprobe, args).through(self.input.proxy);
        let (enough, heard) = (CancellationToken::new(), Mutex::new(Instant::now()));
        let mut lines = Lines::default();
        let on_output = |bytes: &[u8]| {
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            if !lines.push(bytes, |line| line.trim_matches(',').is_empty() || each(line)) {
                enough.cancel();
            }
        };
        let (ended, tail) = run(&ffprobe, on_output, self.give_up(&enough, &heard))
            .await
            .map_err(|error| Whole::Uncounted(error.to_string()))?;
        match ended {
            Ended::Exited(status) if status.success() => Ok(()),
            Ended::Exited(status) => {
                let cause = tail.cause().map_or_else(|| format!("ffprobe ended with {status}"), ToOwned::to_owned);
                Err(Whole::Uncounted(cause).into())
            }
            Ended::Stopped(Some(stop)) => Err(stop),
            Ended::Stopped(None) => Ok(()),
        }
    }

    /// `None`: what was wanted is known.
    async fn give_up(&self, enough: &CancellationToken, heard: &Mutex<Instant>) -> Option<Stop> {
        let late = |what: &str| Some(Whole::Uncounted(what.to_owned()).into());
        tokio::select! {
            () = enough.cancelled() => None,
            () = self.cancel.cancelled() => Some(Stop::Cancelled),
            () = tokio::time::sleep(self.patience.total) => late("it takes too long"),
            () = silence(heard, self.patience.silence) => late("nothing comes any more"),
        }
    }
}

/// Ends when nothing was heard for that long.
async fn silence(heard: &Mutex<Instant>, limit: Duration) {
    loop {
        let quiet = heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        match limit.checked_sub(quiet) {
            Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
            Some(_) | None => return,
        }
    }
}
