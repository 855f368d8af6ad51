//! One HTTP/2 connection, for as long as it lasts. Behind a connection-level balancer the connection is what pins the
//! machine; so, unlike tonic's channel, it is never made anew.

use std::{
    future::Future,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::http::{Request, Response, Uri};
use futures_util::future::BoxFuture;
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
    rt::Executor,
};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;
use tower::{BoxError, Service, ServiceExt as _};

/// Idle time before TCP itself asks whether the other side is there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// A connection. Clones share it; it is closed with the last of them, whatever the worker does.
#[derive(Debug, Clone)]
pub(super) struct Line {
    sender: SendRequest<Body>,
    _open: Arc<DropGuard>,
}

/// Runs the tasks of a connection until it is closed. By themselves they would wait for a worker that stalls.
#[derive(Debug, Clone)]
struct Tied(CancellationToken);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tied {
    fn execute(&self, task: F) {
        let (closed, task) = (self.0.clone(), Box::pin(task));
        tokio::spawn(async move { closed.run_until_cancelled(task).await.map(drop) });
    }
}

impl Line {
    /// Connects within `limit`.
    ///
    /// # Errors
    /// When nobody answers.
    pub(super) async fn open(worker: Uri, limit: Duration) -> Result<Self, BoxError> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_keepalive(Some(TCP_KEEPALIVE));
        connector.set_connect_timeout(Some(limit));
        let stream = connector.oneshot(worker).await?;
        let closed = CancellationToken::new();
        let (tied, open) = (Tied(closed.clone()), Arc::new(closed.drop_guard()));
        let (sender, connection) = http2::handshake(tied.clone(), stream).await?;
        tied.execute(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to a worker broke");
            }
        });
        Ok(Self { sender, _open: open })
    }

    /// True once no call can be made over it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl Service<Request<Body>> for Line {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::{StatusRequest, worker_service_client::WorkerServiceClient};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time::timeout,
    };

    use super::*;

    /// `SETTINGS_MAX_CONCURRENT_STREAMS` of 0 (RFC 9113, section 6.5): no call can be made.
    const NO_STREAMS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\0";
    /// It was heard.
    const HEARD: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";

    #[tokio::test]
    async fn a_worker_that_stalls_keeps_no_connection() {
        let patience = Duration::from_secs(20);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let worker: Uri = format!("http://{}", listener.local_addr().expect("bound")).parse().expect("a URL");
        let (line, accepted) = tokio::join!(Line::open(worker.clone(), patience), listener.accept());
        let (mut stream, line) = (accepted.expect("a connection").0, line.expect("a connection"));
        stream.write_all(NO_STREAMS).await.expect("a write");
        let mut said = Vec::new();
        while !said.ends_with(HEARD) {
            assert_ne!(stream.read_buf(&mut said).await.expect("open"), 0, "closed too early");
        }
        let mut client = WorkerServiceClient::with_origin(line, worker);
        let stalled = timeout(Duration::from_millis(100), client.get_status(StatusRequest {})).await;
        assert!(stalled.is_err(), "{stalled:?}");
        drop(client);
        let closed = timeout(patience, stream.read_to_end(&mut said)).await;
        assert!(closed.expect("the connection is closed").is_ok());
    }
}
