//! Measures what the service costs, and says whether it is as fast as it must be.
//!
//! Each benchmark is a file of [`suite`] that answers [`measure::Finding`]s. What a figure must reach stands in one
//! table, [`target`]. What is compared is measured in pairs, side by side in the same run, so that a machine that is
//! shared slows both.
//!
//! - [`plan`] – how long and how often is measured, and what is not to be measured again
//! - [`facts`] – on which machine, with which ffmpeg, at which commit
//! - [`report`] – the table, and the files in `target/bench`
//! - [`load`] – requests as fast as they are answered, or at a fixed rate
//! - [`stub`] – workers that encode nothing
//! - [`spy`] – an ffmpeg that tells when it ran and with which arguments
//! - [`process`] – what the kernel says of a process

mod facts;
mod load;
mod measure;
mod plan;
mod process;
mod report;
mod spy;
mod stub;
mod suite;
mod target;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use crate::{
    plan::Plan,
    report::Report,
    suite::{Benchmark, Choice},
};

/// Measures the service against ffmpeg by hand, other clients and the machine's limits.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Args {
    /// What to measure; everything but `soak`, `split-lengths` and `split-halves` unless it is given.
    #[arg(value_name = "NAME")]
    names: Vec<Choice>,
    /// Tiny inputs, no targets: only shows that every benchmark works.
    #[arg(long)]
    smoke: bool,
    /// How many runs, or pairs of runs, each figure is the median of; each benchmark has its own default.
    #[arg(long)]
    runs: Option<usize>,
    /// Of benchmarks that take minutes a case (overhead, split-pairs), only the cases whose name has this in it: `60s`.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// The clip that is encoded. Unless it is given: ../shared/media/bunny.mp4, or else a test pattern.
    #[arg(long)]
    clip: Option<PathBuf>,
    /// Length of `soak`.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Where the files go. Beside the build unless it is given.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Serves HTTP on this port as the handler that does nothing, for `submit`.
    #[arg(long, hide = true)]
    serve_stub: Option<u16>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let matches = Args::command().after_help(suite::help()).get_matches();
    let args = Args::from_arg_matches(&matches)?;
    if let Some(port) = args.serve_stub {
        suite::submit::serve_stub(port).await?;
        return Ok(ExitCode::SUCCESS);
    }
    process::raise_open_files()?;
    let length = Duration::try_from_secs_f64(args.minutes * 60.0).context("--minutes")?;
    let plan = Plan::new(args.smoke, args.runs, args.only, args.clip, length);
    let output = args.output.unwrap_or_else(plan::output_folder);
    run(&plan, &suite::chosen(args.names, args.smoke), Report::new(&output, args.smoke)?).await
}

/// Runs one after the other. What was measured before one fails is in the files.
async fn run(plan: &Plan, benchmarks: &[Benchmark], mut report: Report) -> anyhow::Result<ExitCode> {
    report.begin();
    let mut all = true;
    for benchmark in benchmarks {
        eprintln!("{}: {}", benchmark.name(), benchmark.summary());
        match benchmark.run(plan).await {
            Ok(findings) if findings.is_empty() => {
                eprintln!("{}: no case has what --only says in its name", benchmark.name());
                all = false;
            }
            Ok(findings) => report.add(findings)?,
            Err(error) => {
                eprintln!("{}: {error:#}", benchmark.name());
                all = false;
            }
        }
    }
    report.end();
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
