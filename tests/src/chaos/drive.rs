//! The way of one job from its request to its end, as its client sees it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{sync::Semaphore, task::JoinSet, task::spawn_blocking, time::sleep};

use super::{
    client::Client,
    family::{self, Bytes, Done},
    fleet::Fleet,
    listener::Listener,
    load::Order,
    output,
    places::Places,
    seed::Dice,
    watch::Watch,
};

/// Time between two looks at a job.
const LOOK: Duration = Duration::from_millis(500);

/// What became of an accepted job.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What was asked for.
    pub order: Order,
    /// Its id.
    pub id: String,
    /// The job as it was when it first was terminal; `None` where that was never seen.
    pub job: Option<Value>,
    /// True where a client was told that it is to be cancelled.
    pub cancelled: bool,
}

/// What the drivers of all jobs share.
#[derive(Debug)]
pub struct Driver {
    /// The API.
    pub client: Client,
    /// What runs.
    pub fleet: Arc<Fleet>,
    /// What is published.
    pub watch: Arc<Watch>,
    /// Where it is published.
    pub places: Places,
    /// The seed of the run.
    pub seed: u64,
    /// URL below which callbacks are received.
    pub callbacks: String,
    /// One output is looked at, at a time: the machine is busy enough.
    pub looking: Semaphore,
    /// What split jobs have made so far.
    pub bytes: Bytes,
}

impl Driver {
    /// Drives the job of this number; `None` when it was never accepted.
    pub async fn drive(self: Arc<Self>, number: u64) -> Option<Ended> {
        let order = Order::new(self.seed, number);
        let request = order.request(&self.fleet.files, &self.fleet.http, &self.callbacks);
        let entry = self.places.entry(&order);
        self.watch.add(entry.clone());
        let Some(id) = self.client.submit(&order, &request).await else {
            self.client.tally.violation("a job is never accepted", order.key());
            return None;
        };
        self.client.tally.count("jobs", "accepted");
        let mut listeners = self.listen(&order, &id);
        let (cancelled, job) = tokio::join!(self.cancel(&order, &id), self.end(&id));
        if let Some(job) = &job {
            self.judge(&order, job, cancelled, entry).await;
        }
        while let Some(last) = listeners.join_next().await {
            let told = last.ok().flatten().map(|event| event["status"].clone());
            if let (Some(told), Some(job)) = (told, &job)
                && told != job["status"]
            {
                let detail = format!("{id}: {told}, {}", job["status"]);
                self.client.tally.violation("listener and job disagree on the end", detail);
            }
        }
        Some(Ended { order, id, job, cancelled })
    }

    fn listen(&self, order: &Order, id: &str) -> JoinSet<Option<Value>> {
        let mut listeners = JoinSet::new();
        for listener in 0..order.listeners {
            let dice = Dice::new(self.seed, (1 << 32) + order.number * 4 + listener);
            listeners.spawn(Listener::new(self.client.clone(), id.to_owned(), dice).run());
        }
        listeners
    }

    async fn cancel(&self, order: &Order, id: &str) -> bool {
        let Some(after) = order.cancel_after else { return false };
        sleep(after).await;
        self.client.cancel(id).await
    }

    /// Looks at the job until it is terminal.
    async fn end(&self, id: &str) -> Option<Value> {
        let mut done = Done::default();
        loop {
            let job = self.client.job(id).await?;
            for again in done.look(&job) {
                self.client.tally.violation("a finished task is done again", format!("{id}: {again}"));
            }
            if is_terminal(&job) {
                return Some(job);
            }
            if self.client.gives_up().await {
                self.client.tally.violation("a job never ends", format!("{id}: {job}"));
                return None;
            }
            sleep(LOOK).await;
        }
    }

    async fn judge(&self, order: &Order, job: &Value, cancelled: bool, entry: PathBuf) {
        let tally = &self.client.tally;
        let status = job["status"].as_str().unwrap_or_default();
        let error = job["error"].as_str().unwrap_or_default();
        tally.count("jobs", if error.is_empty() { status.to_owned() } else { format!("{status}: {}", brief(error)) });
        match status {
            "JOB_STATUS_COMPLETED" if order.source.is_good() => {
                let (expected, path) = (self.places.frames(order.source), entry.clone());
                let _permit = self.looking.acquire().await;
                let whole = spawn_blocking(move || output::check(&path, expected)).await;
                if let Ok(Err(wrong)) = whole {
                    tally.violation("a completed job has no whole output", format!("{}: {wrong}", order.key()));
                }
                if family::tasks(job).next().is_some() {
                    tally.count("jobs", "split");
                }
                if let Some(wrong) = self.bytes.compare(order, job, &entry) {
                    tally.violation("a split job makes other bytes than one before", wrong);
                }
            }
            "JOB_STATUS_FAILED" if !order.source.is_good() => {}
            "JOB_STATUS_CANCELLED" if cancelled => {}
            _ => tally.violation("a job ends as it should not", format!("{order:?}: {job}")),
        }
    }
}

/// True where nothing follows.
pub(super) fn is_terminal(job: &Value) -> bool {
    matches!(job["status"].as_str(), Some("JOB_STATUS_COMPLETED" | "JOB_STATUS_FAILED" | "JOB_STATUS_CANCELLED"))
}

/// The beginning of an error, without what differs from job to job.
fn brief(error: &str) -> String {
    let words: Vec<_> = error.split(' ').filter(|word| !word.contains('/')).take(12).collect();
    words.join(" ")
}
