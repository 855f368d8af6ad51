//! Keeps the lease of an attempt alive while its stream is open, whatever else its driver waits for.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Shared, fence::Fence};
use crate::worker_client::{AttemptName, Connection};

/// A fence that the driver and its keeper share.
#[derive(Debug, Clone)]
pub(super) struct SharedFence(Arc<Mutex<Fence>>);

impl SharedFence {
    pub(super) fn new(fence: Fence) -> Self {
        Self(Arc::new(Mutex::new(fence)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Fence> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews until it is dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    /// Cancelled when the worker says that it does not know the attempt.
    pub(super) unknown: CancellationToken,
    /// Cancelled when nothing can be asked over the connection any more, though its streams may go on (RFC 9113, section
    /// 6.8).
    pub(super) closed: CancellationToken,
    _stop: DropGuard,
}

impl Keeper {
    /// Starts to renew over `connection`.
    pub(super) fn start(
        shared: &Arc<Shared>,
        fence: SharedFence,
        attempt: AttemptName,
        connection: Connection,
    ) -> Self {
        let (unknown, closed, stop) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let keep = keep(Arc::clone(shared), fence, attempt, connection, unknown.clone(), closed.clone());
        let stopped = stop.clone();
        let aborting = shared.lifecycle.hard_token();
        shared.lifecycle.spawn("keeper", async move {
            tokio::select! {
                () = keep => {}
                () = stopped.cancelled() => {}
                () = aborting.cancelled() => {}
            }
        });
        Self { unknown, closed, _stop: stop.drop_guard() }
    }
}

async fn keep(
    shared: Arc<Shared>,
    fence: SharedFence,
    attempt: AttemptName,
    connection: Connection,
    unknown: CancellationToken,
    closed: CancellationToken,
) {
    let (fence, connection, unknown, closed) = (&fence, &connection, &unknown, &closed);
    loop {
        let pace = fence.lock().pace();
        let limit = pace.min(shared.limits.question);
        let renew = || async move {
            let clock = fence.lock().renewal();
            match connection.renew(attempt, clock, limit).await {
                Ok(renewed) if renewed.known => fence.lock().heard(renewed.clock, Instant::now()),
                Ok(_) => return ControlFlow::Break(unknown),
                Err(error) => {
                    tracing::debug!(job.id = %attempt.job, error = error.chain(), "lease cannot be renewed");
                    if connection.is_closed() {
                        return ControlFlow::Break(closed);
                    }
                }
            }
            ControlFlow::Continue(())
        };
        if let ControlFlow::Break(end) = twice(|| shared.ownership.holds(), renew).await {
            return end.cancel();
        }
        sleep(pace).await;
    }
}

/// Renews twice: the first call hears the clock, and the second makes the lease last from it. Each only while the process's
/// own lease holds, which may lapse during the first: whoever took the job over counts on the worker's to run out.
async fn twice<B, F>(holds: impl Fn() -> bool, renew: impl Fn() -> F) -> ControlFlow<B>
where
    F: Future<Output = ControlFlow<B>>,
{
    for _ in 0..2 {
        if holds() {
            renew().await?;
        }
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible};

    use super::*;

    #[tokio::test]
    async fn who_may_have_lost_a_job_during_a_renewal_does_not_renew_again() {
        let (holds, renewals) = (Cell::new(true), Cell::new(0));
        let renew = || async {
            renewals.set(renewals.get() + 1);
            holds.set(false);
            ControlFlow::<Infallible>::Continue(())
        };
        assert!(twice(|| holds.get(), renew).await.is_continue());
        assert_eq!(renewals.get(), 1);
    }
}
