//! One way of stopping, for every task of a process.
//!
//! The first SIGTERM or SIGINT is soft: take no new work, end what runs. The second, or the end of the grace, is hard:
//! drop everything. A task that panics stops the process softly and makes it exit with failure.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{signal::unix, task::JoinHandle};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFuture},
    task::TaskTracker,
};

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every task ended by itself.
    Clean,
    /// A task panicked, or had to be abandoned.
    Failed,
}

/// Tells every task of a process when to stop, and waits for them. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    crashed: Arc<AtomicBool>,
}

impl Lifecycle {
    /// A lifecycle that nobody has stopped.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that [`Lifecycle::finish`] waits for.
    pub fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let guard = CrashGuard { name, lifecycle: self.clone() };
        // A future that is awaited by another one takes its room twice there.
        let task = Box::pin(task);
        self.tasks.spawn(async move {
            let _guard = guard;
            task.await
        })
    }

    /// Asks every task to take no new work and end.
    pub fn stop(&self) {
        self.soft.cancel();
    }

    /// Asks every task to drop what it does.
    pub fn abort(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// True once a stop was asked for.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Ends when a stop is asked for.
    pub fn stopping(&self) -> WaitForCancellationFuture<'_> {
        self.soft.cancelled()
    }

    /// Ends when everything must be dropped.
    pub fn aborting(&self) -> WaitForCancellationFuture<'_> {
        self.hard.cancelled()
    }

    /// A token that is cancelled when everything must be dropped; cancelling the child stops nobody else.
    #[must_use]
    pub fn hard_token(&self) -> CancellationToken {
        self.hard.child_token()
    }

    /// Turns SIGTERM and SIGINT into [`Lifecycle::stop`], and the second of them into [`Lifecycle::abort`].
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn watch_signals(&self) -> std::io::Result<()> {
        let mut term = unix::signal(unix::SignalKind::terminate())?;
        let mut int = unix::signal(unix::SignalKind::interrupt())?;
        let lifecycle = self.clone();
        // Not tracked: it lives as long as the process and owns nothing.
        tokio::spawn(async move {
            for stop in [Self::stop, Self::abort] {
                tokio::select! {
                    _ = term.recv() => tracing::info!("received SIGTERM"),
                    _ = int.recv() => tracing::info!("received SIGINT"),
                }
                stop(&lifecycle);
            }
        });
        Ok(())
    }

    /// Waits for a stop, then at most `grace` for the tasks, then aborts them and waits `last` more.
    pub async fn finish(&self, grace: Duration, last: Duration) -> Outcome {
        self.stopping().await;
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => {}
            () = self.aborting() => {}
            () = tokio::time::sleep(grace) => tracing::warn!(tasks = self.tasks.len(), "grace is over, dropping tasks"),
        }
        self.abort();
        let ended = tokio::time::timeout(last, self.tasks.wait()).await.is_ok();
        if !ended {
            tracing::error!(tasks = self.tasks.len(), "tasks did not end and are abandoned");
        }
        if ended && !self.crashed.load(Ordering::Acquire) { Outcome::Clean } else { Outcome::Failed }
    }
}

/// Notes a panic of the task that holds it.
struct CrashGuard {
    name: &'static str,
    lifecycle: Lifecycle,
}

impl Drop for CrashGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.name, "task panicked, stopping");
            self.lifecycle.crashed.store(true, Ordering::Release);
            self.lifecycle.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn waits_for_tasks_that_end_by_themselves() {
        let lifecycle = Lifecycle::new();
        let task = lifecycle.clone();
        lifecycle.spawn("polite", async move { task.stopping().await });
        lifecycle.stop();
        assert_eq!(lifecycle.finish(LONG, LONG).await, Outcome::Clean);
    }

    #[tokio::test(start_paused = true)]
    async fn aborts_tasks_after_the_grace() {
        let lifecycle = Lifecycle::new();
        let task = lifecycle.clone();
        lifecycle.spawn("stubborn", async move { task.aborting().await });
        lifecycle.stop();
        assert_eq!(lifecycle.finish(Duration::from_secs(1), LONG).await, Outcome::Clean);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_never_ends_is_a_failure() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("stuck", std::future::pending::<()>());
        lifecycle.stop();
        assert_eq!(lifecycle.finish(Duration::from_secs(1), Duration::from_secs(1)).await, Outcome::Failed);
    }

    #[tokio::test]
    async fn a_panic_stops_the_process_with_failure() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("bad", async { panic!("on purpose") });
        assert_eq!(lifecycle.finish(LONG, LONG).await, Outcome::Failed);
    }
}
