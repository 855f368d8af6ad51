//! A receiver of callbacks on loopback, which does what a test tells it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, stream};
use service::lifecycle::Lifecycle;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use super::PATIENCE;

/// What a receiver does with a request.
#[derive(Debug, Clone)]
pub(super) enum Manners {
    /// Answers with this status.
    Answer(u16),
    /// Answers with this status and a header.
    Header(u16, &'static str, String),
    /// Takes the request and never answers.
    Hang,
    /// Answers 200 and never ends to talk.
    Endless,
}

/// A request that came.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Request {
    pub(super) fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().expect("text")
    }
}

/// A running receiver. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    manners: Arc<Mutex<Manners>>,
    requests: mpsc::UnboundedReceiver<Request>,
    lifecycle: Lifecycle,
}

type Shared = (Arc<Mutex<Manners>>, mpsc::UnboundedSender<Request>);

impl Receiver {
    /// A receiver on an address of this machine.
    pub(super) async fn on(host: &str, manners: Manners) -> Self {
        let listener = TcpListener::bind((host, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (manners, (sender, requests)) = (Arc::new(Mutex::new(manners)), mpsc::unbounded_channel());
        let router = Router::new().fallback(receive).with_state((Arc::clone(&manners), sender));
        let lifecycle = Lifecycle::new();
        let closing = lifecycle.hard_token().cancelled_owned();
        lifecycle.spawn("receiver", crate::server::serve(listener, 64, router, lifecycle.clone(), closing));
        Self { address, manners, requests, lifecycle }
    }

    pub(super) fn change(&self, manners: Manners) {
        *self.manners.lock().expect("no panic under the lock") = manners;
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook?token=hunter2", self.address)
    }

    /// The next request.
    pub(super) async fn next(&mut self) -> Request {
        timeout(PATIENCE, self.requests.recv()).await.expect("a request in time").expect("the receiver runs")
    }

    /// True when no request has come that was not looked at.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.requests.try_recv().is_err()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.lifecycle.abort();
    }
}

async fn receive(
    State((manners, requests)): State<Shared>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let _ = requests.send(Request { method, headers, body });
    let manners = manners.lock().expect("no panic under the lock").clone();
    let status = |code| StatusCode::from_u16(code).expect("a status");
    match manners {
        Manners::Answer(code) => status(code).into_response(),
        Manners::Header(code, name, value) => (status(code), [(name, value)]).into_response(),
        Manners::Hang => std::future::pending().await,
        Manners::Endless => {
            let talk =
                stream::repeat_with(|| Ok::<_, std::convert::Infallible>("x".repeat(1000))).chain(stream::pending());
            Body::from_stream(talk).into_response()
        }
    }
}
