//! When and how the worker stops: idle, asked to, or forced.

use std::time::Duration;

use service::lifecycle::{Lifecycle, Outcome};

use crate::task::Registry;

/// How long a worker without a job waits for another one before it exits.
const IDLE_PAUSE: Duration = Duration::from_secs(1);

/// How long a stopped job has to clean up: end ffmpeg, abort uploads, remove its folder.
const CLEAN_UP: Duration = Duration::from_secs(15);

/// How long the last events have to reach the caller once no job runs.
pub(crate) const FLUSH: Duration = Duration::from_secs(1);

/// Stops the process once it is idle.
pub(crate) async fn stop_when_idle(lifecycle: Lifecycle, registry: Registry, first_job: Option<Duration>) {
    let unused = async {
        match first_job {
            Some(limit) => registry.unused(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = lifecycle.stopping() => {}
        () = registry.idle(IDLE_PAUSE) => {
            tracing::info!("no job for a second, stopping");
            lifecycle.stop();
        }
        () = unused => {
            tracing::info!("no job since the start, stopping");
            lifecycle.stop();
        }
    }
}

/// Ends when the server need not serve any more: a stop was asked for, no job runs and no result waits. Until then
/// callers may still listen to their tasks and renew leases, but no job is taken.
pub(crate) async fn served(lifecycle: Lifecycle, registry: Registry) {
    lifecycle.stopping().await;
    registry.close();
    registry.drained().await;
}

/// Waits for the end of everything, in this order: no new job; jobs end, or are stopped after `grace`; streams end.
pub(crate) async fn finish(lifecycle: &Lifecycle, grace: Duration) -> Outcome {
    lifecycle.finish(grace, CLEAN_UP).await
}
