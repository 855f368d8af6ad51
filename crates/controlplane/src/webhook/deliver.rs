//! Takes callbacks from the store when they are due, sends them and settles them.
//!
//! What is taken is due again a while later unless it is settled, so a process that dies loses nothing; a callback that
//! had arrived by then comes a second time, under the same name.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use jiff::Timestamp;
use service::lifecycle::Lifecycle;
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Config,
    client::{Failure, Outcome, Sender},
    lanes::{Bounds, Lanes, SLOW, Turn},
    schedule::Schedule,
};
use crate::{
    metrics::{Delivery, Metrics},
    store::{self, Callback, Change, JobStore, Settlement},
};

/// How often the store is asked when nothing says that it should be: another machine's clock may differ.
const NAP: Duration = Duration::from_mins(1);

/// How long to leave a store alone that failed: at first, and at most.
const STORE_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How callbacks are sent, and how many at a time. Fixed in service, shorter in tests.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many at a time.
    pub bounds: Bounds,
    /// When they are tried again.
    pub schedule: Schedule,
    /// For one try.
    pub patience: Duration,
    /// For one that was taken, until somebody else may take it.
    pub hold: Duration,
    /// For those that are being sent when the process is to stop.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bounds: Bounds {
                at_once: 16,
                per_host: 2,
                to_strangers: 8,
                waiting: 1024,
                waiting_for_strangers: 512,
                waiting_for_slow: 32,
            },
            schedule: Schedule::default(),
            patience: Duration::from_secs(15),
            hold: Duration::from_mins(2),
            farewell: Duration::from_secs(5),
        }
    }
}

/// Sends callbacks until it is told to stop.
#[derive(Debug)]
pub struct Deliverer {
    store: Arc<dyn JobStore>,
    sender: Sender,
    signs: bool,
    said_unsigned: AtomicBool,
    metrics: Metrics,
    limits: Limits,
}

