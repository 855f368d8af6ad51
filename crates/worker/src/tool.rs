//! Runs ffmpeg and ffprobe as processes that cannot outlive their purpose.
//!
//! Each runs in a process group of its own, without standard input, without a shell and without this process's secrets.
//! The group is stopped with TERM, a grace, then KILL; it is killed when the future that runs it is dropped, and when
//! this process dies. Both pipes are always drained, and of standard error only the tail is kept.

use std::{
    ffi::OsString,
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use landlock::RulesetCreated;
use nix::{
    sys::{
        prctl,
        signal::{Signal, killpg},
    },
    unistd::{Pid, getppid},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    time::timeout,
};

pub(crate) use tail::Tail;

pub(crate) mod confine;
mod tail;

/// How long a process has to end after TERM before it is killed. What it would still write is thrown away.
const TERM_GRACE: Duration = Duration::from_millis(500);

/// How long pipes may stay open after the process has ended: something outside its group may hold them.
const DRAIN: Duration = Duration::from_secs(1);

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Tools {
    /// ffmpeg.
    pub ffmpeg: PathBuf,
    /// ffprobe.
    pub ffprobe: PathBuf,
}

/// What of this process's environment the programs get to see: what finds libraries and fonts, no credentials, and no
/// proxy settings that would lead around the input guard.
const ENVIRONMENT: &[&str] =
    &["PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "TZ", "FONTCONFIG_FILE", "FONTCONFIG_PATH"];

/// One run of a program.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    program: PathBuf,
    args: Vec<OsString>,
    directory: Option<PathBuf>,
    proxy: Option<SocketAddr>,
}

impl Invocation {
    /// Runs `program` with `args`, in this process's folder.
    pub(crate) fn new(program: &Path, args: Vec<OsString>) -> Self {
        Self { program: program.to_owned(), args, directory: None, proxy: None }
    }

    /// In another folder.
    pub(crate) fn in_directory(self, directory: &Path) -> Self {
        Self { directory: Some(directory.to_owned()), ..self }
    }

    /// With every HTTP and HTTPS connection through this proxy. Without one it can connect to nothing.
    pub(crate) fn through(self, proxy: Option<SocketAddr>) -> Self {
        Self { proxy, ..self }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear();
        command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some(proxy) = self.proxy {
            // ffmpeg's name for both protocols, at every depth of a playlist.
            command.env("http_proxy", format!("http://{proxy}"));
        }
        command
    }
}

/// How a process ended.
#[derive(Debug)]
pub(crate) enum Ended<R> {
    /// By itself.
    Exited(ExitStatus),
    /// It was stopped, for this reason.
    Stopped(R),
}

/// Runs a program to its end and hands what it prints to `stdout` as it comes. When `stop` ends first, the whole
/// process group is stopped.
///
/// # Errors
/// When the program cannot be started or waited for; the message names it.
pub(crate) async fn run<R>(
    invocation: &Invocation,
    mut stdout: impl FnMut(&[u8]),
    stop: impl Future<Output = R>,
) -> io::Result<(Ended<R>, Tail)> {
    let mut process = Process::spawn(invocation).map_err(|error| name(&invocation.program, &error))?;
    let mut tail = Tail::default();
    let (out, err) = (process.child.stdout.take(), process.child.stderr.take());
    let ended = {
        let drain = async { tokio::join!(pump(out, &mut stdout), pump(err, |bytes| tail.push(bytes))) };
        let (mut drain, mut stop) = (pin!(drain), pin!(stop));
        let mut drained = false;
        let ended = loop {
            tokio::select! {
                status = process.child.wait() => break Ended::Exited(status?),
                reason = &mut stop => {
                    process.terminate().await;
                    break Ended::Stopped(reason);
                }
                _ = &mut drain, if !drained => drained = true,
            }
        };
        process.end();
        if !drained {
            // Nothing is lost when this runs out: the process and its group have ended.
            let _ = timeout(DRAIN, drain).await;
        }
        ended
    };
    tail.finish();
    Ok((ended, tail))
}

fn name(program: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: cannot be started: {error}", program.display()))
}

async fn pump(pipe: Option<impl AsyncRead + Unpin>, mut sink: impl FnMut(&[u8])) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; 8 * 1024];
    // A broken pipe ends the output like its regular end does.
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        sink(&buffer[..count]);
    }
}

