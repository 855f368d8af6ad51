//! From exec to the first healthy answer, and what an idle process takes.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use e2e::{Daemon, Launch, Port, Sandbox, binary, keep_alive::KeepAlive};
use tokio::time::{sleep, timeout};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    measure::{Finding, Series, Unit, millis, real},
    plan::Plan,
    process,
};

/// Pause between two questions: what a figure here may be off by.
const INTERVAL: Duration = Duration::from_micros(500);

/// Longer than any start.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a process idles before its memory is read.
const IDLE: Duration = Duration::from_secs(2);

/// Starts both, again and again, each in a sandbox of its own.
pub(super) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let (mut worker, mut plane) = (Figures::default(), Figures::default());
    for _ in 0..plan.runs(15) {
        let sandbox = Sandbox::new();
        let (launch, port) = sandbox.worker().launch();
        worker.start(plan, launch, port, async |address| serves(address).await).await?;
        let (launch, port) = sandbox.plane(&[Port::reserve().address()]).env("LOG_LEVEL", "info").launch();
        plane.start(plan, launch, port, async |address| answers(address).await).await?;
    }
    let mut findings = Vec::new();
    findings.extend(worker.findings("worker", ["start/worker", "start/worker-memory", "start/worker-size"])?);
    let names = ["start/controlplane", "start/controlplane-memory", "start/controlplane-size"];
    findings.extend(plane.findings("controlplane", names)?);
    let images = [("start/worker-image", "worker"), ("start/controlplane-image", "controlplane")];
    findings.extend(images.into_iter().filter_map(|(name, binary)| {
        let what = format!("{binary}: size of the image, unpacked");
        Some(Finding::single(name, what, Unit::Megabytes, image_size(binary)? / 1e6))
    }));
    Ok(findings)
}

#[derive(Default)]
struct Figures {
    ready: Vec<f64>,
    idle: Vec<f64>,
}

impl Figures {
    async fn start(
        &mut self,
        plan: &Plan,
        launch: Launch,
        port: Port,
        healthy: impl AsyncFn(SocketAddr) -> bool,
    ) -> Result<()> {
        let (start, address) = (Instant::now(), port.address());
        let mut daemon = Daemon::spawn(launch, port);
        let ready = async {
            while !healthy(address).await {
                sleep(INTERVAL).await;
            }
        };
        let ready = timeout(PATIENCE, ready).await;
        self.ready.push(millis(start.elapsed()));
        ensure!(ready.is_ok() && daemon.ended().is_none(), "is not healthy in time: {}", daemon.log());
        sleep(plan.pick(IDLE, Duration::ZERO)).await;
        self.idle.push(process::memory(daemon.pid())? / 1e6);
        Ok(())
    }

    fn findings(self, binary: &str, [ready, idle, size]: [&'static str; 3]) -> Result<[Finding; 3]> {
        let bytes = fs::metadata(binary::path(binary)).with_context(|| format!("{binary} is not there"))?.len();
        Ok([
            Finding::new(ready, format!("{binary}: exec to the first healthy answer"), Unit::Millis, self.ready.into()),
            Finding::new(idle, format!("{binary}: resident when idle"), Unit::Megabytes, Series::from(self.idle)),
            Finding::single(size, format!("{binary}: size of the file"), Unit::Megabytes, real(bytes) / 1e6),
        ])
    }
}

/// Bytes of the image of this version, where a tool knows it.
fn image_size(binary: &str) -> Option<f64> {
    let image = format!("flux-{binary}:{}", env!("CARGO_PKG_VERSION"));
    ["docker", "podman"].into_iter().find_map(|tool| {
        let mut inspect = Command::new(tool);
        inspect.args(["image", "inspect", "--format", "{{.Size}}", &image]).stdin(Stdio::null()).stderr(Stdio::null());
        String::from_utf8(inspect.output().ok()?.stdout).ok()?.trim().parse().ok()
    })
}

/// Whether a worker says that it serves.
async fn serves(address: SocketAddr) -> bool {
    let ask = async {
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
        HealthClient::new(channel).check(HealthCheckRequest::default()).await.map_err(anyhow::Error::from)
    };
    ask.await.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
}

/// Whether a control plane says that it is well.
async fn answers(address: SocketAddr) -> bool {
    let ask =
        async { KeepAlive::connect(address).await?.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await };
    ask.await.is_ok_and(|status| status == 200)
}
