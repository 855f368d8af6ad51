//! What both processes have when nothing happens: what grows from one rest to the next is a leak.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use e2e::{Plane, Worker};
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::{
    measure::{count, real},
    plan::Plan,
    process,
};

/// Longer than any pool keeps what nobody uses: tokio its threads for blocking calls 10 s, hyper's clients their
/// connections 90 s, at which they look every 90 s.
const REST: Duration = Duration::from_secs(190);

/// The store keeps its readers for ten minutes. More requests at once than it may have readers, and it has all of them.
const AT_ONCE: usize = 100;

/// How often is looked, and the pause between. What is there only at times is no leak.
const LOOKS: (usize, Duration) = (20, Duration::from_millis(250));

/// What both have together.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    /// Open files.
    pub(super) files: f64,
    /// Tasks of their runtimes.
    pub(super) tasks: f64,
    threads: BTreeMap<String, usize>,
}

impl Rest {
    /// Waits until nothing happens, and looks.
    pub(super) async fn of(plane: &Plane, worker: &Worker, plan: &Plan) -> Result<Self> {
        join_all((0..AT_ONCE).map(|_| plane.get("/api/v1/jobs"))).await;
        sleep(plan.pick(REST, Duration::ZERO)).await;
        let mut least = Self::now(plane, worker).await?;
        for _ in 1..plan.pick(LOOKS.0, 2) {
            sleep(LOOKS.1).await;
            least = least.least(Self::now(plane, worker).await?);
        }
        Ok(least)
    }

    async fn now(plane: &Plane, worker: &Worker) -> Result<Self> {
        let metrics = plane.metrics().await;
        let tasks = metrics.lines().find_map(|line| line.strip_prefix("flux_runtime_tasks "));
        let tasks: f64 = tasks.context("a control plane tells its tasks")?.parse()?;
        let tasks = tasks + real(worker.status().await.runtime_tasks);
        let mut rest = Self { files: 0.0, tasks, threads: BTreeMap::new() };
        for pid in [plane.daemon.pid(), worker.daemon.pid()] {
            rest.files += process::files(pid)?;
            for name in process::threads(pid)? {
                *rest.threads.entry(name).or_default() += 1;
            }
        }
        Ok(rest)
    }

    fn least(self, other: Self) -> Self {
        Self {
            files: self.files.min(other.files),
            tasks: self.tasks.min(other.tasks),
            threads: if other.threads() < self.threads() { other.threads } else { self.threads },
        }
    }

    /// How many threads.
    pub(super) fn threads(&self) -> f64 {
        count(self.threads.values().sum())
    }

    /// The kinds of threads of which there are more than there were.
    pub(super) fn more_threads(&self, before: &Self) -> Vec<String> {
        let was = |name: &str| before.threads.get(name).copied().unwrap_or_default();
        let more = self.threads.iter().filter(|(name, now)| **now > was(name));
        more.map(|(name, now)| format!("{name}: {} then, {now} now", was(name))).collect()
    }
}
