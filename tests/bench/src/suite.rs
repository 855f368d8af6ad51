//! The benchmarks.

mod by_hand;
mod fleet;
mod hls_tail;
mod overhead;
mod relay;
mod soak;
mod split;
mod start;
pub(crate) mod submit;
mod timeline;
mod upload;
mod validate;

use std::{fmt::Write as _, str::FromStr};

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
    SplitPairs,
    SplitSpeedup,
    SplitScale,
    SplitQuality,
    SplitShort,
    SplitKilled,
    SplitLengths,
    SplitHalves,
    Soak,
}

/// Those that `split` stands for.
const SPLIT: [Benchmark; 6] = [
    Benchmark::SplitPairs,
    Benchmark::SplitSpeedup,
    Benchmark::SplitScale,
    Benchmark::SplitQuality,
    Benchmark::SplitShort,
    Benchmark::SplitKilled,
];

/// Too long to be run unless they are asked for.
const LONG: [Benchmark; 3] = [Benchmark::SplitLengths, Benchmark::SplitHalves, Benchmark::Soak];

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
            Self::SplitPairs => "split-pairs",
            Self::SplitSpeedup => "split-speedup",
            Self::SplitScale => "split-scale",
            Self::SplitQuality => "split-quality",
            Self::SplitShort => "split-short",
            Self::SplitKilled => "split-killed",
            Self::SplitLengths => "split-lengths",
            Self::SplitHalves => "split-halves",
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
            Self::SplitPairs => "split jobs on one worker, against the same ffmpeg command by hand",
            Self::SplitSpeedup => "a split job on two cores, against one",
            Self::SplitScale => "a split job of two hours over 32 and 100 workers that encode nothing",
            Self::SplitQuality => "how much larger and how much worse outputs of split jobs are",
            Self::SplitShort => "short clips, with leave to split against without",
            Self::SplitKilled => "a split job while workers are killed, and whether its bytes are the same",
            Self::SplitLengths => "split-pairs with one SPLIT_CHUNK_SECONDS after the other",
            Self::SplitHalves => "two halves at once by hand, against the whole: what there is to gain on two cores",
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
            Self::SplitPairs => split::pairs::run(plan).await,
            Self::SplitSpeedup => split::speedup::run(plan).await,
            Self::SplitScale => split::scale::run(plan).await,
            Self::SplitQuality => split::quality::run(plan).await,
            Self::SplitShort => split::short::run(plan).await,
            Self::SplitKilled => split::killed::run(plan).await,
            Self::SplitLengths => split::lengths::run(plan).await,
            Self::SplitHalves => split::halves::run(plan).await,
            Self::Soak => soak::run(plan).await,
        }
    }
}

/// What a name stands for.
#[derive(Debug, Clone)]
pub(crate) struct Choice(Vec<Benchmark>);

impl FromStr for Choice {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == "split" { Ok(Self(SPLIT.to_vec())) } else { Ok(Self(vec![Benchmark::from_str(name, false)?])) }
    }
}

/// What to run for these names. Hours are spent only where it is asked for.
pub(crate) fn chosen(names: Vec<Choice>, smoke: bool) -> Vec<Benchmark> {
    if !names.is_empty() {
        return names.into_iter().flat_map(|choice| choice.0).collect();
    }
    let all = Benchmark::value_variants().iter().copied();
    all.filter(|benchmark| smoke || !LONG.contains(benchmark)).collect()
}

/// The names, for `--help`.
pub(crate) fn help() -> String {
    let mut help = "Names:\n".to_owned();
    for benchmark in Benchmark::value_variants() {
        writeln!(help, "  {:<13} {}", benchmark.name(), benchmark.summary()).expect("a String takes every write");
    }
    help.push_str("  split         all that begin with split-, but for split-lengths and split-halves\n");
    help
}
