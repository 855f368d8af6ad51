//! Which jobs run, how many may, and whether new ones are taken. Admission is one step under one lock, so a worker can
//! neither run one job too many nor take one while it decides to exit.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Why a job is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Every slot is taken.
    #[error("every slot is taken")]
    Full,
    /// The worker is stopping.
    #[error("the worker is stopping")]
    Stopping,
    /// A job with this id runs here.
    #[error("a job with this id is running")]
    Duplicate,
}

/// The running jobs. Clones share one registry.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max: usize,
    jobs: Mutex<Jobs>,
    load: watch::Sender<Load>,
}

#[derive(Debug, Default)]
struct Jobs {
    running: BTreeMap<String, Control>,
    stopping: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Load {
    running: usize,
    ended: u64,
}

/// Stops one job from outside.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    stop: CancellationToken,
    requested: Arc<AtomicBool>,
}

impl Control {
    /// Stops the job because somebody asked for it.
    pub(crate) fn cancel(&self) {
        self.requested.store(true, Ordering::Release);
        self.stop.cancel();
    }

    /// Cancelled when the job must stop, for whatever reason.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.stop
    }

    /// True when it stops because somebody asked for it, and not because the worker stops.
    pub(crate) fn was_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }
}

/// A job's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    job_id: String,
    control: Control,
    registry: Registry,
}

impl Slot {
    /// How the job is stopped.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut jobs = self.registry.jobs();
        jobs.running.remove(&self.job_id);
        let running = jobs.running.len();
        self.registry.shared.load.send_modify(|load| *load = Load { running, ended: load.ended + 1 });
    }
}

impl Registry {
    /// A registry for `max` jobs at once.
    pub(crate) fn new(max: u32) -> Self {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let load = watch::Sender::new(Load::default());
        Self { shared: Arc::new(Shared { max, jobs: Mutex::default(), load }) }
    }

    /// Takes a job, or says why not. `stop` ends the job when the whole worker must end.
    pub(crate) fn admit(&self, job_id: &str, stop: CancellationToken) -> Result<Slot, Refusal> {
        let mut jobs = self.jobs();
        if jobs.stopping {
            return Err(Refusal::Stopping);
        }
        if jobs.running.contains_key(job_id) {
            return Err(Refusal::Duplicate);
        }
        if jobs.running.len() >= self.shared.max {
            return Err(Refusal::Full);
        }
        let control = Control { stop, requested: Arc::default() };
        jobs.running.insert(job_id.to_owned(), control.clone());
        let running = jobs.running.len();
        self.shared.load.send_modify(|load| load.running = running);
        Ok(Slot { job_id: job_id.to_owned(), control, registry: self.clone() })
    }

    /// Stops a job; false when it is not running here.
    pub(crate) fn cancel(&self, job_id: &str) -> bool {
        let control = self.jobs().running.get(job_id).cloned();
        control.inspect(Control::cancel).is_some()
    }

    /// Ids of the running jobs.
    pub(crate) fn running(&self) -> Vec<String> {
        self.jobs().running.keys().cloned().collect()
    }

    /// How many jobs may run at once.
    pub(crate) fn max(&self) -> usize {
        self.shared.max
    }

    /// Takes no more jobs.
    pub(crate) fn close(&self) {
        self.jobs().stopping = true;
    }

    /// Waits until no job runs.
    pub(crate) async fn drained(&self) {
        // The sender lives in `self`, so the channel cannot close.
        let _ = self.shared.load.subscribe().wait_for(|load| load.running == 0).await;
    }

    /// Waits until at least one job has ended and then none has run for `pause`; from then on no job is taken.
    pub(crate) async fn idle(&self, pause: Duration) {
        let mut load = self.shared.load.subscribe();
        loop {
            let Ok(idle) = load.wait_for(|load| load.running == 0 && load.ended > 0).await.map(|load| *load) else {
                return std::future::pending().await;
            };
            let disturbed = tokio::time::timeout(pause, load.wait_for(|load| *load != idle)).await;
            if disturbed.is_err() && self.close_if_still(idle) {
                return;
            }
        }
    }

