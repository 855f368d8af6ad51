//! One HTTP/2 connection, for as long as it lasts. Behind a connection-level balancer the connection is what pins the
//! machine; so, unlike tonic's channel, it is never made anew.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use axum::http::{Request, Response, Uri};
use futures_util::future::BoxFuture;
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioExecutor};
use tonic::body::Body;
use tower::{BoxError, Service, ServiceExt as _};

/// Idle time before TCP itself asks whether the other side is there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// A connection. Clones share it; it is closed with the last of them and of their streams.
#[derive(Debug, Clone)]
pub(super) struct Line(SendRequest<Body>);

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
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to a worker broke");
            }
        });
        Ok(Self(sender))
    }

    /// True once no call can be made over it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl Service<Request<Body>> for Line {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
