//! Listens to a job's stream to its end, over as many connections as that takes.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::{client::Client, seed::Dice, story::Story};

/// Longer than the time between two heartbeats.
const SILENCE: Duration = Duration::from_secs(25);

/// How often a listener breaks off by itself.
const WHIMS: u32 = 3;

/// One listener of one job.
#[derive(Debug)]
pub struct Listener {
    client: Client,
    id: String,
    dice: Dice,
    whims: u32,
    story: Story,
    last: Option<Value>,
}

/// Why a connection is over.
enum Over {
    /// The stream ended, broke, was silent or dropped on a whim.
    Connection,
    /// There is no such job.
    Unknown,
}

impl Listener {
    /// A listener that is not connected yet.
    #[must_use]
    pub fn new(client: Client, id: String, dice: Dice) -> Self {
        Self { client, id, dice, whims: WHIMS, story: Story::default(), last: None }
    }

    /// Listens to the end, and tells the last event.
    pub async fn run(mut self) -> Option<Value> {
        let mut turn = usize::try_from(self.dice.below(8)).unwrap_or_default();
        loop {
            let over = self.connect(turn).await;
            turn += 1;
            if self.story.is_over() {
                self.client.tally.count("listeners", "heard the end");
                return self.last;
            }
            match over {
                Over::Connection => self.client.tally.count("listeners", "connected again"),
                Over::Unknown => return None,
            }
            if self.client.gives_up().await {
                self.client.tally.violation("a listener never hears the end", &self.id);
                return None;
            }
        }
    }

    async fn connect(&mut self, turn: usize) -> Over {
        let path = format!("/api/v1/jobs/{}/stream", self.id);
        let mut request = self.client.request(Method::GET, turn, &path);
        if let Some(id) = self.story.last_id() {
            request = request.header("Last-Event-ID", id);
        }
        let Ok(Ok(response)) = timeout(SILENCE, request.send()).await else { return Over::Connection };
        match response.status() {
            StatusCode::OK => self.read(response).await,
            StatusCode::NOT_FOUND => {
                self.client.tally.violation("the stream of an accepted job is lost", &self.id);
                return Over::Unknown;
            }
            _ => {}
        }
        Over::Connection
    }

    async fn read(&mut self, mut response: Response) {
        let mut buffer = String::new();
        let mut ended = None;
        loop {
            let Ok(chunk) = timeout(SILENCE, response.chunk()).await else { break };
            let Ok(Some(chunk)) = chunk else { return };
            buffer.push_str(&String::from_utf8_lossy(&chunk));
            while let Some(end) = buffer.find("\n\n") {
                let block: String = buffer.drain(..end + 2).collect();
                self.take(&block);
                if self.story.is_over() {
                    ended.get_or_insert_with(Instant::now);
                } else if self.whims > 0 && self.dice.percent(10) {
                    self.whims -= 1;
                    return;
                }
            }
        }
        if ended.is_some() {
            self.client.tally.violation("a stream stays open after the end", &self.id);
        } else {
            self.client.tally.count("listeners", "met silence");
        }
    }

    fn take(&mut self, block: &str) {
        let Some(data) = field(block, "data:") else { return };
        let event: Value = serde_json::from_str(data).unwrap_or_default();
        for wrong in self.story.take(field(block, "id:").unwrap_or_default(), &event) {
            self.client.tally.violation("a listener is told a story that does not hold together", wrong);
        }
        self.client.tally.count("listeners", "events");
        self.last = Some(event);
    }
}

/// A field of an event, of which there is at most one.
fn field<'a>(block: &'a str, name: &str) -> Option<&'a str> {
    block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}
