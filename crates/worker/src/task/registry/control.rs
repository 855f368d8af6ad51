//! Stops one job from outside.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio_util::sync::CancellationToken;

use crate::{lease::Lease, permit::Permit};

/// Why a job was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Somebody asked for it.
    Requested,
    /// Nobody has renewed its lease.
    Lapsed,
    /// The worker stops.
    WorkerStops,
}

/// Stops one job from outside. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    permit: Permit,
    requested: Arc<AtomicBool>,
    released: CancellationToken,
}

impl Control {
    pub(super) fn new(stop: CancellationToken, lease: Option<Lease>) -> Self {
        Self { permit: Permit::new(stop, lease), requested: Arc::default(), released: CancellationToken::new() }
    }

    /// Stops the job because somebody asked for it.
    pub(crate) fn cancel(&self) {
        self.requested.store(true, Ordering::Release);
        self.permit.token().cancel();
    }

    /// The job's right to go on.
    pub(crate) fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Why it was stopped, if it was.
    pub(crate) fn reason(&self) -> Reason {
        match self.requested.load(Ordering::Acquire) {
            true => Reason::Requested,
            false if self.permit.has_lapsed() => Reason::Lapsed,
            false => Reason::WorkerStops,
        }
    }

    /// Says that nobody needs the result any more.
    pub(super) fn release(&self) {
        self.released.cancel();
    }

    /// Ends when nobody needs the result any more: it is written down, or nobody has asked for too long.
    pub(super) async fn unneeded(&self) {
        tokio::select! {
            () = self.released.cancelled() => {}
            () = self.permit.lapsed() => {}
        }
    }
}
