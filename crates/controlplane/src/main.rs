//! Parses, binds, runs and reports; everything else is in the library.

use std::process::ExitCode;

use anyhow::Context as _;
use controlplane::{config, config::Config, healthcheck, open_files};
use service::{
    cli::{self, Action},
    env::ProcessEnv,
    lifecycle::{Lifecycle, Outcome},
    telemetry,
};

#[tokio::main]
async fn main() -> ExitCode {
    let about = "Takes encoding jobs over REST and hands them to workers";
    let done = match cli::parse(cli::command("controlplane", about, config::SETTINGS)) {
        Action::Serve => serve().await,
        Action::Healthcheck => check().await,
    };
    match done {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("controlplane: {error:#}");
            ExitCode::FAILURE
        }
    }
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
    let port = config.listen.port;
    let listener = config.listen.bind().await.with_context(|| format!("cannot listen on port {port}"))?;
    controlplane::run(config, listener, lifecycle).await
}

async fn check() -> anyhow::Result<Outcome> {
    healthcheck::ask(config::listen(&ProcessEnv)?.from_here()).await?;
    Ok(Outcome::Clean)
}
