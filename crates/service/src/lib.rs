//! What both binaries need to start, log, stop and report.
//!
//! - [`mod@env`] – reads settings and reports every mistake at once
//! - [`cli`] – `--help` that lists every setting, `--version`, `healthcheck`
//! - [`telemetry`] – logs
//! - [`listen`] – where a server listens
//! - [`lifecycle`] – one order of stopping for every task of the process
//! - [`feed`] – the events of one job, for any number of listeners
//! - [`address`] – which addresses a URL of a client may lead to
//! - [`key`] – the rules for output paths

use std::time::Duration;

pub mod address;
pub mod cli;
pub mod env;
pub mod feed;
pub mod key;
pub mod lifecycle;
pub mod listen;
pub mod telemetry;

/// Version of both binaries.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Longest lease of a task. A control plane believes no more, so that a worker's word keeps no job waiting for ever; a worker
/// that went on for longer could publish beside the next attempt.
pub const LONGEST_LEASE: Duration = Duration::from_hours(1);

/// The present moment as RFC 3339 in UTC with millisecond precision.
#[must_use]
pub fn timestamp() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// How many tasks of this runtime are alive, tracked ones and those of libraries; 0 outside of a runtime.
#[must_use]
pub fn alive_tasks() -> u64 {
    let alive = tokio::runtime::Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
    u64::try_from(alive).unwrap_or(u64::MAX)
}