/// A child process that leads a group of its own.
struct Process {
    child: Child,
    group: Pid,
    ended: bool,
}

impl Process {
    fn spawn(invocation: &Invocation) -> io::Result<Self> {
        let mut command = invocation.command();
        let network = confine::to_port(invocation.proxy.map(|proxy| proxy.port()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        before_exec(&mut command, network);
        let child = command.spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).expect("a child that was not awaited has a pid");
        Ok(Self { child, group: Pid::from_raw(pid), ended: false })
    }

    async fn terminate(&mut self) {
        let _ = killpg(self.group, Signal::SIGTERM);
        if timeout(TERM_GRACE, self.child.wait()).await.is_err() {
            let _ = killpg(self.group, Signal::SIGKILL);
            let _ = self.child.wait().await;
        }
    }

    /// Kills what the process left behind in its group. Called once, right after the leader was reaped, so that the
    /// group's number cannot have been given to somebody else.
    fn end(&mut self) {
        let _ = killpg(self.group, Signal::SIGKILL);
        self.ended = true;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended {
            // The future was dropped in the middle. The runtime reaps the child.
            self.end();
        }
    }
}

/// Has the kernel kill the child when the thread that started it dies (worker threads live as long as the process),
/// and keep it from connecting elsewhere.
#[expect(unsafe_code, reason = "the only way to run code between fork and exec")]
fn before_exec(command: &mut Command, mut network: Option<RulesetCreated>) {
    let parent = Pid::this();
    let hook = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the call above.
        if getppid() != parent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match network.take().map(RulesetCreated::restrict_self) {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(_)) => Err(io::ErrorKind::PermissionDenied.into()),
        }
    };
    // SAFETY: the hook makes a few system calls that are async-signal-safe, takes no lock, and allocates only where it
    // fails and the child ends.
    unsafe { command.pre_exec(hook) };
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        time::Instant,
    };

    use super::*;

    fn shell(script: &str) -> Invocation {
        Invocation::new(Path::new("/bin/sh"), vec!["-c".into(), script.into()])
    }

    /// What was killed dies when the kernel comes round to it. A zombie counts as dead: it does nothing any more.
    async fn until_dead(pid: i32) {
        let is_alive = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        let dies = async {
            while is_alive() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), dies).await.expect("it dies");
    }

    #[tokio::test]
    async fn output_and_the_end_of_standard_error_come_back() {
        let sh = shell("echo out; echo one >&2; echo two >&2; exit 3");
        let mut out = Vec::new();
        let (ended, tail) = run(&sh, |bytes| out.extend_from_slice(bytes), pending::<()>()).await.expect("runs");
        assert!(matches!(ended, Ended::Exited(status) if status.code() == Some(3)));
        assert_eq!((out.as_slice(), tail.lines().collect::<Vec<_>>()), (&b"out\n"[..], vec!["one", "two"]));
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let error = run(&Invocation::new(Path::new("/no/such"), Vec::new()), |_| (), pending::<()>())
            .await
            .expect_err("cannot run");
        assert!(error.to_string().starts_with("/no/such: cannot be started"), "{error}");
    }

    #[tokio::test]
    async fn a_process_that_ignores_term_is_killed_with_its_children() {
        let sh = shell("trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000");
        let mut out = Vec::new();
        let (told, hear) = tokio::sync::oneshot::channel();
        let mut told = Some(told);
        let on_output = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            told.take().map(|told| told.send(()));
        };
        let started = Instant::now();
        let (ended, _) = run(&sh, on_output, async { hear.await.expect("the child prints") }).await.expect("runs");
        assert!(matches!(ended, Ended::Stopped(())));
        assert!(started.elapsed() < TERM_GRACE + DRAIN + Duration::from_secs(5));
        let child = String::from_utf8(out).expect("text").trim().parse().expect("a pid");
        until_dead(child).await;
    }

    #[tokio::test]
    async fn a_dropped_run_leaves_no_process() {
        let sh = shell("echo $$; sleep 1000");
        let (told, hear) = tokio::sync::oneshot::channel();
        let mut told = Some(told);
        let on_output = |bytes: &[u8]| {
            told.take().map(|told| told.send(bytes.to_vec()));
        };
        let pid = tokio::select! {
            _ = run(&sh, on_output, pending::<()>()) => panic!("it sleeps"),
            bytes = hear => bytes.expect("it prints"),
        };
        let pid = String::from_utf8(pid).expect("text").trim().parse().expect("a pid");
        until_dead(pid).await;
    }

    #[tokio::test]
    async fn a_pipe_that_stays_open_elsewhere_does_not_hang_the_run() {
        // setsid leaves the group, so the kill does not reach it.
        let sh = shell("setsid sleep 3 & exit 0");
        let (ended, _) = run(&sh, |_| (), pending::<()>()).await.expect("runs");
        assert!(matches!(ended, Ended::Exited(status) if status.success()));
    }

    #[tokio::test]
    async fn secrets_and_proxy_settings_are_not_handed_on() {
        let sh = shell("env").through(Some(([127, 0, 0, 1], 3128).into())).in_directory(Path::new("/"));
        let mut out = Vec::new();
        run(&sh, |bytes| out.extend_from_slice(bytes), pending::<()>()).await.expect("runs");
        let names: Vec<_> =
            std::str::from_utf8(&out).expect("text").lines().filter_map(|l| l.split_once('=')).collect();
        // CARGO is set for every test; the shell itself adds PWD, SHLVL and _.
        assert!(names.iter().all(|(name, _)| *name != "CARGO"), "{names:?}");
        assert!(names.contains(&("http_proxy", "http://127.0.0.1:3128")) && names.contains(&("PWD", "/")), "{names:?}");
    }

    #[tokio::test]
    async fn a_program_reaches_its_proxy_and_nothing_else() {
        assert!(confine::is_possible(), "these tests need Linux 6.7 or later with Landlock");
        let listen = || std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let (proxy, other) = (listen(), listen());
        let address = |listener: &std::net::TcpListener| listener.local_addr().expect("is bound");
        let connect = |to| {
            let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}", address(to).port());
            Invocation::new(Path::new("/bin/bash"), vec!["-c".into(), script.into()])
        };
        for (to, through, reached) in [(&proxy, true, true), (&other, true, false), (&other, false, false)] {
            let bash = connect(to).through(Some(address(&proxy)).filter(|_| through));
            let (ended, _) = run(&bash, |_| (), pending::<()>()).await.expect("runs");
            assert!(matches!(ended, Ended::Exited(status) if status.success() == reached), "{through} {reached}");
        }
    }

    #[tokio::test]
    async fn a_flood_on_both_pipes_does_not_stall() {
        let sh = shell("yes | head -c 5000000; yes | head -c 5000000 >&2");
        let mut count = 0;
        let (_, tail) = run(&sh, |bytes| count += bytes.len(), pending::<()>()).await.expect("runs");
        assert_eq!(count, 5_000_000);
        assert!(tail.lines().count() <= tail::MAX_LINES);
    }

    #[tokio::test]
    async fn a_stop_that_is_already_due_stops_at_once() {
        let sh = shell("sleep 1000");
        let (ended, _) = run(&sh, |_| (), ready("why")).await.expect("runs");
        assert!(matches!(ended, Ended::Stopped("why")));
    }
}
