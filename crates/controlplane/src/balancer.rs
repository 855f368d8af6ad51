//! Picks a worker with a free slot: round robin for the starting point, then the first that is ready.
//!
//! Every pick opens its own connections and the chosen one stays with the task: behind a connection-level balancer the
//! connection is what pins the machine. Those that were full go to the end of the line, and while jobs wait they are
//! watched instead of asked. Workers are asked one after the other, but none is waited for long before the
//! next is asked too, and one that was overtaken is asked last for a while. So a sleeping or hung worker delays nobody,
//! and a sleeping one is not woken while others have room.
//!
//! - `address`: where a worker listens
//! - `rotation`: whose turn it is
//! - `selection`: the order of asking, as a pure state machine
//! - `candidates`: drives it
//! - `room`: waits until there is any

mod address;
mod candidates;
mod room;
mod rotation;
mod selection;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

pub use address::Address;
pub use candidates::{Candidate, Candidates};
pub use room::Rooms;

use self::rotation::Turn;
use crate::{
    metrics::Metrics,
    worker_client::{self, Connection, WorkerStatus},
};

/// How long a worker that was overtaken by another is asked last.
const AVOIDANCE: Duration = Duration::from_secs(10);

/// The workers and whose turn it is.
#[derive(Debug)]
pub struct Balancer {
    workers: Vec<Worker>,
    rotation: rotation::Rotation,
    startup_timeout: Duration,
    stagger: Duration,
    metrics: Metrics,
}

#[derive(Debug)]
struct Worker {
    address: Address,
    seen: Mutex<Seen>,
    /// Told when it answers.
    answer: Notify,
}

/// What earlier requests learned about a worker.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Asked last until then.
    avoid_until: Option<Instant>,
    /// Whether it answered the last time.
    answers: Option<bool>,
    /// Whether it is likely to have room.
    fill: Fill,
    /// Whether it knows the tasks of split jobs, by its last answer; `None` where it gives none.
    splits: Option<bool>,
}

/// What is thought of a worker's room. A guess: only its answer counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Fill {
    /// It may have room.
    #[default]
    Room,
    /// It had none when it was asked.
    Asked,
    /// It has none, and would say so if that changed.
    Watched,
}

impl Balancer {
    /// A balancer over `addresses`; a worker may take `startup_timeout` to connect and answer, but after `stagger` the
    /// next is asked too. An address that is there twice is one worker: its slots would count twice.
    #[must_use]
    pub fn new(addresses: Vec<Address>, startup_timeout: Duration, stagger: Duration, metrics: Metrics) -> Self {
        let mut workers = Vec::<Worker>::new();
        for address in addresses {
            if workers.iter().any(|worker| worker.address == address) {
                tracing::warn!(worker.address = %address, "WORKER_NODES names a worker twice");
            } else {
                workers.push(Worker { address, seen: Mutex::default(), answer: Notify::new() });
            }
        }
        Self { workers, rotation: rotation::Rotation::default(), startup_timeout, stagger, metrics }
    }

    /// How many workers there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// The workers that have room, best first, each at most once.
    #[must_use]
    pub fn candidates(&self) -> Candidates<'_> {
        self.candidates_if(|_| true)
    }

    /// The workers that have room, without those that are watched ([`Balancer::rooms`]) and say that they have none.
    #[must_use]
    pub fn likely_candidates(&self) -> Candidates<'_> {
        self.candidates_if(|worker| worker.seen().fill != Fill::Watched)
    }

    fn candidates_if(&self, is_asked: impl Fn(&Worker) -> bool) -> Candidates<'_> {
        let turns: Vec<_> = self.workers.iter().map(Worker::turn).collect();
        let mut order = self.rotation.order(&turns);
        order.retain(|worker| is_asked(&self.workers[*worker]));
        Candidates::new(self, order)
    }

    /// Watches every worker until it has room.
    #[must_use]
    pub fn rooms(&self) -> Rooms<'_> {
        Rooms::new(&self.workers, self.startup_timeout)
    }

    /// Whether every worker answers, and none knows the tasks of split jobs.
    #[must_use]
    pub fn knows_no_tasks(&self) -> bool {
        know_no_tasks(&self.workers)
    }

    /// Notes that an attempt has ended on the worker at `address`.
    pub fn freed(&self, address: &str) {
        if let Some(worker) = self.workers.iter().find(|worker| worker.address.to_string() == address) {
            worker.tells(Fill::Room);
        }
    }

    /// Asks every worker at once how busy it is.
    pub async fn overview(&self, timeout: Duration) -> Vec<(&Address, Result<WorkerStatus, worker_client::Error>)> {
        let timeout = timeout.min(self.startup_timeout);
        let ask = async |worker| {
            let answer = self.ask(worker, timeout).await;
            (&worker.address, answer.map(|(_, status)| status))
        };
        join_all(self.workers.iter().map(ask)).await
    }

    async fn ask(
        &self,
        worker: &Worker,
        timeout: Duration,
    ) -> Result<(Connection, WorkerStatus), worker_client::Error> {
        let answer = Connection::open(&worker.address, timeout).await;
        self.metrics.worker_answered(&worker.address, answer.as_ref().ok().map(|(_, status)| status));
        worker.answered(answer.as_ref().err());
        if let Ok((_, status)) = &answer {
            worker.has(status);
        }
        answer
    }
}

