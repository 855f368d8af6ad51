//! Everything that runs: control planes, workers behind gates, the S3 server, the store.

use std::{fs, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use super::{
    disk::Disk,
    plan::Shape,
    server::{LOOK, Server},
    sources,
    store::Store,
    tally::Tally,
};
use crate::{
    Gate, Port, Sandbox,
    s3::{ACCESS_KEY, BUCKET, SECRET_KEY},
};

/// `ORPHAN_GRACE` of the workers, in seconds: short, so that faults are longer and shorter than it.
const ORPHAN_GRACE: &str = "4";

/// How many workers there are.
pub const WORKERS: usize = 3;

/// Key of the callbacks' signatures: any 24 bytes.
pub const WEBHOOK_SECRET: &str = "whsec_Y2hhb3MtY2hhb3MtY2hhb3MtY2hhb3Mt";

/// A worker and what leads to it.
#[derive(Debug)]
pub struct WorkerNode {
    /// Its process.
    pub server: Server,
    /// Its network.
    pub gate: Gate,
    /// Its disk, where it has one of its own.
    pub disk: Option<Arc<Disk>>,
}

/// Everything that runs.
#[derive(Debug)]
pub struct Fleet {
    /// The workers.
    pub workers: Vec<WorkerNode>,
    /// The control planes.
    pub planes: Vec<Server>,
    /// The S3 server.
    pub s3: Server,
    /// URL of the folder of sources.
    pub files: String,
    /// URL of the same folder over HTTP.
    pub http: String,
}

impl Fleet {
    /// Prepares everything in the sandbox; the supervisor starts it.
    pub async fn prepare(sandbox: &Sandbox, planes: usize, database_url: Option<&str>) -> Self {
        sources::fill(&sandbox.input_dir());
        let http = sources::serve(&sandbox.input_dir()).await;
        let s3 = s3(sandbox);
        let mut workers = Vec::new();
        for number in 0..WORKERS {
            workers.push(worker(sandbox, number, &format!("http://{}", s3.address())).await);
        }
        let planes = (0..planes).map(|number| plane(sandbox, number, &workers, database_url)).collect();
        let files = url::Url::from_directory_path(sandbox.input_dir()).expect("an absolute path");
        let files = files.as_str().trim_end_matches('/').to_owned();
        Self { workers, planes, s3, files, http: format!("http://{http}") }
    }

    /// What can be struck.
    #[must_use]
    pub fn shape(&self, store: &Store) -> Shape {
        Shape {
            workers: self.workers.len(),
            planes: self.planes.len(),
            store: store.is_server(),
            disk: self.workers.iter().all(|worker| worker.disk.is_some()),
        }
    }

    /// Every server.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        let workers = self.workers.iter().map(|worker| &worker.server);
        workers.chain(&self.planes).chain([&self.s3])
    }

    /// Starts what has ended, again and again. Never ends.
    pub async fn supervise(self: Arc<Self>, tally: Arc<Tally>) {
        loop {
            for server in self.servers() {
                server.look(&tally);
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until all of `which` listen; says so, and answers false, where one does not within `patience`.
    pub async fn ready(&self, which: impl Iterator<Item = &Server>, patience: Duration, tally: &Tally) -> bool {
        let deadline = Instant::now() + patience;
        for server in which {
            while TcpStream::connect(server.address()).await.is_err() {
                if Instant::now() >= deadline {
                    tally.violation("a server does not start", format!("{}: {}", server.name, server.log()));
                    return false;
                }
                sleep(LOOK).await;
            }
        }
        true
    }

    /// Ends the servers of `which` softly, and says so where one does not within `patience`.
    pub async fn retire(&self, which: impl Iterator<Item = &Server> + Clone, patience: Duration, tally: &Tally) {
        which.clone().for_each(Server::retire);
        let deadline = Instant::now() + patience;
        while which.clone().any(Server::runs) {
            if Instant::now() >= deadline {
                for server in which.filter(|server| server.runs()) {
                    tally.violation("a server does not stop", &server.name);
                }
                return;
            }
            sleep(LOOK).await;
        }
    }
}

fn s3(sandbox: &Sandbox) -> Server {
    let (folder, port) = (sandbox.path().join("s3"), Port::reserve());
    let launch = sandbox.s3_launch(&folder, &port);
    let mut server = Server::new("s3".to_owned(), launch, port);
    // It knows no soft end.
    server.may_fail = true;
    server
}

async fn worker(sandbox: &Sandbox, number: usize, s3: &str) -> WorkerNode {
    let work = sandbox.work_dir().join(format!("w{number}"));
    fs::create_dir(&work).expect("a folder");
    let disk = Disk::mount(&work).map(Arc::new);
    let builder = sandbox
        .worker()
        .without("DISABLE_AUTO_SHUTDOWN")
        .env("WORKER_ID", &format!("worker-{number}"))
        .env("WORK_DIR", &work.display())
        .env("ORPHAN_GRACE", ORPHAN_GRACE)
        .env("SHUTDOWN_GRACE", "2")
        .env("INPUT_ALLOW_LOOPBACK", "true")
        .env("S3_BUCKET", BUCKET)
        .env("AWS_ENDPOINT_URL", s3)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let (launch, port) = builder.launch();
    let gate = Gate::before(port.address()).await;
    WorkerNode { server: Server::new(format!("worker-{number}"), launch, port), gate, disk }
}

fn plane(sandbox: &Sandbox, number: usize, workers: &[WorkerNode], database_url: Option<&str>) -> Server {
    let addresses: Vec<_> = workers.iter().map(|worker| worker.gate.address()).collect();
    let data = sandbox.path().join(format!("data-{number}"));
    let mut builder = sandbox
        .plane(&addresses)
        .env("LOG_LEVEL", "info")
        .env("WORKER_STARTUP_TIMEOUT", "5")
        .env("SHUTDOWN_GRACE", "5")
        .env("DATA_DIR", &data.display())
        .env("MAX_QUEUED_JOBS", "1000")
        .env("JOB_MAX_ATTEMPTS", "30")
        // The longer sources are split, the others are not.
        .env("SPLIT", "auto")
        .env("SPLIT_CHUNK_SECONDS", "2")
        .env("INPUT_ALLOW_LOOPBACK", "true")
        .env("WEBHOOK_SECRET", WEBHOOK_SECRET);
    if let Some(url) = database_url {
        builder = builder.env("DATABASE_URL", url);
    }
    let (launch, port) = builder.launch();
    let mut server = Server::new(format!("plane-{number}"), launch, port);
    server.may_fail = database_url.is_some();
    server
}
