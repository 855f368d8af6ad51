//! Accepts connections and serves HTTP/1.1 and HTTP/2 without TLS on them.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Request};
use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use service::lifecycle::Lifecycle;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use self::protocol::{Protocol, Whole};

mod protocol;

/// How long a client may take to say what it speaks, and then to send the head of its first request. Longer, and idle
/// sockets could use up the server.
const HEAD: Duration = Duration::from_secs(10);

/// How long the head of a request may be, in bytes: as long as HTTP/2 lets it be. It is kept for whoever connects, without a
/// key.
const HEAD_SIZE: usize = 16 * 1024;

/// How long after an answer the head of the next request may take to come while there is plenty of room. Pools of common
/// clients keep connections for a minute and a half; a request that is on its way when its connection is closed may have
/// been taken or not.
const PAUSE: Duration = Duration::from_mins(2);

/// Time between pings on an HTTP/2 connection, so that a vanished listener is noticed.
const PING: Duration = Duration::from_secs(30);

/// Requests at a time on an HTTP/2 connection: as few as RFC 9113 (section 6.5.2) finds advisable. Answers that a client does
/// not read are kept for it.
const STREAMS: u32 = 100;

/// Pause after a failed accept: the usual cause, too many open files, does not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves at most so many connections at a time until `closing` ends, then lets open requests finish.
pub async fn serve(
    listener: TcpListener,
    connections: usize,
    router: Router,
    lifecycle: Lifecycle,
    closing: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let closed = CancellationToken::new();
    let room = Room::new(connections);
    let mut closing = pin!(closing);
    loop {
        // Room first: a client without it waits in the kernel, where it costs no open file.
        let accepted = tokio::select! {
            accepted = async { (room.take().await, listener.accept().await) } => accepted,
            () = &mut closing => break,
        };
        match accepted {
            (permit, Ok((stream, _))) => {
                let opening = Box::pin(open(stream, room.pause(), router.clone(), graceful.watcher(), closed.clone()));
                lifecycle.spawn("connection", connection(opening, permit, lifecycle.clone()));
            }
            (_, Err(error)) if is_of_connection(&error) => {}
            (_, Err(error)) => {
                tracing::error!(%error, "cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    closed.cancel();
    tokio::select! {
        () = graceful.shutdown() => {}
        () = lifecycle.aborting() => {}
    }
}

/// Room for connections.
struct Room {
    permits: Arc<Semaphore>,
    size: usize,
    warned: AtomicBool,
}

impl Room {
    fn new(connections: usize) -> Self {
        let size = connections.min(Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(size)), size, warned: AtomicBool::new(false) }
    }

    /// Waits for room for one connection. `None` never comes: nobody closes the semaphore.
    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        // Once, or a server that stays full would log each connection.
        if self.permits.available_permits() == 0 && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("too many connections, new clients wait");
        }
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// How long a connection may be idle after an answer.
    fn pause(&self) -> Duration {
        if self.permits.available_permits() > self.size / 2 { PAUSE } else { HEAD }
    }
}

/// A connection whose protocol is known, until it ends.
type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves a connection to its end, but drops it when everything must be dropped, however young it is. There may be ten
/// thousand listeners: what opens a connection is dropped once it is open.
async fn connection(
    opening: Pin<Box<impl Future<Output = Option<Serving>>>>,
    permit: Option<OwnedSemaphorePermit>,
    lifecycle: Lifecycle,
) {
    let _permit = permit;
    let serve = async {
        if let Some(serving) = opening.await {
            serving.await;
        }
    };
    tokio::select! {
        () = serve => {}
        () = lifecycle.aborting() => {}
    }
}

/// Finds out what a client speaks. `None` where it does not say so in time, or the server closes before.
async fn open(
    stream: TcpStream,
    pause: Duration,
    router: Router,
    watcher: Watcher,
    closed: CancellationToken,
) -> Option<Serving> {
    // Events are small and should not wait for company.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let told = closed.run_until_cancelled(timeout(HEAD, protocol::tell(stream))).await;
    let Some(Ok(Ok((protocol, stream)))) = told else { return None };
    let stream = TokioIo::new(stream);
    Some(match protocol {
        Protocol::Http1 => Box::pin(http1(stream, pause, router, watcher)),
        Protocol::Http2 => Box::pin(http2(stream, router, watcher)),
    })
}

fn http1(stream: TokioIo<Whole>, pause: Duration, router: Router, watcher: Watcher) -> impl Future<Output = ()> {
    let asked = Asked::default();
    let mut builder = http1::Builder::new();
    // Hyper reads no further ahead, bodies and requests in a row too, and answers 431 where that is no whole head.
    builder.timer(TokioTimer::new()).header_read_timeout(pause).max_buf_size(HEAD_SIZE);
    let noted = asked.clone();
    // Hyper keeps room for the future of a request for as long as the connection lives, which is a pointer's with a box.
    let service = service_fn(move |request| {
        noted.note();
        Box::pin(router.clone().oneshot(request))
    });
    while_used(Box::pin(watcher.watch(builder.serve_connection(stream, service))), asked)
}

fn http2(stream: TokioIo<Whole>, router: Router, watcher: Watcher) -> impl Future<Output = ()> {
    let asked = Asked::default();
    let noted = asked.clone();
    let service = TowerToHyperService::new(router.map_request(move |request: Request<_>| {
        noted.note();
        request
    }));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(PING).max_concurrent_streams(STREAMS);
    while_used(Box::pin(watcher.watch(builder.serve_connection(stream, service))), asked)
}

/// Whether a client has asked for anything.
#[derive(Clone, Default)]
struct Asked(Arc<AtomicBool>);

impl Asked {
    fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_true(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Serves a connection to its end, but drops it where its first request does not come in time. A client that went away is
/// no news.
async fn while_used(mut serving: Pin<Box<impl Future>>, asked: Asked) {
    if timeout(HEAD, &mut serving).await.is_err() && asked.is_true() {
        serving.await;
    }
}

/// True where only this one connection is broken.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests;