impl Deliverer {
    /// A deliverer of what `store` holds.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(
        store: Arc<dyn JobStore>,
        config: Config,
        metrics: Metrics,
        limits: Limits,
    ) -> Result<Self, reqwest::Error> {
        let signs = config.secrets.is_some();
        let sender = Sender::new(config, limits.patience)?;
        Ok(Self { store, sender, signs, said_unsigned: AtomicBool::new(false), metrics, limits })
    }

    /// Sends what is due, whenever it is, until `lifecycle` stops.
    pub async fn run(self, lifecycle: Lifecycle) {
        // Listen first, then look: a callback between the two must not be missed.
        let mut changes = self.store.changes();
        let mut lanes = Lanes::new(self.limits.bounds);
        let mut running = FuturesUnordered::new();
        let mut alarm = Alarm::new();
        loop {
            if lanes.room() > 0 && alarm.rings() {
                alarm.set(self.take(&mut lanes).await);
            }
            while let Some(turn) = lanes.start(Instant::now()) {
                running.push(self.deliver(turn));
            }
            tokio::select! {
                () = lifecycle.stopping() => break,
                Some((turn, settlement, slow)) = running.next() => {
                    lanes.end(&turn, slow);
                    alarm.after(settlement);
                }
                change = changes.recv() => match change {
                    Ok(Change::Callback | Change::Unknown) | Err(RecvError::Lagged(_)) => alarm.now(),
                    Ok(Change::Queued | Change::Job(_) | Change::Cancel(_) | Change::Progress { .. }) => {}
                    Err(RecvError::Closed) => break,
                },
                () = sleep_until(alarm.at), if lanes.room() > 0 => {}
            }
        }
        // What is not settled by then is sent again by the next process.
        let settled = async { while running.next().await.is_some() {} };
        tokio::select! {
            _ = timeout(self.limits.farewell, settled) => {}
            () = lifecycle.aborting() => {}
        }
    }

    /// Takes what is due and tells when there will be more; `Ok(None)` for nothing that is known of.
    async fn take(&self, lanes: &mut Lanes) -> Result<Option<Timestamp>, store::Error> {
        let (limit, now) = (u32::try_from(lanes.room()).unwrap_or(u32::MAX), Timestamp::now());
        let until = Instant::now() + self.limits.hold.saturating_sub(self.limits.patience);
        let due = self.store.due_callbacks(now, self.limits.hold, limit).await?;
        let more = due.len() >= lanes.room();
        for callback in due {
            lanes.hold(callback, until);
        }
        if more { Ok(Some(now)) } else { self.store.next_callback().await }
    }

    /// Sends a callback and settles it. Tells whether its host was slow, or failed.
    async fn deliver(&self, turn: Turn) -> (Turn, Settlement, bool) {
        if !self.signs && !self.said_unsigned.swap(true, Ordering::Relaxed) {
            tracing::warn!("WEBHOOK_SECRET is not set: callbacks are not signed");
        }
        let start = Instant::now();
        let outcome = self.sender.send(&turn.callback, Timestamp::now()).await;
        let slow = start.elapsed() > SLOW || matches!(outcome, Outcome::Failed(_));
        let settlement = self.judge(&turn, &outcome);
        self.settle(&turn.callback, settlement, start + self.limits.hold).await;
        (turn, settlement, slow)
    }

    fn judge(&self, Turn { callback, host, .. }: &Turn, outcome: &Outcome) -> Settlement {
        let (id, job) = (callback.id.0, callback.job);
        match outcome {
            Outcome::Delivered => {
                self.metrics.callback(Delivery::Delivered);
                tracing::debug!(job.id = %job, callback.id = %id, callback.host = host, "callback delivered");
                Settlement::Done
            }
            Outcome::Gone => {
                self.metrics.callback(Delivery::Gone);
                tracing::info!(job.id = %job, callback.id = %id, callback.host = host, "callback not wanted (410)");
                Settlement::Done
            }
            Outcome::Failed(failure) => self.failed(callback, host, failure),
        }
    }

    fn failed(&self, callback: &Callback, host: &str, failure: &Failure) -> Settlement {
        let (id, job, now) = (callback.id.0, callback.job, Timestamp::now());
        let failures = callback.failures.saturating_add(1);
        let Some(next) = self.limits.schedule.next(callback, now, failure.retry_after()) else {
            self.metrics.callback(Delivery::GivenUp);
            tracing::warn!(
                job.id = %job, callback.id = %id, callback.host = host, callback.failures = failures, error = %failure,
                "callback given up"
            );
            return Settlement::Done;
        };
        self.metrics.callback(Delivery::Failed);
        tracing::info!(
            job.id = %job, callback.id = %id, callback.host = host, callback.failures = failures, error = %failure,
            callback.next = %next, "callback failed, it will be tried again"
        );
        Settlement::Retry(next)
    }

    /// Writes down how it went, as long as nobody else can have taken it.
    async fn settle(&self, callback: &Callback, settlement: Settlement, until: Instant) {
        while let Err(error) = self.store.settle_callback(callback.id, settlement).await {
            let pause = STORE_PAUSE.0;
            if Instant::now() + pause >= until {
                tracing::warn!(callback.id = %callback.id.0, %error, "callback cannot be settled, it will be sent again");
                return;
            }
            sleep(pause).await;
        }
    }
}

/// When to ask the store next.
#[derive(Debug)]
struct Alarm {
    at: Instant,
    /// How long to wait should the store fail again; `None` while it works.
    pause: Option<Duration>,
}

impl Alarm {
    fn new() -> Self {
        Self { at: Instant::now(), pause: None }
    }

    fn rings(&self) -> bool {
        Instant::now() >= self.at
    }

    fn now(&mut self) {
        self.at = Instant::now();
    }

    /// Sees to it that what is to be tried again is, when it is due.
    fn after(&mut self, settlement: Settlement) {
        match settlement {
            Settlement::Done => {}
            Settlement::Retry(next) => self.at = self.at.min(Instant::now() + until(next)),
        }
    }

    fn set(&mut self, next: Result<Option<Timestamp>, store::Error>) {
        let (first, longest) = STORE_PAUSE;
        let wait = match next {
            Ok(next) => {
                self.pause = None;
                next.map_or(NAP, until)
            }
            Err(error) => {
                if self.pause.is_none() {
                    tracing::warn!(%error, "callbacks cannot be read, this is tried again");
                }
                let pause = self.pause.map_or(first, |pause| longest.min(pause * 2));
                self.pause = Some(pause);
                pause
            }
        };
        self.at = Instant::now() + wait.min(NAP);
    }
}

/// How long until then; nothing for the past.
fn until(then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(Timestamp::now())).unwrap_or_default()
}

#[cfg(test)]
mod tests;