    /// Waits until no job has come for `limit`; from then on none is taken. Never ends once one has come.
    pub(crate) async fn unused(&self, limit: Duration) {
        let mut load = self.shared.load.subscribe();
        let came = load.wait_for(|load| *load != Load::default());
        if tokio::time::timeout(limit, came).await.is_ok() || !self.close_if_still(Load::default()) {
            std::future::pending::<()>().await;
        }
    }

    fn close_if_still(&self, idle: Load) -> bool {
        let mut jobs = self.jobs();
        // Admission changes the load under this lock.
        jobs.stopping = jobs.stopping || *self.shared.load.borrow() == idle;
        jobs.stopping
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        // No code that can panic runs under this lock.
        self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    fn admit(registry: &Registry, id: &str) -> Result<Slot, Refusal> {
        registry.admit(id, CancellationToken::new())
    }

    #[test]
    fn never_more_jobs_than_slots() {
        let registry = Registry::new(2);
        let slots: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..12)
                .map(|id| {
                    scope.spawn({
                        let registry = &registry;
                        move || admit(registry, &id.to_string())
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(slots.iter().filter(|slot| slot.is_ok()).count(), 2);
        assert!(slots.iter().all(|slot| matches!(slot, Ok(_) | Err(Refusal::Full))));
    }

    #[test]
    fn a_slot_is_given_back_when_its_job_ends() {
        let registry = Registry::new(1);
        let slot = admit(&registry, "a").expect("free");
        assert_eq!(admit(&registry, "b").expect_err("full"), Refusal::Full);
        drop(slot);
        assert!(admit(&registry, "b").is_ok());
    }

    #[test]
    fn an_id_runs_once() {
        let registry = Registry::new(2);
        let _slot = admit(&registry, "a").expect("free");
        assert_eq!(admit(&registry, "a").expect_err("running"), Refusal::Duplicate);
    }

    #[test]
    fn only_a_running_job_can_be_cancelled() {
        let registry = Registry::new(1);
        let slot = admit(&registry, "a").expect("free");
        assert!(registry.cancel("a") && slot.control().token().is_cancelled() && slot.control().was_requested());
        assert!(!registry.cancel("b"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_without_a_job_yet_is_not_idle() {
        let registry = Registry::new(1);
        assert!(tokio::time::timeout(Duration::from_hours(1), registry.idle(PAUSE)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_nobody_uses_can_give_up() {
        let registry = Registry::new(1);
        registry.unused(PAUSE).await;
        assert_eq!(admit(&registry, "a").expect_err("too late"), Refusal::Stopping);
        let registry = Registry::new(1);
        let _slot = admit(&registry, "a").expect("free");
        assert!(tokio::time::timeout(PAUSE * 100, registry.unused(PAUSE)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_in_the_last_second_is_served() {
        let registry = Registry::new(1);
        drop(admit(&registry, "a"));
        let idle = tokio::spawn({
            let registry = registry.clone();
            async move { registry.idle(PAUSE).await }
        });
        tokio::time::sleep(PAUSE.mul_f32(0.9)).await;
        let slot = admit(&registry, "b").expect("not idle yet");
        tokio::time::sleep(PAUSE * 10).await;
        assert!(!idle.is_finished());
        drop(slot);
        idle.await.expect("no panic");
        assert_eq!(admit(&registry, "c").expect_err("too late"), Refusal::Stopping);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_job_in_the_last_second_starts_the_second_again() {
        let registry = Registry::new(1);
        drop(admit(&registry, "a"));
        let started = tokio::time::Instant::now();
        let idle = tokio::spawn({
            let registry = registry.clone();
            async move { registry.idle(PAUSE).await }
        });
        tokio::time::sleep(PAUSE.mul_f32(0.9)).await;
        drop(admit(&registry, "b"));
        idle.await.expect("no panic");
        assert!(started.elapsed() >= PAUSE.mul_f32(1.9));
    }
}