fn know_no_tasks(workers: &[Worker]) -> bool {
    workers.iter().all(|worker| worker.seen().splits == Some(false))
}

impl Worker {
    fn turn(&self) -> Turn {
        let seen = self.seen();
        if seen.avoid_until.is_some_and(|until| Instant::now() < until) {
            return Turn::Slow;
        }
        match seen.fill {
            Fill::Room => Turn::Likely,
            Fill::Asked | Fill::Watched => Turn::Full,
        }
    }

    /// Notes what it has said of its room.
    fn tells(&self, fill: Fill) {
        self.seen().fill = fill;
    }

    /// Notes whether it knows the tasks of split jobs; `None` where it does not answer.
    fn splits(&self, splits: Option<bool>) {
        self.seen().splits = splits;
    }

    /// Notes that it would not say so any more if it had room.
    fn unwatched(&self) {
        let mut seen = self.seen();
        if seen.fill == Fill::Watched {
            seen.fill = Fill::Asked;
        }
    }

    /// Notes what it has answered.
    fn has(&self, status: &WorkerStatus) {
        let mut seen = self.seen();
        seen.splits = Some(status.splits);
        if status.has_room() {
            seen.fill = Fill::Room;
        } else if seen.fill == Fill::Room {
            seen.fill = Fill::Asked;
        }
    }

    /// Has the worker asked last for a while.
    fn avoid(&self) {
        self.seen().avoid_until = Some(Instant::now() + AVOIDANCE);
    }

    /// Ends when the worker answers somebody, or after `longest`.
    async fn back(&self, longest: Duration) {
        let _ = timeout(longest, self.answer.notified()).await;
    }

    /// Notes whether the worker answered, and logs it when that is news.
    fn answered(&self, error: Option<&worker_client::Error>) {
        match error {
            Some(error) if error.is_timeout() => self.avoid(),
            // Who refuses at once costs nobody any time, and may be back the next moment.
            Some(_) => {}
            None => {
                self.seen().avoid_until = None;
                self.answer.notify_waiters();
            }
        }
        if error.is_some() {
            self.splits(None);
        }
        let before = self.seen().answers.replace(error.is_none());
        match error {
            Some(error) if before != Some(false) => {
                tracing::warn!(worker.address = %self.address, error = error.chain(), "worker does not answer");
            }
            None if before == Some(false) => tracing::info!(worker.address = %self.address, "worker answers again"),
            Some(_) | None => {}
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // No code that can panic runs under this lock.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_named_twice_is_one() {
        let balancer = balancer(&["a:1", "b:2", "http://a:1/", "a:1"]);
        let workers: Vec<_> = balancer.workers.iter().map(|worker| worker.address.to_string()).collect();
        assert_eq!(workers, ["a:1", "b:2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_answers_anybody_is_not_waited_for_any_longer() {
        let (balancer, longest) = (balancer(&["a:1"]), Duration::from_hours(1));
        let (worker, start) = (&balancer.workers[0], Instant::now());
        tokio::join!(worker.back(longest), async { worker.answered(None) });
        assert_eq!(start.elapsed(), Duration::ZERO);
        let error = worker_client::Error::Timeout(Duration::ZERO);
        tokio::join!(worker.back(longest), async { worker.answered(Some(&error)) });
        assert_eq!(start.elapsed(), longest, "no answer is none");
    }

    fn balancer(workers: &[&str]) -> Balancer {
        let addresses = workers.iter().map(|address| address.parse().expect("an address")).collect();
        Balancer::new(addresses, Duration::ZERO, Duration::ZERO, Metrics::new())
    }
}
