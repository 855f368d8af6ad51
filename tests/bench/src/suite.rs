//! The benchmarks.

mod fleet;
mod hls_tail;
mod overhead;
mod relay;
mod soak;
mod start;
pub(crate) mod submit;
mod timeline;
mod upload;
mod validate;

use std::fmt::Write as _;

use anyhow::Result;
use clap::ValueEnum;

use crate::{measure::Finding, plan::Plan};

/// A benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Benchmark {
    Start,
    Submit,
    Relay,
    Fleet,
    Overhead,
    Validate,
    Upload,
    HlsTail,
    Soak,
}

impl Benchmark {
    /// What it is called by.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Submit => "submit",
            Self::Relay => "relay",
            Self::Fleet => "fleet",
            Self::Overhead => "overhead",
            Self::Validate => "validate",
            Self::Upload => "upload",
            Self::HlsTail => "hls-tail",
            Self::Soak => "soak",
        }
    }

    /// What it measures, in a line.
    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::Start => "exec to ready of both binaries, idle memory, binary size",
            Self::Submit => "jobs accepted a second, against a handler that does nothing",
            Self::Relay => "delay of a progress event to up to 10,000 listeners, and what a listener costs",
            Self::Fleet => "a control plane with 200 workers and 2,000 running jobs",
            Self::Overhead => "POST to COMPLETED, against the same ffmpeg command by hand and cp",
            Self::Validate => "validation, as part of the encode",
            Self::Upload => "publishing to an S3 server, against the fastest client that is installed",
            Self::HlsTail => "ffmpeg's exit to COMPLETED of a ladder of 600 segments",
            Self::Soak => "memory, files, threads and disk while mixed jobs run for half an hour",
        }
    }

    /// Measures.
    ///
    /// # Errors
    /// When something does not work. What the end-to-end harness expects and does not find panics.
    pub(crate) async fn run(self, plan: &Plan) -> Result<Vec<Finding>> {
        match self {
            Self::Start => start::run(plan).await,
            Self::Submit => submit::run(plan).await,
            Self::Relay => relay::run(plan).await,
            Self::Fleet => fleet::run(plan).await,
            Self::Overhead => overhead::run(plan).await,
            Self::Validate => validate::run(plan).await,
            Self::Upload => upload::run(plan).await,
            Self::HlsTail => hls_tail::run(plan).await,
            Self::Soak => soak::run(plan).await,
        }
    }
}

/// What to run for these names. Half an hour is spent only where it is asked for.
pub(crate) fn chosen(names: Vec<Benchmark>, smoke: bool) -> Vec<Benchmark> {
    if !names.is_empty() {
        return names;
    }
    let all = Benchmark::value_variants().iter().copied();
    all.filter(|benchmark| smoke || *benchmark != Benchmark::Soak).collect()
}

/// The names, for `--help`.
pub(crate) fn help() -> String {
    let mut help = "Names:\n".to_owned();
    for benchmark in Benchmark::value_variants() {
        writeln!(help, "  {:<9} {}", benchmark.name(), benchmark.summary()).expect("a String takes every write");
    }
    help
}
