//! How fast jobs are accepted: queue on, no worker, kept connections. Against a handler that does nothing.

use std::{
    fs,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use axum::{Json, Router, http::StatusCode, routing::post as on_post};
use e2e::{Daemon, Port, Sandbox, binary, keep_alive::post, until};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    load::{Figures, Target},
    measure::{Finding, Series, Unit},
    plan::Plan,
};

/// Connections that send as fast as they are answered.
const CLOSED: u64 = 64;
/// Connections that share a fixed rate.
const OPEN: u64 = 256;

/// A job's worth of JSON, and an answer that could be one.
fn request() -> Arc<Vec<u8>> {
    let job = json!({
        "input_url": "https://media.example.com/films/a-film.mp4",
        "preset": "720p_h264",
        "output": {"storage": "s3", "path": "films/a-film.mp4"},
    });
    Arc::new(post("/api/v1/jobs", &job.to_string()))
}

/// Rounds of stub, memory and SQLite, then fixed rates at a part of what SQLite did.
pub(super) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let time = plan.pick(Duration::from_secs(5), Duration::from_millis(200));
    let folder = binary::scratch_folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // On a disk: what is measured is how long that takes.
    let data = tempfile::Builder::new().prefix("bench-").tempdir_in(&folder)?;
    let sandbox = Sandbox::new();
    let memory = plane(&sandbox, data.path(), "memory:").await;
    let sqlite = plane(&sandbox, data.path(), "sqlite://flux.db").await;
    let stub = Stub::start().await?;
    let target = |address| Target { address, request: request() };
    let targets = [target(stub.port.address()), target(memory.address()), target(sqlite.address())];
    let (mut ratios, mut rates) = ([vec![], vec![]], [vec![], vec![], vec![]]);
    for target in &targets {
        target.closed_loop(CLOSED, time / 5).await?;
    }
    for _ in 0..plan.runs(5) {
        let mut round = [0.0; 3];
        for ((target, rates), rate) in targets.iter().zip(&mut rates).zip(&mut round) {
            *rate = target.closed_loop(CLOSED, time).await?.rate;
            rates.push(*rate);
        }
        ratios[0].push(round[1] / round[0]);
        ratios[1].push(round[2] / round[0]);
    }
    let most = Series::from(rates[2].clone()).median();
    let mut findings = closed(ratios, rates);
    for (number, part) in [0.25, 0.5].into_iter().enumerate() {
        let rate = whole(most * part);
        let figures = targets[2].open_loop(plan.pick(OPEN, 8), rate, time * 2).await?;
        findings.extend(open(number, rate, &figures));
    }
    Ok(findings)
}

fn closed([memory_part, sqlite_part]: [Vec<f64>; 2], [stub, memory, sqlite]: [Vec<f64>; 3]) -> Vec<Finding> {
    let part = |name, store, values: Vec<f64>| {
        let what = format!("{store}: jobs accepted a second ÷ a handler that does nothing");
        Finding::new(name, what, Unit::Times, Series::from(values))
    };
    let rate = |name, what: &str, values: Vec<f64>| Finding::new(name, what, Unit::PerSecond, Series::from(values));
    vec![
        part("submit/sqlite", "SQLite", sqlite_part),
        part("submit/memory", "memory", memory_part),
        rate("submit/sqlite-rate", "SQLite: jobs accepted", sqlite),
        rate("submit/memory-rate", "memory: jobs accepted", memory),
        rate("submit/stub-rate", "a handler that does nothing: requests", stub),
    ]
}

/// Latency at a quarter and at half of what is possible.
fn open(number: usize, rate: u64, figures: &Figures) -> [Finding; 2] {
    const NAMES: [[&str; 2]; 2] =
        [["submit/quarter-load-p50", "submit/quarter-load-p99"], ["submit/half-load-p50", "submit/half-load-p99"]];
    let figure = |name, percent| {
        let what = format!("SQLite, {rate}/s: {percent} % are accepted within");
        Finding::single(name, what, Unit::Millis, figures.millis.percentile(percent))
    };
    [figure(NAMES[number][0], 50), figure(NAMES[number][1], 99)]
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is small and positive")]
fn whole(rate: f64) -> u64 {
    (rate as u64).max(1)
}

async fn plane(sandbox: &Sandbox, data: &std::path::Path, url: &str) -> Daemon {
    let nobody = Port::reserve();
    let plane = sandbox.plane(&[nobody.address()]).env("DATA_DIR", &data.display()).env("DATABASE_URL", url);
    let (launch, port) = plane.env("MAX_QUEUED_JOBS", "100000000").env("LOG_LEVEL", "warn").launch();
    Daemon::start(launch, port).await
}

/// A process that answers without doing anything. Dropping it kills it.
struct Stub {
    child: Child,
    port: Port,
}

impl Stub {
    async fn start() -> Result<Self> {
        let port = Port::reserve();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--serve-stub", &port.address().port().to_string()]).stdin(Stdio::null());
        let stub = Self { child: command.spawn().context("the stub cannot be started")?, port };
        until("the stub listens", async || TcpStream::connect(stub.port.address()).await.is_ok()).await;
        Ok(stub)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        // Both fail only where the process was reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves the handler that does nothing but what any handler of JSON does: read it, and answer.
///
/// # Errors
/// When the port is not free.
pub(crate) async fn serve_stub(port: u16) -> Result<()> {
    let answer = async |Json(_): Json<Value>| (StatusCode::ACCEPTED, Json(json!({"job_id": "stub"})));
    let socket = tokio::net::TcpSocket::new_v4()?;
    // Who starts this holds the port for it.
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    let listener: TcpListener = socket.listen(1024)?;
    Ok(axum::serve(listener, Router::new().route("/api/v1/jobs", on_post(answer))).await?)
}
