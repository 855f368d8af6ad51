//! Receives callbacks, some of them only at the second try.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::Value;
use standardwebhooks::{HEADER_WEBHOOK_ID, Webhook};
use tokio::net::TcpListener;

use super::{fleet::WEBHOOK_SECRET, tally::Tally};

/// A message that arrived.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// What it says.
    pub body: Value,
    /// Whether it was taken, or is to be sent again.
    pub taken: bool,
}

/// The receiver.
#[derive(Debug)]
pub struct Callbacks {
    messages: Mutex<BTreeMap<u64, Vec<Message>>>,
    tally: Arc<Tally>,
}

impl Callbacks {
    /// Starts it, and tells the URL below which each job has its own. It ends with the runtime.
    pub async fn start(tally: Arc<Tally>) -> (Arc<Self>, String) {
        let callbacks = Arc::new(Self { messages: Mutex::default(), tally });
        let router = Router::new().route("/callback/{number}", post(receive)).with_state(Arc::clone(&callbacks));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, router).await });
        (callbacks, format!("http://{address}/callback"))
    }

    /// What arrived for the job of this number.
    #[must_use]
    pub fn of(&self, number: u64) -> Vec<Message> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.get(&number).cloned().unwrap_or_default()
    }
}

async fn receive(
    State(callbacks): State<Arc<Callbacks>>,
    Path(number): Path<u64>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let webhook = Webhook::new(WEBHOOK_SECRET).expect("a good secret");
    if let Err(error) = webhook.verify(&body, &headers) {
        callbacks.tally.violation("a callback is not signed", format!("job {number}: {error}"));
    }
    let id = headers.get(HEADER_WEBHOOK_ID).and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let mut messages = callbacks.messages.lock().unwrap_or_else(PoisonError::into_inner);
    let messages = messages.entry(number).or_default();
    let taken = !(number.is_multiple_of(5) && messages.is_empty());
    messages.push(Message { id, body: serde_json::from_slice(&body).unwrap_or_default(), taken });
    callbacks.tally.count("callbacks", if taken { "taken" } else { "refused" });
    if taken { StatusCode::NO_CONTENT } else { StatusCode::INTERNAL_SERVER_ERROR }
}
