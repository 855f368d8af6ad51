//! A real S3 server behind a network that can be broken.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::{Method, Request, Response, body::Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{
    Body, HttpError,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    select,
    sync::watch,
    task::{AbortHandle, JoinSet},
};
use url::Url;

use crate::uploader::{S3, S3Client, S3Settings, Timing};

pub(super) const BUCKET: &str = "media";

pub(super) const SECRET: &str = "right secret";

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// Everything passes.
    Whole,
    /// After so many bytes from the client the server is gone, for good.
    DiesAfter(u64),
    /// Each connection stands still after so many bytes from the client.
    HangsAfter(u64),
    /// The server hears everything and says nothing.
    Silent,
}

/// The server, and what happened.
pub(crate) struct Server {
    folder: TempDir,
    endpoint: Url,
    network: watch::Sender<Network>,
    events: watch::Sender<Vec<String>>,
    timing: Timing,
    task: AbortHandle,
}

impl Server {
    pub(crate) async fn start(timing: Timing) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join(BUCKET)).expect("a bucket");
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).expect("a storage"));
        builder.set_auth(SimpleAuth::from_single("key", SECRET));
        let events = watch::Sender::default();
        let handler = Handler { service: builder.build(), events: events.clone() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address")).parse().expect("a URL");
        let network = watch::Sender::new(Network::Whole);
        let task = tokio::spawn(accept(listener, handler, network.subscribe())).abort_handle();
        Self { folder, endpoint, network, events, timing, task }
    }

    /// A storage in the bucket.
    pub(crate) fn storage(&self) -> S3 {
        S3::new(self.client(SECRET), BUCKET)
    }

    pub(super) fn client(&self, secret: &str) -> S3Client {
        client(self.endpoint.clone(), secret, self.timing)
    }

    pub(super) fn good_client(&self) -> S3Client {
        self.client(SECRET)
    }

    pub(crate) fn set(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// Begins and ends of requests, such as `+PUT /media/key` and `-PUT /media/key`, in their order.
    pub(super) fn events(&self) -> Vec<String> {
        self.events.borrow().clone()
    }

    /// Ends once there is an event that contains `text`.
    pub(super) async fn saw(&self, text: &str) {
        let seen = |events: &Vec<String>| events.iter().any(|event| event.contains(text));
        self.events.subscribe().wait_for(seen).await.expect("the sender is here");
    }

    pub(crate) fn object(&self, key: &str) -> PathBuf {
        self.folder.path().join(BUCKET).join(key)
    }

    /// The objects in the bucket.
    pub(super) fn objects(&self) -> Vec<String> {
        let bucket = self.folder.path().join(BUCKET);
        let mut objects = Vec::new();
        let mut folders = vec![bucket.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else {
                    objects.push(entry.strip_prefix(&bucket).expect("it is inside").display().to_string());
                }
            }
        }
        objects.sort();
        objects
    }

    /// What the server keeps of unfinished uploads.
    pub(super) fn unfinished(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.folder.path()).expect("a folder");
        let names = names.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(".upload")).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// For tests in which the server answers in the end, however busy the machine is.
pub(super) fn patient() -> Timing {
    Timing { backoff: Duration::from_millis(10), grace: Duration::from_millis(200), ..Timing::default() }
}

/// For tests in which it does not.
pub(super) fn impatient() -> Timing {
    Timing {
        answer: Duration::from_secs(1),
        stall: Duration::from_secs(1),
        clean_up: Duration::from_secs(3),
        ..patient()
    }
}

pub(super) fn client(endpoint: Url, secret: &str, timing: Timing) -> S3Client {
    let credentials = aws_sdk_s3::config::Credentials::new("key", secret, None, None, "test");
    S3Client::new(S3Settings {
        region: "us-east-1".into(),
        endpoint: Some(endpoint),
        credentials: Some(credentials),
        timing,
    })
}

/// Notes requests, and answers those that the server has no answer for.
#[derive(Clone)]
struct Handler {
    service: S3Service,
    events: watch::Sender<Vec<String>>,
}

impl Handler {
    async fn handle(self, request: Request<Incoming>) -> Result<Response<Body>, HttpError> {
        let path = request.uri().path().to_owned();
        let event = format!("{} {}", request.method(), request.uri());
        self.note('+', &event);
        let response = match refusal(&path) {
            Some((status, code)) => Ok(refuse(status, code)),
            None if request.method() == Method::GET && path.contains("write-only") => Ok(refuse(403, "AccessDenied")),
            // The connection is closed without an answer, and without having read the body.
            None if request.method() == Method::PUT && path.contains("unheard") => {
                Err(HttpError::new("unheard".into()))
            }
            None => self.service.call(request.map(Body::from)).await,
        };
        self.note('-', &event);
        response
    }

    fn note(&self, sign: char, event: &str) {
        self.events.send_modify(|events| events.push(format!("{sign}{event}")));
    }
}

/// This server knows neither missing buckets nor policies, and denies what is not there.
fn refusal(path: &str) -> Option<(u16, &'static str)> {
    if path.starts_with("/absent/") {
        Some((404, "NoSuchBucket"))
    } else if path.contains("forbidden") {
        Some((403, "AccessDenied"))
    } else if path.contains("vanished") {
        Some((404, "NoSuchUpload"))
    } else {
        None
    }
}

fn refuse(status: u16, code: &str) -> Response<Body> {
    let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Not here.</Message></Error>");
    Response::builder().status(status).body(Body::from(text)).expect("a response")
}

async fn accept(listener: TcpListener, handler: Handler, network: watch::Receiver<Network>) {
    // Dropped with this task, and its connections with it.
    let mut connections = JoinSet::new();
    let heard = Arc::new(AtomicU64::new(0));
    while let Ok((client, _)) = listener.accept().await {
        if matches!(*network.borrow(), Network::DiesAfter(limit) if heard.load(Ordering::Relaxed) >= limit) {
            continue;
        }
        let (near, far) = connect().await.expect("loopback works");
        let handler = handler.clone();
        connections.spawn(async move {
            let service = hyper::service::service_fn(move |request| handler.clone().handle(request));
            // Broken connections are what these tests are about.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(far), service).await;
        });
        let (network, heard) = (network.clone(), Arc::clone(&heard));
        connections.spawn(async move {
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), near.into_split());
            select! {
                () = up(from_client, to_server, network.clone(), &heard) => {}
                () = down(from_server, to_client, network) => {}
            }
        });
    }
}

async fn connect() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    Ok((near, listener.accept().await?.0))
}

/// Client to server.
async fn up(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, network: watch::Receiver<Network>, heard: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    let mut here = 0;
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        here += count as u64;
        let total = heard.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        match *network.borrow() {
            Network::DiesAfter(limit) if total >= limit => return,
            Network::HangsAfter(limit) if here >= limit => break,
            Network::Whole | Network::DiesAfter(_) | Network::HangsAfter(_) | Network::Silent => {}
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Server to client.
async fn down(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, network: watch::Receiver<Network>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if *network.borrow() != Network::Silent && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// A file with bytes that are not all the same.
pub(super) fn write_file(path: &Path, length: usize) {
    let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).expect("it is small")).collect();
    std::fs::write(path, bytes).expect("writes");
}
