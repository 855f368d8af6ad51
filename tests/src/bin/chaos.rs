//! Kills, pauses and cuts off everything while jobs run, and tells whether any was lost. See `e2e::chaos`.

use std::{
    process::ExitCode,
    time::{Duration, SystemTime},
};

use clap::{Parser, ValueEnum};
use e2e::chaos::{self, Options};
use tokio::signal::unix::{SignalKind, signal};

/// Kills, pauses and cuts off everything while jobs run. Exits 0 when no job was lost, and none published twice or half.
#[derive(Debug, Parser)]
struct Args {
    /// How long faults strike; what is under way then is waited for.
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// What decides on faults and jobs; a new one each time unless it is given.
    #[arg(long)]
    seed: Option<u64>,
    /// Where jobs are written down.
    #[arg(long, default_value = "sqlite")]
    store: StoreName,
    /// How many control planes there are; more than one needs postgres.
    #[arg(long, default_value_t = 1)]
    planes: usize,
    /// How many jobs there are at a time.
    #[arg(long, default_value_t = 10)]
    jobs: usize,
    /// Keep logs and outputs in any case.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StoreName {
    Sqlite,
    Postgres,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let store = match args.store {
        StoreName::Sqlite => chaos::store::Kind::Sqlite,
        StoreName::Postgres => chaos::store::Kind::Postgres,
    };
    anyhow::ensure!(
        args.planes == 1 || store == chaos::store::Kind::Postgres,
        "several control planes need --store postgres"
    );
    anyhow::ensure!((1..=8).contains(&args.planes), "--planes: 1 to 8");
    let time = Duration::try_from_secs_f64(args.minutes * 60.0)?;
    let seed = args.seed.unwrap_or_else(some_seed);
    let options = Options { seed, time, store, planes: args.planes, jobs_at_once: args.jobs, keep: args.keep };
    let mut terminated = signal(SignalKind::terminate())?;
    // Dropping the run ends what it started.
    let tally = tokio::select! {
        tally = chaos::run(options) => tally,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminated.recv() => anyhow::bail!("terminated"),
    };
    println!("\nseed {seed}\n{tally}");
    Ok(if tally.violations() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Short enough to be typed again.
fn some_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) % 1_000_000
}
