//! The worker's process: reads the settings, binds, serves, and says by its exit code how it ended.

use std::process::ExitCode;

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

#[tokio::main]
async fn serve(config: Config) -> anyhow::Result<Outcome> {
    telemetry::start(&config.telemetry);
    let (lifecycle, listen) = (Lifecycle::new(), config.listen);
    lifecycle.watch_signals().context("cannot handle signals")?;
    let worker = Worker::new(config, lifecycle)?;
    let context = || format!("GRPC_PORT: cannot listen on port {}", listen.port);
    let listener = listen.bind().await.with_context(context)?;
    worker.run(listener).await
}

#[tokio::main(flavor = "current_thread")]
async fn healthcheck(listen: Endpoint) -> anyhow::Result<Outcome> {
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", listen.from_here()))?
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
