//! Measures how fast a control plane accepts jobs durably: queue on, no worker, keep-alive connections.
//!
//! First as many as it takes, each connection sending the next request when it has its answer. Then at a fixed rate,
//! each request timed from the moment it was due: one that had to wait for another counts its wait.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use e2e::{
    Daemon, Port, Sandbox, binary,
    keep_alive::{KeepAlive, post},
};
use serde_json::json;
use tokio::{task::JoinSet, time::sleep_until};

/// Measures how fast a control plane accepts jobs durably.
#[derive(Debug, Parser)]
struct Args {
    /// Length of each part.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections of the first part.
    #[arg(long, default_value_t = 64)]
    connections: u64,
    /// Requests a second of the second part.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// Connections of the second part.
    #[arg(long, default_value_t = 256)]
    rate_connections: u64,
    /// `DATABASE_URL`; a new file unless it is given.
    #[arg(long)]
    database_url: Option<String>,
    /// Where that file is: on the disk that is to be measured. Beside the build unless it is given.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// `LOG_LEVEL` of the control plane.
    #[arg(long, default_value = "warn")]
    log_level: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What one part found, times in milliseconds.
#[derive(Debug)]
struct Figures {
    accepted: usize,
    seconds: f64,
    millis: Vec<f64>,
}

// One thread for the client: the other core is for the control plane.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let folder = args.folder.clone().unwrap_or_else(binary::scratch_folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let data = tempfile::Builder::new().prefix("submit-bench-").tempdir_in(&folder)?;
    let sandbox = Sandbox::new();
    let nobody = Port::reserve();
    let mut plane = sandbox
        .plane(&[nobody.address()])
        .env("DATA_DIR", &data.path().display())
        .env("MAX_QUEUED_JOBS", "100000000")
        .env("LOG_LEVEL", &args.log_level);
    if let Some(url) = &args.database_url {
        plane = plane.env("DATABASE_URL", url);
    }
    let (launch, port) = plane.launch();
    let plane = Daemon::start(launch, port).await;
    let request = Arc::new(request());
    let warm_up = closed_loop(&plane, &request, args.connections, Duration::from_secs(1)).await?;
    ensure!(warm_up.accepted > 0, "nothing was accepted");
    let most = closed_loop(&plane, &request, args.connections, Duration::from_secs(args.seconds)).await?;
    let steady = open_loop(&plane, &request, &args).await?;
    if args.json {
        println!("{}", json!({"closed_loop": most.json(), "open_loop": steady.json(), "rate": args.rate}));
    } else {
        println!("{:<34} {:>10} {:>9} {:>9} {:>9}", "", "accepted/s", "p50 ms", "p99 ms", "max ms");
        println!("{:<34} {most}", format!("closed loop, {} connections", args.connections));
        println!("{:<34} {steady}", format!("open loop, {}/s", args.rate));
    }
    Ok(())
}

fn request() -> Vec<u8> {
    let job = json!({
        "input_url": "https://media.example.com/films/a-film.mp4",
        "preset": "720p_h264",
        "output": {"storage": "s3", "path": "films/a-film.mp4"},
    });
    post("/api/v1/jobs", &job.to_string())
}

/// As many requests as are answered.
async fn closed_loop(plane: &Daemon, request: &Arc<Vec<u8>>, connections: u64, time: Duration) -> Result<Figures> {
    let mut senders = JoinSet::new();
    let mut kept = Vec::new();
    for _ in 0..connections {
        kept.push(KeepAlive::connect(plane.address()).await?);
    }
    let start = Instant::now();
    for mut connection in kept {
        let request = Arc::clone(request);
        senders.spawn(async move {
            let mut millis = Vec::new();
            while start.elapsed() < time {
                let sent = Instant::now();
                accepted(&mut connection, &request).await?;
                millis.push(sent.elapsed().as_secs_f64() * 1e3);
            }
            Ok(millis)
        });
    }
    Figures::collect(senders, start).await
}

/// Requests at a fixed rate. Each is due at a time of its own, and whichever connection is free sends it.
async fn open_loop(plane: &Daemon, request: &Arc<Vec<u8>>, args: &Args) -> Result<Figures> {
    let mut senders = JoinSet::new();
    let mut kept = Vec::new();
    for _ in 0..args.rate_connections {
        kept.push(KeepAlive::connect(plane.address()).await?);
    }
    let (start, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let (rate, total) = (args.rate, args.rate * args.seconds);
    for mut connection in kept {
        let (request, next) = (Arc::clone(request), Arc::clone(&next));
        senders.spawn(async move {
            let mut millis = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    return Ok(millis);
                }
                let due = start + Duration::from_nanos(number * 1_000_000_000 / rate);
                sleep_until(due.into()).await;
                accepted(&mut connection, &request).await?;
                millis.push(due.elapsed().as_secs_f64() * 1e3);
            }
        });
    }
    Figures::collect(senders, start).await
}

async fn accepted(connection: &mut KeepAlive, request: &[u8]) -> Result<()> {
    let status = connection.send(request).await?;
    ensure!(status == 202, "answered {status}");
    Ok(())
}

impl Figures {
    async fn collect(mut senders: JoinSet<Result<Vec<f64>>>, start: Instant) -> Result<Self> {
        let mut millis = Vec::new();
        while let Some(sender) = senders.join_next().await {
            millis.extend(sender??);
        }
        let seconds = start.elapsed().as_secs_f64();
        millis.sort_by(f64::total_cmp);
        Ok(Self { accepted: millis.len(), seconds, millis })
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
    fn rate(&self) -> f64 {
        self.accepted as f64 / self.seconds
    }

    fn percentile(&self, percent: usize) -> f64 {
        let index = (self.millis.len() * percent / 100).min(self.millis.len().saturating_sub(1));
        self.millis.get(index).copied().unwrap_or_default()
    }

    fn json(&self) -> serde_json::Value {
        let (p50, p99, max) = (self.percentile(50), self.percentile(99), self.percentile(100));
        json!({"accepted": self.accepted, "accepted_per_s": self.rate(), "p50_ms": p50, "p99_ms": p99, "max_ms": max})
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (p50, p99, max) = (self.percentile(50), self.percentile(99), self.percentile(100));
        write!(f, "{:>10.0} {p50:>9.2} {p99:>9.2} {max:>9.2}", self.rate())
    }
}
