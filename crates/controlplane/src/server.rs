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
    time::{sleep, timeout},
};
use tower::ServiceExt as _;

/// How long a client may take to send the head of a request. Longer, and idle sockets could use up the server.
const HEAD: Duration = Duration::from_secs(10);

/// Time between pings on an HTTP/2 connection, so that a vanished listener is noticed.
const PING: Duration = Duration::from_secs(30);

/// Pause after a failed accept: the usual cause, too many open files, does not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `closing` ends, then lets open requests finish.
pub async fn serve(listener: TcpListener, router: Router, lifecycle: Lifecycle, closing: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let mut closing = pin!(closing);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut closing => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, router.clone(), graceful.watcher(), lifecycle.clone());
                lifecycle.spawn("connection", connection);
            }
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
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

async fn connection(stream: TcpStream, router: Router, watcher: Watcher, lifecycle: Lifecycle) {
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
    if first.is_ok() || !asked.load(Ordering::Relaxed) {
        return;
    }
    tokio::select! {
        // A client that went away is no news.
        _ = serving => {}
        () = lifecycle.aborting() => {}
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
mod tests {
    use rstest::rstest;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[rstest]
    #[case::nothing(b"")]
    #[case::half_a_preface(b"PRI * HTTP")]
    #[case::half_a_head(b"GET / HTTP/1.1\r\nHost: ")]
    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_no_request_is_dropped(#[case] sent: &[u8]) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("server", serve(listener, Router::new(), lifecycle.clone(), std::future::pending()));
        let mut client = TcpStream::connect(address).await.expect("a connection");
        client.write_all(sent).await.expect("a write");
        // Nothing else can happen, so the paused clock runs ahead to the time-out.
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.expect("the server closes the connection");
        lifecycle.abort();
    }
}
