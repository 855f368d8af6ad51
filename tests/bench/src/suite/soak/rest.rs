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

/// The store keeps its readers for ten minutes. So many times more requests at once than it may have readers, and it has all
/// of them.
const AT_ONCE: (usize, usize) = (20, 100);

/// How often is looked, and the pause between. What is there only at times is no leak.
const LOOKS: (usize, Duration) = (20, Duration::from_millis(250));

/// What both have together.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    /// Open files.
    pub(super) files: Kinds,
    /// Threads.
    pub(super) threads: Kinds,
    /// Tasks of their runtimes.
    pub(super) tasks: f64,
}

/// How many there are of each kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Kinds(BTreeMap<String, usize>);

impl Kinds {
    fn add(&mut self, names: Vec<String>) {
        for name in names {
            *self.0.entry(name).or_default() += 1;
        }
    }

    /// How many in all.
    pub(super) fn count(&self) -> f64 {
        count(self.0.values().sum())
    }

    fn least(self, other: Self) -> Self {
        if other.count() < self.count() { other } else { self }
    }

    /// The kinds of which there are more than there were.
    pub(super) fn more(&self, before: &Self) -> Vec<String> {
        let was = |name: &str| before.0.get(name).copied().unwrap_or_default();
        let more = self.0.iter().filter(|(name, now)| **now > was(name));
        more.map(|(name, now)| format!("{name}: {} then, {now} now", was(name))).collect()
    }
}

impl Rest {
    /// Waits until nothing happens, and looks.
    pub(super) async fn of(plane: &Plane, worker: &Worker, plan: &Plan) -> Result<Self> {
        for _ in 0..AT_ONCE.0 {
            join_all((0..AT_ONCE.1).map(|_| plane.get("/api/v1/jobs"))).await;
        }
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
        let mut rest = Self { files: Kinds::default(), threads: Kinds::default(), tasks };
        for pid in [plane.daemon.pid(), worker.daemon.pid()] {
            rest.files.add(process::files(pid)?);
            rest.threads.add(process::threads(pid)?);
        }
        Ok(rest)
    }

    fn least(self, other: Self) -> Self {
        Self {
            files: self.files.least(other.files),
            threads: self.threads.least(other.threads),
            tasks: self.tasks.min(other.tasks),
        }
    }
}
