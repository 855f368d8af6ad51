//! The worker's process: reads the settings, binds, serves, and says by its exit code how it ended.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use service::{
    cli::{self, Action},
    env::{Mistakes, ProcessEnv},
    lifecycle::{Lifecycle, Outcome},
    listen::Endpoint,
    telemetry,
};
use worker::{
    Worker,
    config::{self, Config, SETTINGS},
};

const ABOUT: &str = "Runs encoding jobs with ffmpeg, proves the results whole, publishes them, and exits when idle.";

/// How long blocking calls may go on once everything else has ended.
const LAST: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let action = cli::parse(cli::command("worker", ABOUT, SETTINGS));
    let ended = match action {
        Action::Serve => Config::read(&ProcessEnv).map_err(Into::into).and_then(serve),
        Action::Healthcheck => config::listen(&ProcessEnv).map_err(Into::into).and_then(healthcheck),
    };
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

fn serve(config: Config) -> anyhow::Result<Outcome> {
    telemetry::start(&config.telemetry);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let outcome = runtime.block_on(serve_until_stopped(config));
    // A look-up or a disk that hangs must not keep the process, and its machine, from ending.
    runtime.shutdown_timeout(LAST);
    outcome
}

async fn serve_until_stopped(config: Config) -> anyhow::Result<Outcome> {
    let (lifecycle, listen) = (Lifecycle::new(), config.listen);
    lifecycle.watch_signals().context("cannot handle signals")?;
    let worker = Worker::new(config, lifecycle)?;
    let listener = listen.bind().await?;
    worker.run(listener).await
}

#[tokio::main(flavor = "current_thread")]
async fn healthcheck(listen: Endpoint) -> anyhow::Result<Outcome> {
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", listen.from_here()))?
        .timeout(Duration::from_secs(5))
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
