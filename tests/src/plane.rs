//! A control plane under test, and a client of it.

use std::net::SocketAddr;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::{
    daemon::{Daemon, Launch, Port},
    events::Events,
    wait::{PATIENCE, until},
};

/// A control plane that is not started yet.
#[derive(Debug)]
pub struct PlaneBuilder {
    pub(crate) launch: Launch,
    pub(crate) port: Port,
}

impl PlaneBuilder {
    /// Sets a variable.
    #[must_use]
    pub fn env(self, name: &str, value: &(impl ToString + ?Sized)) -> Self {
        Self { launch: self.launch.env(name, value), ..self }
    }

    /// Starts it and waits until it listens.
    pub async fn start(self) -> Plane {
        Plane { daemon: Daemon::start(self.launch, self.port).await, client: crate::http_client() }
    }

    /// How it would be started, for runs that end by themselves.
    #[must_use]
    pub fn launch(self) -> (Launch, Port) {
        (self.launch, self.port)
    }
}

/// A running control plane.
#[derive(Debug)]
pub struct Plane {
    /// Its process.
    pub daemon: Daemon,
    client: Client,
}

impl Plane {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.daemon.address()
    }

    /// A request to it. Streams may take longer than [`PATIENCE`]; everything else is bounded by the caller's wait.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address()))
    }

    /// The answer to `GET path`.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        send(self.request(Method::GET, path)).await
    }

    /// Posts a job.
    pub async fn post(&self, job: &Value) -> (StatusCode, Value) {
        send(self.request(Method::POST, "/api/v1/jobs").json(job)).await
    }

    /// Posts a job that must be accepted, and tells its id.
    pub async fn accepted(&self, job: &Value) -> String {
        let (status, body) = self.post(job).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        body["job_id"].as_str().expect("an id").to_owned()
    }

    /// Cancels a job.
    pub async fn cancel(&self, id: &str) -> (StatusCode, Value) {
        send(self.request(Method::DELETE, &format!("/api/v1/jobs/{id}"))).await
    }

    /// The job as it stands.
    pub async fn job(&self, id: &str) -> Value {
        let (status, body) = self.get(&format!("/api/v1/jobs/{id}")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// Listens to a job.
    pub async fn events(&self, id: &str) -> Events {
        self.events_after(id, "").await
    }

    /// Listens to a job from where another listener was.
    pub async fn events_after(&self, id: &str, last_event_id: &str) -> Events {
        let request = self.request(Method::GET, &format!("/api/v1/jobs/{id}/stream"));
        let request = if last_event_id.is_empty() { request } else { request.header("Last-Event-ID", last_event_id) };
        let response = request.send().await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        Events::new(response)
    }

    /// Runs a job that must be accepted to its end, and tells its last event.
    pub async fn run(&self, job: &Value) -> Value {
        let id = self.accepted(job).await;
        self.events(&id).await.last().await
    }

    /// Runs a job that must complete, and tells its output URL.
    pub async fn completed(&self, job: &Value) -> String {
        let last = self.run(job).await;
        assert_eq!(last["status"], "JOB_STATUS_COMPLETED", "{last}");
        last["output_url"].as_str().expect("a completed job has an output").to_owned()
    }

    /// Runs a job that must fail, and tells its error.
    pub async fn failed(&self, job: &Value) -> String {
        let last = self.run(job).await;
        assert_eq!(last["status"], "JOB_STATUS_FAILED", "{last}");
        last["error"].as_str().expect("a failed job has an error").to_owned()
    }

    /// The metrics page.
    pub async fn metrics(&self) -> String {
        let response = self.request(Method::GET, "/metrics").send().await.expect("an answer");
        response.text().await.expect("text")
    }

    /// Waits until a line stands in the metrics.
    pub async fn metric(&self, line: &str) {
        let what = format!("{line:?} is in the metrics");
        until(&what, async || self.metrics().await.lines().any(|other| other == line)).await;
    }
}

async fn send(request: RequestBuilder) -> (StatusCode, Value) {
    let response: Response = request.timeout(PATIENCE).send().await.expect("an answer");
    let status = response.status();
    (status, response.json().await.expect("a JSON body"))
}
