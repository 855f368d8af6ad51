//! Runs one encode: ffmpeg's arguments, its progress, and every way in which it can fail.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use preset::Preset;
use tokio_util::sync::CancellationToken;

use crate::{
    failure::Blame,
    media::{Input, Media, Video},
    tool::{Ended, Invocation, Tail, Tools, run},
};

pub(crate) use argv::{OUTPUT_FILE, PLAYLIST, rendition_name};
pub(crate) use part::{Cut, Files, audio_arguments, chunk_arguments, encode_audio, encode_chunk, steady_rate};
pub(crate) use progress::Progress;

mod argv;
pub(crate) mod join;
mod master;
mod part;
mod progress;
mod watchdog;

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

/// What an encode has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// A file, or the folder of a directory output.
    pub(crate) output: PathBuf,
    /// Frames that each rendition has, by what ffmpeg told; all are made in one decode.
    pub(crate) frames: Option<u64>,
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
    /// ffmpeg lacks what every encode needs: a library, an option, an encoder.
    #[error("{0}; is FFMPEG_PATH ffmpeg, 5.1 or later, with libx264?")]
    Unusable(String),
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
    /// The frames of a part are not those that were planned.
    #[error("{0}")]
    Frames(String),
    /// The caller gave up.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Who can mend it.
    pub(crate) fn blame(&self) -> Blame {
        match self {
            // A full disk does not always make ffmpeg fail; a playlist that it has just written and that is damaged tells.
            Self::Io(_) | Self::Killed(_) | Self::Unusable(_) | Self::DiskFull | Self::Master(_) | Self::Cancelled => {
                Blame::Infrastructure
            }
            Self::Failed(_) | Self::Stalled(_) | Self::TimedOut(_) | Self::Frames(_) => Blame::Job,
        }
    }
}

/// The arguments of ffmpeg for an order.
pub(crate) fn arguments(order: &Order<'_>) -> Vec<OsString> {
    argv::build(order)
}

/// Encodes.
///
/// # Errors
/// Why there is no result; the folder then holds what ffmpeg left.
pub(crate) async fn encode(
    tools: &Tools,
    order: &Order<'_>,
    limits: &Limits,
    mut report: impl FnMut(Progress),
    cancel: &CancellationToken,
) -> Result<Made, Error> {
    argv::make_folders(order.preset, order.directory)?;
    let mut frames = None;
    let report = |progress: Progress| {
        frames = progress.frames;
        report(progress);
    };
    let ffmpeg =
        Invocation::new(&tools.ffmpeg, argv::build(order)).in_directory(order.directory).through(order.input.proxy);
    let tail = supervise(&ffmpeg, order.directory, limits, report, cancel).await?;
    broke_off(&tail, order.input)?;
    finish(order.preset, order.directory).map(|output| Made { output, frames })
}

/// Runs ffmpeg, whose progress is on its standard output, to its good end.
async fn supervise(
    ffmpeg: &Invocation,
    directory: &Path,
    limits: &Limits,
    mut report: impl FnMut(Progress),
    cancel: &CancellationToken,
) -> Result<Tail, Error> {
    let mut parser = progress::Parser::default();
    let activity = watchdog::Activity::default();
    let on_output = |bytes: &[u8]| {
        for progress in parser.push(bytes) {
            activity.touch();
            report(progress);
        }
    };
    let watchdog = watchdog::Watchdog { limits, activity: &activity, directory };
    let (ended, tail) = run(ffmpeg, on_output, watchdog.give_up(cancel)).await?;
    match ended {
        // What cannot be written any more when a file is closed, ffmpeg mentions and calls a success.
        Ended::Exited(status) if status.success() && !says_disk_full(&tail) => match unclosed(&tail) {
            None => Ok(tail),
            Some(why) => Err(io::Error::other(why).into()),
        },
        Ended::Exited(status) => Err(failure(status, &tail)),
        Ended::Stopped(reason) => Err(reason),
    }
}

/// Runs ffmpeg over the worker's own files: no network, and the limits of an encode. `args` are those behind the ones
/// that every run has.
///
/// # Errors
/// Why it did not end well.
pub(crate) async fn run_tool(
    tools: &Tools,
    args: Vec<OsString>,
    directory: &Path,
    limits: &Limits,
    cancel: &CancellationToken,
) -> Result<Tail, Error> {
    let mut all = argv::Args::default();
    argv::common(&mut all);
    all.0.extend(args);
    let ffmpeg = Invocation::new(&tools.ffmpeg, all.0).in_directory(directory);
    supervise(&ffmpeg, directory, limits, |_| (), cancel).await
}

