//! The worker's process: reads the settings, binds, serves, and says by its exit code how it ended.

use std::{net::Ipv6Addr, process::ExitCode};

use anyhow::Context as _;
use service::{
    cli::{self, Action},
    env::{Mistakes, ProcessEnv},
    lifecycle::{Lifecycle, Outcome},
    telemetry,
};
use tokio::net::TcpListener;
use worker::{
    Worker,
    config::{Config, SETTINGS},
};

const ABOUT: &str = "Runs encoding jobs with ffmpeg, proves the results whole, publishes them, and exits when idle.";

fn main() -> ExitCode {
    let action = cli::parse(cli::command("worker", ABOUT, SETTINGS));
    let ended = Config::read(&ProcessEnv).map_err(Into::into).and_then(|config| match action {
        Action::Serve => serve(config),
        Action::Healthcheck => healthcheck(config.port),
    });
    match ended {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Err(error) => {
            // Not a log line: whoever starts it by hand must see it, whatever LOG_LEVEL says.
            eprintln!("worker: {error:#}");
            if error.is::<Mistakes>() {
                eprintln!("`worker --help` lists every setting.");
            }
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn serve(config: Config) -> anyhow::Result<Outcome> {
    telemetry::start(&config.telemetry);
    let (lifecycle, port) = (Lifecycle::new(), config.port);
    lifecycle.watch_signals().context("cannot handle signals")?;
    let worker = Worker::new(config, lifecycle)?;
    let listener = bind(port).await.with_context(|| format!("GRPC_PORT: cannot listen on port {port}"))?;
    worker.run(listener).await
}

/// On every address, IPv4 and IPv6; on IPv4 alone where there is no IPv6.
async fn bind(port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Err(error) if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => {
            TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, port)).await
        }
        bound => bound,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn healthcheck(port: u16) -> anyhow::Result<Outcome> {
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

    let channel = tonic::transport::Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?
        .timeout(std::time::Duration::from_secs(5))
        .connect()
        .await
        .context("the worker does not answer")?;
    let answer =
        HealthClient::new(channel).check(HealthCheckRequest::default()).await.context("the worker is not well")?;
    match answer.into_inner().status() {
        ServingStatus::Serving => Ok(Outcome::Clean),
        status => anyhow::bail!("the worker is {}", status.as_str_name()),
    }
}
