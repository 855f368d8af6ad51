//! Accepts connections and serves HTTP/1.1 and HTTP/2 without TLS on them.

use std::{
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Request};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use service::lifecycle::Lifecycle;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tower::ServiceExt as _;

/// How long a client may take to send the head of a request. Longer, and idle sockets could use up the server.
const HEAD: Duration = Duration::from_secs(10);

/// Time between pings on an HTTP/2 connection, so that a vanished listener is noticed.
const PING: Duration = Duration::from_secs(30);

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
                let connection = connection(stream, router.clone(), graceful.watcher());
                lifecycle.spawn("connection", until_abort(connection, permit, lifecycle.clone()));
            }
            (_, Err(error)) if is_of_connection(&error) => {}
            (_, Err(error)) => {
                tracing::error!(%error, "cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = lifecycle.aborting() => {}
    }
}

/// Room for connections.
struct Room {
    permits: Arc<Semaphore>,
    warned: AtomicBool,
}

impl Room {
    fn new(connections: usize) -> Self {
        let permits = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        Self { permits, warned: AtomicBool::new(false) }
    }

    /// Waits for room for one connection. `None` never comes: nobody closes the semaphore.
    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        // Once, or a server that stays full would log each connection.
        if self.permits.available_permits() == 0 && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("too many connections, new clients wait");
        }
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }
}

/// Serves a connection to its end, but drops it when everything must be dropped, however young it is.
async fn until_abort(connection: impl Future<Output = ()>, permit: Option<OwnedSemaphorePermit>, lifecycle: Lifecycle) {
    let _permit = permit;
    tokio::select! {
        () = connection => {}
        () = lifecycle.aborting() => {}
    }
}

async fn connection(stream: TcpStream, router: Router, watcher: Watcher) {
    // Events are small and should not wait for company.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let asked = Arc::new(AtomicBool::new(false));
    let note = Arc::clone(&asked);
    let service = TowerToHyperService::new(router.map_request(move |request: Request<_>| {
        note.store(true, Ordering::Relaxed);
        request
    }));
    let builder = builder();
    let mut serving = pin!(watcher.watch(builder.serve_connection(TokioIo::new(stream), service)));
    // The head's timeout begins once the protocol is known, which a silent client never lets happen.
    let first = timeout(HEAD, &mut serving).await;
    if first.is_err() && asked.load(Ordering::Relaxed) {
        // A client that went away is no news.
        let _ = serving.await;
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING);
    builder
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
