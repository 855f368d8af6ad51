//! A client of the API that takes faults for granted: it asks again, wherever somebody answers.

use std::{sync::Arc, time::Duration};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{fleet::Fleet, load::Order, tally::Tally};

/// Longest wait for one answer: longer than most pauses of a control plane, shorter than some.
const PATIENCE: Duration = Duration::from_secs(6);

/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// The client.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    fleet: Arc<Fleet>,
    /// Where it counts.
    pub tally: Arc<Tally>,
    /// When it gives up.
    pub deadline: Instant,
}

impl Client {
    /// A client of every control plane.
    #[must_use]
    pub fn new(fleet: Arc<Fleet>, tally: Arc<Tally>, deadline: Instant) -> Self {
        Self { http: crate::http_client(), fleet, tally, deadline }
    }

    /// A request to the control plane of this turn, without a limit of time.
    pub fn request(&self, method: Method, turn: usize, path: &str) -> RequestBuilder {
        let plane = &self.fleet.planes[turn % self.fleet.planes.len()];
        self.http.request(method, format!("http://{}{path}", plane.address()))
    }

    /// True when it is time to give up; waits a moment otherwise.
    pub async fn gives_up(&self) -> bool {
        if Instant::now() >= self.deadline {
            return true;
        }
        sleep(PAUSE).await;
        false
    }

    /// Asks until there is an answer that is not a fault of the moment (5xx); `None` at the deadline.
    pub async fn ask(&self, build: impl Fn(usize) -> RequestBuilder) -> Option<(StatusCode, Value)> {
        let mut turn = usize::try_from(self.tally.get("requests", "sent")).unwrap_or_default();
        loop {
            self.tally.count("requests", "sent");
            match answer(build(turn)).await {
                Ok((status, body)) if !status.is_server_error() => return Some((status, body)),
                Ok((status, _)) => self.tally.count("requests", format!("answered {}", status.as_u16())),
                Err(cause) => self.tally.count("requests", cause),
            }
            turn += 1;
            if self.gives_up().await {
                return None;
            }
        }
    }

    /// Asks for a job until it is accepted, always under the same key, and tells its id.
    pub async fn submit(&self, order: &Order, request: &Value) -> Option<String> {
        let build = |turn| {
            self.request(Method::POST, turn, "/api/v1/jobs").header("Idempotency-Key", order.key()).json(request)
        };
        let (status, body) = self.ask(build).await?;
        let id = body["job_id"].as_str().filter(|_| status == StatusCode::ACCEPTED);
        if id.is_none() {
            self.tally.violation("a good request is refused", format!("{status} {body} for {request}"));
        }
        id.map(str::to_owned)
    }

    /// The job as it stands; `None` when nobody knows it, which is told, and at the deadline.
    pub async fn job(&self, id: &str) -> Option<Value> {
        let path = format!("/api/v1/jobs/{id}");
        let (status, body) = self.ask(|turn| self.request(Method::GET, turn, &path)).await?;
        if status != StatusCode::OK {
            self.tally.violation("an accepted job is lost", format!("{id}: {status} {body}"));
            return None;
        }
        Some(body)
    }

    /// Asks for a job to be cancelled. True when it is to be, false when it had ended.
    pub async fn cancel(&self, id: &str) -> bool {
        let path = format!("/api/v1/jobs/{id}");
        let Some((status, body)) = self.ask(|turn| self.request(Method::DELETE, turn, &path)).await else {
            return false;
        };
        if !matches!(status, StatusCode::ACCEPTED | StatusCode::CONFLICT) {
            self.tally.violation("a cancel is refused", format!("{id}: {status} {body}"));
        }
        status == StatusCode::ACCEPTED
    }

    /// Every job, page by page.
    pub async fn list(&self) -> Vec<Value> {
        let mut jobs = Vec::new();
        let mut path = "/api/v1/jobs?limit=200".to_owned();
        // No cursor leads round in circles for ever.
        for _ in 0..10_000 {
            let Some((status, body)) = self.ask(|turn| self.request(Method::GET, turn, &path)).await else { break };
            if status != StatusCode::OK {
                self.tally.violation("jobs cannot be listed", format!("{status} {body}"));
                break;
            }
            jobs.extend(body["jobs"].as_array().cloned().unwrap_or_default());
            let Some(cursor) = body["next_cursor"].as_str() else { break };
            path = format!("/api/v1/jobs?limit=200&cursor={cursor}");
        }
        jobs
    }
}

async fn answer(request: RequestBuilder) -> Result<(StatusCode, Value), &'static str> {
    let response = request.timeout(PATIENCE).send().await.map_err(|error| cause(&error))?;
    let status = response.status();
    let body = response.bytes().await.map_err(|error| cause(&error))?;
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

fn cause(error: &reqwest::Error) -> &'static str {
    if error.is_connect() {
        "refused"
    } else if error.is_timeout() {
        "not answered in time"
    } else {
        "broken off"
    }
}
