//! Callbacks of real jobs, from the store to a receiver.

use std::net::SocketAddr;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use controlplane::webhook::{self, Secrets};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use crate::{
    plane::{Plane, good_job},
    stub::{PATIENCE, Stub},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

type Requests = mpsc::UnboundedReceiver<(HeaderMap, Bytes)>;

async fn receiver() -> (SocketAddr, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (sender, requests) = mpsc::unbounded_channel();
    let receive = async |State(sender): State<mpsc::UnboundedSender<_>>, headers: HeaderMap, body: Bytes| {
        let _ = sender.send((headers, body));
        StatusCode::NO_CONTENT
    };
    let router = Router::new().fallback(receive).with_state(sender);
    let lifecycle = service::lifecycle::Lifecycle::new();
    tokio::spawn(controlplane::server::serve(listener, 16, router, lifecycle, std::future::pending()));
    (address, requests)
}

async fn plane(worker: &Stub, allow_loopback: bool) -> Plane {
    let secrets = Secrets::parse(SECRET).ok();
    Plane::start(&[worker.address], |config| config.webhook = webhook::Config { secrets, allow_loopback }).await
}

async fn post(plane: &Plane, receiver: SocketAddr) -> String {
    let mut job = good_job();
    job["callback_url"] = json!(format!("http://{receiver}/hook"));
    let (_, body) = plane.post(&job).await;
    body["job_id"].as_str().expect("an id").to_owned()
}

async fn next(requests: &mut Requests) -> Value {
    let (headers, body) = timeout(PATIENCE, requests.recv()).await.expect("a callback in time").expect("an open end");
    Webhook::new(SECRET).expect("a secret").verify(&body, &headers).expect("a good signature");
    serde_json::from_slice(&body).expect("JSON")
}

#[tokio::test]
async fn each_end_of_a_job_is_told_as_the_api_tells_it() {
    let mut worker = Stub::with_slots(1).await;
    let (address, mut requests) = receiver().await;
    let plane = plane(&worker, true).await;
    for end in ["completed", "failed", "cancelled"] {
        let id = post(&plane, address).await;
        let job = worker.job().await;
        match end {
            "completed" => job.complete(),
            "failed" => job.fail("encoding failed: x"),
            _ => {
                plane.delete(&format!("/api/v1/jobs/{id}")).await;
                worker.cancelled().await;
                job.confirm_cancel();
            }
        }
        let callback = next(&mut requests).await;
        assert_eq!(callback["type"], format!("job.{end}"));
        let mut job = plane.job(&id).await;
        for inside in ["attempts", "tasks", "worker", "callback_url"] {
            job.as_object_mut().expect("an object").remove(inside);
        }
        assert_eq!((&callback["data"], &callback["timestamp"]), (&job, &job["finished_at"]));
    }
    plane.metric("flux_callbacks_total{outcome=\"delivered\"} 3").await;
}

#[tokio::test]
async fn a_callback_to_this_machine_needs_the_operators_word() {
    let mut worker = Stub::with_slots(1).await;
    let (address, mut requests) = receiver().await;
    let plane = plane(&worker, false).await;
    post(&plane, address).await;
    worker.job().await.complete();
    plane.metric("flux_callbacks_total{outcome=\"failed\"} 1").await;
    assert!(requests.try_recv().is_err());
}
