//! What a job's stream tells.

use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

use crate::wait::PATIENCE;

/// A listener of a job's stream.
#[derive(Debug)]
pub struct Events {
    /// The answer whose body is read.
    pub response: Response,
    /// The id of the last event: where another listener could go on.
    pub last_id: String,
    /// After how many milliseconds a listener should come back, once the server has said so.
    pub retry_ms: Option<u64>,
    buffer: String,
}

impl Events {
    pub(crate) fn new(response: Response) -> Self {
        Self { response, last_id: String::new(), retry_ms: None, buffer: String::new() }
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Value> {
        // Around it all: heartbeats come for ever.
        timeout(PATIENCE, self.receive()).await.expect("an event in time")
    }

    async fn receive(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let event: String = self.buffer.drain(..end + 2).collect();
                if let Some(id) = event.lines().find_map(|line| line.strip_prefix("id: ")) {
                    id.clone_into(&mut self.last_id);
                }
                if let Some(retry) = event.lines().find_map(|line| line.strip_prefix("retry: ")) {
                    self.retry_ms = Some(retry.parse().expect("a number"));
                }
                // What has no data is a heartbeat.
                if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                    return Some(serde_json::from_str(data).expect("an event is JSON in one line"));
                }
                continue;
            }
            // A control plane that is killed breaks its streams.
            let chunk = self.response.chunk().await.ok().flatten()?;
            self.buffer.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// Reads until an event has this status.
    pub async fn until(&mut self, status: &str) -> Value {
        loop {
            let event = self.next().await.expect("the status comes before the end");
            if event["status"] == status {
                return event;
            }
        }
    }

    /// Reads until ffmpeg has told progress: the encode is under way.
    pub async fn encoding(&mut self) -> Value {
        loop {
            let event = self.next().await.expect("progress comes before the end");
            if event["progress"].as_f64().is_some_and(|progress| progress > 0.0) {
                assert_eq!(event["status"], "JOB_STATUS_PROCESSING", "{event}");
                return event;
            }
        }
    }

    /// Every event to the end.
    pub async fn rest(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// The last event.
    pub async fn last(self) -> Value {
        self.rest().await.pop().expect("a stream has events")
    }
}

/// The statuses of events, each once in a row.
#[must_use]
pub fn statuses(events: &[Value]) -> Vec<&str> {
    let mut statuses: Vec<_> = events.iter().map(|event| event["status"].as_str().expect("a status")).collect();
    statuses.dedup();
    statuses
}
