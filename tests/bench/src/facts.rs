//! On which machine, with which ffmpeg, at which commit.

use std::{fs, process::Command};

use serde_json::{Value, json};

/// What a figure means nothing without.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    processor: String,
    cores: usize,
    memory: String,
    kernel: String,
    ffmpeg: String,
    commit: String,
    build: &'static str,
    began: String,
    /// Load of the machine in the last minute, before anything was measured.
    load: String,
}

impl Facts {
    /// Looks at this machine.
    pub(crate) fn gather() -> Self {
        let began = jiff::Timestamp::now().to_string();
        Self {
            processor: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: field("/proc/meminfo", "MemTotal"),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            ffmpeg: first_line("ffmpeg", &["-version"]),
            commit: commit(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            began: began.split_once('.').map_or(began.clone(), |(seconds, _)| format!("{seconds}Z")),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }

    /// As lines of name and value.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("machine", format!("{} × {}, {}, Linux {}", self.cores, self.processor, self.memory, self.kernel)),
            ("ffmpeg", self.ffmpeg.clone()),
            ("commit", format!("{}, {} build", self.commit, self.build)),
            ("began", format!("{}, load {}", self.began, self.load)),
        ]
    }

    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        json!({
            "processor": self.processor, "cores": self.cores, "memory": self.memory, "kernel": self.kernel,
            "ffmpeg": self.ffmpeg, "commit": self.commit, "build": self.build, "began": self.began, "load": self.load,
        })
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name : value`.
fn field(path: &str, name: &str) -> String {
    let text = read(path);
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let value = lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).next();
    value.unwrap_or_else(|| "unknown".to_owned())
}

fn first_line(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(crate::plan::root()).output();
    let output = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    output.lines().next().unwrap_or("unknown").to_owned()
}

fn commit() -> String {
    let commit = first_line("git", &["rev-parse", "--short=12", "HEAD"]);
    let changed = first_line("git", &["status", "--porcelain", "--untracked-files=no"]);
    if changed == "unknown" { commit } else { format!("{commit} with changes") }
}
