//! The folder of one test, and everything that is started in it.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use tempfile::TempDir;
use url::Url;

use crate::{
    daemon::{Daemon, Launch, Port},
    plane::PlaneBuilder,
    processes::{self, Process},
    s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY},
    wait::{INTERVAL, PATIENCE, until},
    worker::WorkerBuilder,
};

/// The daemons themselves, which are killed by their own handles.
const DAEMONS: [&str; 3] = ["worker", "controlplane", "s3-server"];

/// The folder of one test. Make it first, so that it is dropped last.
#[derive(Debug)]
pub struct Sandbox {
    folder: TempDir,
    launches: AtomicUsize,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("e2e-").tempdir().expect("a folder");
        let sandbox = Self { folder, launches: AtomicUsize::new(0) };
        for part in ["work", "output", "input", "logs", "tmp"] {
            fs::create_dir(sandbox.path().join(part)).expect("a folder");
        }
        sandbox
    }

    /// The whole folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder where it is at the end, for somebody who wants to look.
    pub fn keep(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// `WORK_DIR` of the workers.
    #[must_use]
    pub fn work_dir(&self) -> PathBuf {
        self.path().join("work")
    }

    /// `LOCAL_STORAGE_DIR` of the workers.
    #[must_use]
    pub fn output_dir(&self) -> PathBuf {
        self.path().join("output")
    }

    /// `INPUT_DIR` of the workers.
    #[must_use]
    pub fn input_dir(&self) -> PathBuf {
        self.path().join("input")
    }

    /// Puts a copy of `clip` into `INPUT_DIR` and tells its URL.
    #[must_use]
    pub fn input(&self, clip: &Path) -> String {
        let copy = self.input_dir().join(clip.file_name().expect("a clip is a file"));
        fs::copy(clip, &copy).expect("a copy");
        Url::from_file_path(copy).expect("an absolute path").into()
    }

    /// A worker with two slots, local storage and this test's folders, which does not exit when idle.
    #[must_use]
    pub fn worker(&self) -> WorkerBuilder {
        let port = Port::reserve();
        let launch = self
            .launch("worker")
            .env("GRPC_PORT", &port.address().port())
            .env("WORK_DIR", &self.work_dir().display())
            .env("STORAGE_TYPE", "local")
            .env("LOCAL_STORAGE_DIR", &self.output_dir().display())
            .env("INPUT_DIR", &self.input_dir().display())
            .env("DISABLE_AUTO_SHUTDOWN", "true");
        WorkerBuilder { launch, port }
    }

    /// A control plane over these workers, with a store of its own, that tries each job once.
    #[must_use]
    pub fn plane(&self, workers: &[SocketAddr]) -> PlaneBuilder {
        let port = Port::reserve();
        let workers: Vec<_> = workers.iter().map(ToString::to_string).collect();
        let launch = self
            .launch("controlplane")
            .env("PORT", &port.address().port())
            .env("WORKER_NODES", &workers.join(","))
            .env("WORKER_STARTUP_TIMEOUT", "20")
            .env("DATA_DIR", &self.path().join(format!("data-{}", port.address().port())).display())
            // A failure is to be seen as it comes. Tests of what follows from it set more.
            .env("JOB_MAX_ATTEMPTS", "1")
            // One job, one attempt, one ffmpeg. Tests of split jobs set more.
            .env("SPLIT", "off")
            .env("LOG_LEVEL", "info,controlplane=debug,service=debug");
        PlaneBuilder { launch, port }
    }

    /// An S3 server with an empty bucket.
    pub async fn s3(&self) -> S3Server {
        let (folder, port) = (self.path().join("s3"), Port::reserve());
        let launch = self.s3_launch(&folder, &port);
        S3Server { daemon: Daemon::start(launch, port).await, folder }
    }

    /// How an S3 server over `folder` would be started.
    #[must_use]
    pub fn s3_launch(&self, folder: &Path, port: &Port) -> Launch {
        let mut launch = self.launch("s3-server");
        let number = port.address().port().to_string();
        launch.args = vec![folder.display().to_string(), BUCKET.into(), ACCESS_KEY.into(), SECRET_KEY.into(), number];
        launch
    }

    /// An ffmpeg that takes as long as its input plays, but little of the machine. For `FFMPEG_PATH`.
    #[must_use]
    pub fn slow_ffmpeg(&self) -> PathBuf {
        self.script("slow-ffmpeg", "exec ffmpeg -re \"$@\"")
    }

    /// An ffmpeg that never does anything. For `FFMPEG_PATH`.
    #[must_use]
    pub fn stuck_ffmpeg(&self) -> PathBuf {
        self.script("stuck-ffmpeg", "exec sleep 600")
    }

    /// An ffmpeg whose result is its input: fast where only the size of the result matters. For `FFMPEG_PATH`.
    #[must_use]
    pub fn copying_ffmpeg(&self, clip: &Path) -> PathBuf {
        self.script("copying-ffmpeg", &format!("for last; do :; done; cp {} \"$last\"", clip.display()))
    }

    /// A shell script.
    #[must_use]
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        path
    }

    /// What runs here beside the daemons: ffmpeg, ffprobe and stand-ins of theirs.
    #[must_use]
    pub fn tools(&self) -> Vec<Process> {
        let processes = processes::of(self.path()).into_iter();
        processes.filter(|process| !DAEMONS.contains(&process.program.as_str())).collect()
    }

    /// Waits until no tool runs, `WORK_DIR` is empty and no receipt is left: every result was collected.
    pub async fn clean(&self) {
        until("no tool runs", async || self.tools().is_empty()).await;
        let (work, output) = (self.work_dir(), self.output_dir());
        until("no work folder is left", async || files(&work).is_empty()).await;
        until("no receipt is left", async || !files(&output).iter().any(|path| is_receipt(path))).await;
    }

    /// The files of `LOCAL_STORAGE_DIR`, unfinished ones too, relative and in order.
    #[must_use]
    pub fn outputs(&self) -> Vec<String> {
        let mut outputs = files(&self.output_dir());
        // The folders where outputs and parts are staged stay; empty, they hold nothing unfinished. Receipts stay until somebody has
        // written the result down.
        outputs.retain(|path| path != ".flux-staging" && path != ".flux-parts" && !is_receipt(path));
        outputs
    }

    fn launch(&self, binary: &'static str) -> Launch {
        let number = self.launches.fetch_add(1, Ordering::Relaxed);
        let log = self.path().join(format!("logs/{number}-{binary}.log"));
        let env = vec![("PATH".to_owned(), std::env::var("PATH").expect("tests have a PATH"))];
        // The tools inherit TMPDIR, so whatever they start can be told by it.
        Launch { binary, args: Vec::new(), env, log }.env("TMPDIR", &self.path().join("tmp").display())
    }

    fn print_logs(&self) {
        for name in files(&self.path().join("logs")) {
            let log = fs::read_to_string(self.path().join("logs").join(&name)).unwrap_or_default();
            eprintln!("--- {name}\n{log}");
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
            return;
        }
        // The daemons were killed a moment ago; the kernel takes their tools along.
        let start = Instant::now();
        while !processes::of(self.path()).is_empty() {
            assert!(start.elapsed() < PATIENCE, "left running: {:?}", processes::of(self.path()));
            std::thread::sleep(INTERVAL);
        }
    }
}

fn is_receipt(path: &str) -> bool {
    path.starts_with(".flux-staging/receipt-")
}

/// The files and links below `root`, and its empty folders, relative and in order.
#[must_use]
pub fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        // What is listed may be removed meanwhile.
        let entries: Vec<_> = fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok).collect();
        if entries.is_empty() && folder != root {
            found.push(folder.clone());
        }
        for entry in entries {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let list = if is_folder { &mut folders } else { &mut found };
            list.push(entry.path());
        }
    }
    let relative = found.iter().filter_map(|path| path.strip_prefix(root).ok());
    let mut relative: Vec<_> = relative.map(|path| path.to_string_lossy().into_owned()).collect();
    relative.sort();
    relative
}
