//! Parses, binds, runs and reports; everything else is in the library.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use controlplane::{config, config::Config, healthcheck, open_files};
use service::{
    cli::{self, Action},
    env::ProcessEnv,
    lifecycle::{Lifecycle, Outcome},
    telemetry,
};
use tikv_jemallocator::Jemalloc;
use tokio::runtime::Runtime;

/// A listener takes a fifth less with it than with the C library's: hyper's buffers begin at a page, and what is not used
/// of them is not there.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Options that jemalloc reads before `main`, a C string. One arena: what one thread frees is there for the others, and
/// threads have caches of their own.
#[expect(unsafe_code, reason = "jemalloc looks for this symbol, and nothing else has it")]
#[unsafe(export_name = "malloc_conf")]
static MALLOC_CONF: &[u8; 10] = b"narenas:1\0";

/// How long the process waits for blocking calls (the lookup of a worker's name) once everything else has ended.
const LAST: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let about = "Takes encoding jobs over REST and hands them to workers";
    let action = cli::parse(cli::command("controlplane", about, config::SETTINGS));
    let done = Runtime::new().context("cannot start the runtime").and_then(|runtime| {
        run(runtime, async {
            match action {
                Action::Serve => serve().await,
                Action::Healthcheck => check().await,
            }
        })
    });
    match done {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("controlplane: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the task, then leaves. Blocking calls cannot be stopped, and one that hangs must not keep the process.
fn run<T>(runtime: Runtime, task: impl Future<Output = T>) -> T {
    let done = runtime.block_on(task);
    runtime.shutdown_timeout(LAST);
    done
}

async fn serve() -> anyhow::Result<Outcome> {
    let mut config = Config::read(&ProcessEnv)?;
    telemetry::start(&config.telemetry);
    match open_files::raise() {
        Ok(limit) => config.limits.connections = open_files::connections(limit),
        Err(error) => tracing::warn!(%error, "cannot raise the limit on open files"),
    }
    let lifecycle = Lifecycle::new();
    lifecycle.watch_signals().context("cannot watch for signals")?;
    let listener = config.listen.bind().await?;
    controlplane::run(config, listener, lifecycle).await
}

async fn check() -> anyhow::Result<Outcome> {
    healthcheck::ask(config::listen(&ProcessEnv)?.from_here()).await?;
    Ok(Outcome::Clean)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_blocking_call_that_hangs_does_not_keep_the_process() {
        let (holder, call) = mpsc::channel::<()>();
        let runtime = Runtime::new().expect("a runtime");
        let done = run(runtime, async {
            tokio::task::spawn_blocking(move || call.recv());
            "done"
        });
        assert_eq!(done, "done");
        drop(holder);
    }
}