/// Completes what ffmpeg has written, and says where it is.
fn finish(preset: &Preset, directory: &Path) -> Result<PathBuf, Error> {
    if preset.entry_file() == Some(master::FILE) {
        master::rewrite(directory).map_err(Error::Master)?;
    }
    Ok(match preset.entry_file() {
        None => directory.join(OUTPUT_FILE),
        Some(_) => directory.to_owned(),
    })
}

fn failure(status: ExitStatus, tail: &Tail) -> Error {
    if let Some(signal) = status.signal() {
        return Error::Killed(signal);
    }
    if says_disk_full(tail) {
        return Error::DiskFull;
    }
    if let Some(why) = tail.unusable(status) {
        return Error::Unusable(why.to_owned());
    }
    // The exit status says nothing: its meaning differs between ffmpeg's versions.
    Error::Failed(tail.cause().map_or_else(|| format!("ffmpeg ended with {status}"), ToOwned::to_owned))
}

fn says_disk_full(tail: &Tail) -> bool {
    tail.lines().any(|line| line.ends_with("No space left on device"))
}

/// Why a file has no end.
fn unclosed(tail: &Tail) -> Option<String> {
    tail.lines().find(|line| line.contains("Error writing trailer")).map(ToOwned::to_owned)
}

/// Where a server stops in the middle, ffmpeg finishes what it has and calls that a success.
fn broke_off(tail: &Tail, input: &Input) -> Result<(), Error> {
    let operand = input.args.last().and_then(|operand| operand.to_str()).filter(|_| input.proxy.is_some());
    let Some(operand) = operand else { return Ok(()) };
    let error = |line: &str| {
        let after = line.strip_prefix(operand).and_then(|rest| rest.strip_prefix(": "));
        // Since 6.0 ffmpeg says it in other words.
        let after = after.or_else(|| Some(line.split_once("Error during demuxing: ")?.1));
        // What is wrong with the bytes that did come is for the decoder and the validator to judge.
        after.filter(|error| !error.starts_with("Invalid data")).map(ToOwned::to_owned)
    };
    match tail.messages().find_map(error) {
        Some(error) => Err(Error::Failed(format!("input_url: broke off: {error}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rstest::rstest;

    use super::*;

    const LONG: Limits = Limits { stall: Duration::from_mins(1), total: Duration::from_mins(1) };

    /// Runs an encode whose ffmpeg is a shell script.
    async fn encode_with(script: &str, limits: &Limits, cancel: &CancellationToken) -> Result<Made, Error> {
        encode_from(&Input { args: Vec::new(), proxy: None }, script, limits, cancel).await
    }

    async fn encode_from(
        input: &Input,
        script: &str,
        limits: &Limits,
        cancel: &CancellationToken,
    ) -> Result<Made, Error> {
        let folder = tempfile::tempdir().expect("a folder");
        let ffmpeg = folder.path().join("ffmpeg");
        std::fs::write(&ffmpeg, format!("#!/bin/sh\n{script}\n")).expect("writes");
        std::fs::set_permissions(&ffmpeg, PermissionsExt::from_mode(0o755)).expect("is ours");
        let video = Video::sized(320, 180);
        let order = Order {
            preset: preset::find("480p_h264").expect("known"),
            input,
            source: &Media::default(),
            video: &video,
            directory: folder.path(),
        };
        let tools = Tools { ffprobe: ffmpeg.clone(), ffmpeg };
        encode(&tools, &order, limits, |_| (), cancel).await
    }

    async fn error(script: &str) -> Error {
        encode_with(script, &LONG, &CancellationToken::new()).await.expect_err("no result")
    }

    #[tokio::test]
    async fn the_cause_is_what_ffmpeg_said() {
        let failed =
            error("echo '[mov @ 0x5581] moov atom not found' >&2; echo 'Conversion failed!' >&2; exit 1").await;
        assert_eq!((failed.to_string().as_str(), failed.blame()), ("moov atom not found", Blame::Job));
    }

    #[tokio::test]
    async fn the_frames_are_those_of_the_last_report() {
        let made = async |reports: &str| {
            encode_with(&format!("printf '{reports}'"), &LONG, &CancellationToken::new()).await.expect("succeeds")
        };
        let two = r"frame=7\nprogress=continue\nframe=9\nprogress=end\n";
        assert_eq!((made(two).await.frames, made("").await.frames), (Some(9), None));
    }

    #[tokio::test]
    async fn a_silent_failure_still_has_a_cause() {
        assert_eq!(error("exit 69").await.to_string(), "ffmpeg ended with exit status: 69");
    }

    #[tokio::test]
    async fn a_file_without_an_end_is_the_machines_fault() {
        let said = "Error writing trailer of output.mp4: Input/output error";
        let failed = error(&format!("echo '{said}' >&2; exit 0")).await;
        assert_eq!((failed.to_string().as_str(), failed.blame()), (said, Blame::Infrastructure));
    }

    #[rstest]
    #[tokio::test]
    async fn a_full_disk_is_the_machines_fault(#[values(0, 1)] status: u8) {
        let said = "Error closing file output.mp4: No space left on device";
        let failed = error(&format!("echo '{said}' >&2; echo 'Conversion failed!' >&2; exit {status}")).await;
        assert_eq!(
            (failed.to_string().as_str(), failed.blame()),
            ("the disk of WORK_DIR is full", Blame::Infrastructure)
        );
    }

    /// Otherwise one machine that is set up badly would end every job that it can get.
    #[rstest]
    #[case::older("echo \"Unrecognized option 'fps_mode'.\" >&2; exit 1", "Unrecognized option 'fps_mode'.")]
    #[case::smaller("echo \"Unknown encoder 'libx264'\" >&2; exit 1", "Unknown encoder 'libx264'")]
    #[case::not_loaded("exec none-such", "not found")]
    #[tokio::test]
    async fn an_ffmpeg_that_lacks_something_is_the_machines_fault(#[case] script: &str, #[case] cause: &str) {
        let failed = error(script).await;
        let text = failed.to_string();
        assert!(text.ends_with(&format!("{cause}; is FFMPEG_PATH ffmpeg, 5.1 or later, with libx264?")), "{text}");
        assert_eq!(failed.blame(), Blame::Infrastructure);
    }

    #[tokio::test]
    async fn a_kill_from_outside_is_the_machines_fault() {
        let failed = error("kill -9 $$").await;
        let text = "ffmpeg was killed by signal 9";
        assert_eq!((failed.to_string().as_str(), failed.blame()), (text, Blame::Infrastructure));
    }

    #[rstest]
    #[case::silence("http://h/a.ts: Connection timed out", Some("input_url: broke off: Connection timed out"))]
    #[case::in_development("[error] http://h/a.ts: I/O error", Some("input_url: broke off: I/O error"))]
    #[case::newer("[in#0/mpegts @ 0x1] Error during demuxing: I/O error", Some("input_url: broke off: I/O error"))]
    #[case::bad_bytes("http://h/a.ts: Invalid data found when processing input", None)]
    #[case::something_else("[h264 @ 0x1] error while decoding MB 1 1", None)]
    #[tokio::test]
    async fn a_success_with_half_of_the_input_is_none(#[case] said: &str, #[case] error: Option<&str>) {
        let input = |proxy| Input { args: vec!["-i".into(), "http://h/a.ts".into()], proxy };
        let (script, cancel) = (format!("echo '{said}' >&2"), CancellationToken::new());
        let network = encode_from(&input(Some(([127, 0, 0, 1], 1).into())), &script, &LONG, &cancel).await;
        assert_eq!(network.err().map(|error| error.to_string()).as_deref(), error);
        assert!(encode_from(&input(None), &script, &LONG, &cancel).await.is_ok(), "a file does not break off");
    }

    #[tokio::test]
    async fn no_progress_for_too_long_is_a_stall() {
        // The same report again is no progress.
        let script = "while :; do echo out_time_us=1; echo progress=continue; sleep 0.02; done";
        let limits = Limits { stall: Duration::from_millis(300), total: Duration::from_mins(1) };
        let stalled = encode_with(script, &limits, &CancellationToken::new()).await.expect_err("no result");
        assert!(matches!(stalled, Error::Stalled(_)), "{stalled}");
    }

    #[tokio::test]
    async fn slow_progress_is_not_a_stall() {
        let script = "for i in 1 2 3 4 5 6; do echo out_time_us=$i; echo progress=continue; sleep 0.2; done";
        let limits = Limits { stall: Duration::from_secs(1), total: Duration::from_mins(1) };
        assert!(encode_with(script, &limits, &CancellationToken::new()).await.is_ok());
    }

    #[tokio::test]
    async fn a_file_that_grows_is_progress() {
        let script = "for i in 1 2 3 4 5 6; do echo $i >> output.mp4; sleep 0.2; done";
        let limits = Limits { stall: Duration::from_millis(900), total: Duration::from_mins(1) };
        assert!(encode_with(script, &limits, &CancellationToken::new()).await.is_ok());
    }

    #[tokio::test]
    async fn an_encode_has_a_last_moment() {
        let limits = Limits { stall: Duration::from_mins(1), total: Duration::from_millis(200) };
        let late = encode_with("sleep 1000", &limits, &CancellationToken::new()).await.expect_err("no result");
        assert!(matches!(late, Error::TimedOut(_)), "{late}");
    }

    #[tokio::test]
    async fn a_cancelled_encode_ends() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        assert!(matches!(encode_with("sleep 1000", &LONG, &cancel).await, Err(Error::Cancelled)));
    }
}
