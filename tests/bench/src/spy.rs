//! An ffmpeg that tells when it encoded and with which arguments: for `FFMPEG_PATH` of a worker.

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use e2e::Sandbox;

/// What runs instead of ffmpeg. Only encodes ask for progress; everything else is handed through.
const BODY: &str = r#"
case " $* " in *" -progress "*) ;; *) exec ffmpeg "$@" ;; esac
printf '%s\0' "$PWD" "$@" >"LOG.args"
begin=$(date +%s%N)
ffmpeg "$@"
code=$?
echo "$begin $(date +%s%N)" >"LOG.times"
exit $code"#;

/// Looks over a worker's shoulder.
#[derive(Debug)]
pub(crate) struct Spy {
    /// The program.
    pub(crate) path: PathBuf,
    log: PathBuf,
}

/// When the last encode began and ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// How long it took.
    pub(crate) took: Duration,
    /// When it had ended.
    pub(crate) end: SystemTime,
}

/// The last encode, to be done again by hand.
#[derive(Debug)]
pub(crate) struct Encode {
    args: Vec<OsString>,
}

impl Spy {
    /// A spy for workers of this sandbox.
    pub(crate) fn new(sandbox: &Sandbox) -> Self {
        let log = sandbox.path().join("spy");
        let path = sandbox.script("spy-ffmpeg", &BODY.replace("LOG", &log.display().to_string()));
        Self { path, log }
    }

    /// When the last encode ran.
    ///
    /// # Errors
    /// When there was none.
    pub(crate) fn times(&self) -> Result<Times> {
        let text = fs::read_to_string(self.log.with_extension("times")).context("no encode has ended")?;
        let (begin, end) = text.trim().split_once(' ').context("two times")?;
        let (begin, end) = (Duration::from_nanos(begin.parse()?), Duration::from_nanos(end.parse()?));
        Ok(Times { took: end.saturating_sub(begin), end: SystemTime::UNIX_EPOCH + end })
    }

    /// What the last encode was told to do.
    ///
    /// # Errors
    /// When there was none.
    pub(crate) fn encode(&self) -> Result<Encode> {
        let text = fs::read(self.log.with_extension("args")).context("no encode has begun")?;
        let args = text.split(|byte| *byte == 0).skip(1).map(|arg| OsString::from_vec(arg.to_vec()));
        let mut args: Vec<_> = args.collect();
        // What follows the last separator.
        args.pop();
        Ok(Encode { args })
    }
}

impl Encode {
    /// The same for a part of the source, in seconds, with one thread.
    pub(crate) fn part(&self, from: f64, length: f64) -> Self {
        let mut args = self.args.clone();
        let mut insert = |place: usize, options: &[&str]| {
            args.splice(place..place, options.iter().map(OsString::from));
        };
        // From the back, so that places stay: the output's options are before its name, the source's before `-i`.
        insert(self.args.len() - 1, &["-threads", "1"]);
        let source = self.args.iter().position(|arg| arg == "-i").expect("there is a source");
        let (from, length) = (from.to_string(), length.to_string());
        insert(source, &["-threads", "1", "-ss", &from, "-t", &length]);
        insert(0, &["-filter_complex_threads", "1"]);
        Self { args }
    }

    /// Does it by hand, in `folder`, where its outputs have their folders.
    ///
    /// # Errors
    /// When ffmpeg fails.
    pub(crate) fn again(&self, folder: &Path) -> Result<()> {
        run(Command::new("ffmpeg").args(&self.args).current_dir(folder))
    }
}

/// Copies a folder.
///
/// # Errors
/// When cp fails.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").arg("-r").arg(from).arg(to))
}

/// Looks at a source, and then decodes what was made of it while its packets are counted: what a worker does besides, to
/// know what to ask for and whether it is there, in as few processes as can be.
///
/// # Errors
/// When one of the programs fails.
pub(crate) fn check(source: &str, output: &Path) -> Result<()> {
    let facts = ["-v", "error", "-show_format", "-show_streams"];
    run(Command::new("ffprobe").args(facts).arg(source))?;
    thread::scope(|scope| {
        let (decode, nowhere) = (["-v", "error", "-nostdin", "-xerror", "-i"], ["-map", "0", "-f", "null", "-"]);
        let decoding = scope.spawn(move || run(Command::new("ffmpeg").args(decode).arg(output).args(nowhere)));
        run(Command::new("ffprobe").args(facts).arg("-count_packets").arg(output))?;
        decoding.join().expect("it does not panic")
    })
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let program = command.get_program().display();
    let status = status.with_context(|| format!("{program} cannot be started"))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}
