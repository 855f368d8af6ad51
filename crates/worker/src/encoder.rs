//! Runs one encode: ffmpeg's arguments, its progress, and every way in which it can fail.

use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use preset::Preset;
use tokio_util::sync::CancellationToken;

use crate::{
    failure::Blame,
    media::{Input, Media, Video},
    tool::{Ended, Invocation, Tail, Tools, run},
};

pub(crate) use argv::OUTPUT_FILE;
pub(crate) use progress::Progress;

mod argv;
mod master;
mod progress;

/// Limits of one encode.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest time without progress (`STALL_TIMEOUT`).
    pub stall: Duration,
    /// Longest time in all (`JOB_TIMEOUT`).
    pub total: Duration,
}

/// What to encode.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    /// How.
    pub(crate) preset: &'a Preset,
    /// From what.
    pub(crate) input: &'a Input,
    /// What is known of it.
    pub(crate) source: &'a Media,
    /// Its video stream.
    pub(crate) video: &'a Video,
    /// Empty folder for the result.
    pub(crate) directory: &'a Path,
}

/// Why an encode made nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// ffmpeg cannot be started, or the folder cannot be written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Something else killed ffmpeg: often the kernel, for memory.
    #[error("ffmpeg was killed by signal {0}")]
    Killed(i32),
    /// ffmpeg gave up; its last words.
    #[error("{0}")]
    Failed(String),
    /// The work folder's disk is full.
    #[error("the disk of WORK_DIR is full")]
    DiskFull,
    /// No progress for too long.
    #[error("no progress for {} s", .0.as_secs_f64())]
    Stalled(Duration),
    /// Too long in all.
    #[error("not done after {} s (JOB_TIMEOUT)", .0.as_secs_f64())]
    TimedOut(Duration),
    /// ffmpeg wrote a master playlist that cannot be read.
    #[error("master playlist: {0}")]
    Master(String),
    /// The caller gave up.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Who can mend it.
    pub(crate) fn blame(&self) -> Blame {
        match self {
            Self::Io(_) | Self::Killed(_) | Self::DiskFull | Self::Cancelled => Blame::Infrastructure,
            Self::Failed(_) | Self::Stalled(_) | Self::TimedOut(_) | Self::Master(_) => Blame::Job,
        }
    }
}

/// Encodes. Answers where the result is: a file, or the folder of a directory output.
///
/// # Errors
/// Why there is no result; the folder then holds what ffmpeg left.
pub(crate) async fn encode(
    tools: &Tools,
    order: &Order<'_>,
    limits: &Limits,
    mut report: impl FnMut(Progress),
    cancel: &CancellationToken,
) -> Result<PathBuf, Error> {
    argv::make_folders(order)?;
    let ffmpeg =
        Invocation::new(&tools.ffmpeg, argv::build(order)).in_directory(order.directory).through(order.input.proxy);
    let mut parser = progress::Parser::default();
    let activity = Activity::default();
    let on_output = |bytes: &[u8]| {
        for progress in parser.push(bytes) {
            activity.touch();
            report(progress);
        }
    };
    let watchdog = Watchdog { limits, activity: &activity, directory: order.directory };
    let (ended, tail) = run(&ffmpeg, on_output, watchdog.give_up(cancel)).await?;
    match ended {
        Ended::Exited(status) if status.success() => {}
        Ended::Exited(status) => return Err(failure(status, &tail)),
        Ended::Stopped(reason) => return Err(reason),
    }
    if order.preset.entry_file() == Some(master::FILE) {
        master::rewrite(order.directory).map_err(Error::Master)?;
    }
    Ok(match order.preset.entry_file() {
        None => order.directory.join(OUTPUT_FILE),
        Some(_) => order.directory.to_owned(),
    })
}

fn failure(status: ExitStatus, tail: &Tail) -> Error {
    if let Some(signal) = status.signal() {
        return Error::Killed(signal);
    }
    if tail.lines().any(|line| line.contains("No space left on device")) {
        return Error::DiskFull;
    }
    // The exit status says nothing: its meaning differs between ffmpeg's versions.
    Error::Failed(tail.cause().map_or_else(|| format!("ffmpeg ended with {status}"), ToOwned::to_owned))
}

/// When ffmpeg last came further.
struct Activity(Mutex<Instant>);

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl Activity {
    fn touch(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn quiet(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Decides when to stop waiting for ffmpeg.
struct Watchdog<'a> {
    limits: &'a Limits,
    activity: &'a Activity,
    directory: &'a Path,
}

impl Watchdog<'_> {
    async fn give_up(&self, cancel: &CancellationToken) -> Error {
        tokio::select! {
            () = cancel.cancelled() => Error::Cancelled,
            () = tokio::time::sleep(self.limits.total) => Error::TimedOut(self.limits.total),
            () = self.stall() => Error::Stalled(self.limits.stall),
        }
    }

    async fn stall(&self) {
        loop {
            let quiet = self.activity.quiet();
            match self.limits.stall.checked_sub(quiet) {
                Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
                // Moving an MP4's index to the front of a large file reports nothing, but writes.
                Some(_) | None if self.wrote_lately() => self.activity.touch(),
                Some(_) | None => return,
            }
        }
    }

    fn wrote_lately(&self) -> bool {
        let modified = std::fs::metadata(self.directory.join(OUTPUT_FILE)).and_then(|file| file.modified());
        let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        age.is_ok_and(|age| age < self.limits.stall)
    }
}
