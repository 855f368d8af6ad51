//! This process's lease on the jobs that it drives.
//!
//! While the lease holds, nobody else takes them over. Once it may have lapsed, this process must not keep tasks alive
//! any more: whoever took them over counts on their leases running out.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::store::{JobStore, PlaneId};

/// How long a lease lasts.
const LEASE: Duration = Duration::from_secs(15);

/// Time between two renewals.
pub(super) const RENEWAL: Duration = Duration::from_secs(4);

/// A lease that is not relied on yet.
#[derive(Debug)]
pub(super) struct NewLease(Instant);

/// The name of this process among the others, and its lease.
#[derive(Debug)]
pub(super) struct Ownership {
    pub(super) plane: PlaneId,
    /// Only a store that several processes share needs it to hold.
    shared: bool,
    until: Mutex<Instant>,
}

impl Ownership {
    /// A name without a lease.
    pub(super) fn new(shared: bool) -> Self {
        Self { plane: PlaneId::random(), shared, until: Mutex::new(Instant::now()) }
    }

    /// True while nobody can have taken this process's jobs over.
    pub(super) fn holds(&self) -> bool {
        !self.shared || Instant::now() < *self.until()
    }

    /// Renews the lease. `Err` with the new one when the last had lapsed: it is to be [held](Self::hold) only when it is
    /// known what was lost with the last.
    pub(super) async fn renew(&self, store: &dyn JobStore) -> Result<Result<(), NewLease>, crate::store::Error> {
        // Counted from before the store was asked: it counts from later.
        let lease = NewLease(Instant::now() + LEASE);
        if store.renew(self.plane, LEASE).await? {
            self.hold(lease);
            Ok(Ok(()))
        } else {
            Ok(Err(lease))
        }
    }

    /// Relies on a lease from now on.
    pub(super) fn hold(&self, NewLease(until): NewLease) {
        *self.until() = until;
    }

    fn until(&self) -> MutexGuard<'_, Instant> {
        // No code that can panic runs under this lock.
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
