//! A control plane in this process, and a client of it.

use std::{future::Future, net::SocketAddr, time::Duration};

use controlplane::{config::Config, limits::Limits};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use service::lifecycle::{Lifecycle, Outcome};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

use crate::stub::PATIENCE;

/// A running control plane. Dropping it stops it.
pub(crate) struct Plane {
    pub(crate) address: SocketAddr,
    pub(crate) lifecycle: Lifecycle,
    client: Client,
    run: Option<JoinHandle<anyhow::Result<Outcome>>>,
}

/// Waits short enough for tests.
pub(crate) fn limits() -> Limits {
    Limits {
        connections: 64,
        admissions: 64,
        // However busy the machine, a worker that is there answers sooner.
        stagger: PATIENCE,
        admission: Duration::from_secs(2),
        silence: Duration::from_millis(200),
        question: Duration::from_millis(300),
        cancel_call: Duration::from_millis(300),
        cancel_end: Duration::from_millis(600),
        unleased: Duration::from_millis(600),
        farewell: Duration::from_millis(50),
    }
}

impl Plane {
    /// A control plane over these workers.
    pub(crate) async fn over(workers: &[SocketAddr]) -> Self {
        Self::start(workers, |_| {}).await
    }

    pub(crate) async fn start(workers: &[SocketAddr], change: impl FnOnce(&mut Config)) -> Self {
        let workers: Vec<_> = workers.iter().map(ToString::to_string).collect();
        let env = [
            ("WORKER_NODES", workers.join(",")),
            ("WORKER_STARTUP_TIMEOUT", "5s".to_owned()),
            ("DATABASE_URL", "memory:".to_owned()),
            ("JOB_MAX_ATTEMPTS", "1".to_owned()),
        ];
        let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
        let mut config = Config::read(&env).expect("a good configuration");
        config.limits = limits();
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let lifecycle = Lifecycle::new();
        let run = tokio::spawn(controlplane::run(config, listener, lifecycle.clone()));
        controlplane::tls::install();
        let client = Client::builder().no_proxy().build().expect("a client");
        Self { address, lifecycle, client, run: Some(run) }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address)).timeout(PATIENCE)
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.request(Method::GET, path).send().await.expect("an answer")).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (StatusCode, Value) {
        read(self.request(Method::DELETE, path).send().await.expect("an answer")).await
    }

    pub(crate) async fn post(&self, job: &Value) -> (StatusCode, Value) {
        read(self.request(Method::POST, "/api/v1/jobs").json(job).send().await.expect("an answer")).await
    }

    /// Posts a good job that must be accepted, and tells its id.
    pub(crate) async fn accepted(&self) -> String {
        let (status, body) = self.post(&good_job()).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        body["job_id"].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn job(&self, id: &str) -> Value {
        let (status, body) = self.get(&format!("/api/v1/jobs/{id}")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    pub(crate) async fn events(&self, id: &str) -> Events {
        let path = format!("/api/v1/jobs/{id}/stream");
        let response = self.request(Method::GET, &path).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        Events { response, buffer: String::new() }
    }

    pub(crate) async fn metrics(&self) -> String {
        let response = self.request(Method::GET, "/metrics").send().await.expect("an answer");
        response.text().await.expect("text")
    }

    /// Waits until a line stands in the metrics.
    pub(crate) async fn metric(&self, line: &str) {
        let there = async || self.metrics().await.lines().any(|other| other == line);
        let came = timeout(PATIENCE, until(there)).await.is_ok();
        assert!(came, "{line} is not in {}", self.metrics().await);
    }

    /// Waits for the end after a stop.
    pub(crate) async fn ended(&mut self) -> Outcome {
        let run = self.run.take().expect("asked once");
        let outcome = timeout(PATIENCE, run).await.expect("the end in time");
        outcome.expect("no panic").expect("no error")
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.lifecycle.abort();
    }
}

/// A listener of a job's stream.
pub(crate) struct Events {
    pub(crate) response: Response,
    buffer: String,
}

impl Events {
    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let event: String = self.buffer.drain(..end + 2).collect();
                // What has no data is a heartbeat.
                if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                    return Some(serde_json::from_str(data).expect("JSON"));
                }
                continue;
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("an event in time");
            let chunk = chunk.expect("an unbroken stream")?;
            self.buffer.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// Reads until an event has this status.
    pub(crate) async fn until(&mut self, status: &str) -> Value {
        loop {
            let event = self.next().await.expect("the status comes");
            if event["status"] == status {
                return event;
            }
        }
    }

    /// Every event to the end.
    pub(crate) async fn rest(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// The statuses of events, each once in a row.
pub(crate) fn statuses(events: &[Value]) -> Vec<&str> {
    let mut statuses: Vec<_> = events.iter().map(|event| event["status"].as_str().expect("a status")).collect();
    statuses.dedup();
    statuses
}

pub(crate) fn good_job() -> Value {
    json!({
        "input_url": "https://example.com/video.mp4",
        "preset": "720p_h264",
        "output": {"storage": "s3", "path": "output/video.mp4", "metadata": {"title": "x"}},
    })
}

/// Asks until the answer is yes.
pub(crate) async fn until<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    while !condition().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    (status, response.json().await.expect("a JSON body"))
}
