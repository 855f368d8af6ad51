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

    /// Renews the lease. False when it had lapsed.
    pub(super) async fn renew(&self, store: &dyn JobStore) -> Result<bool, crate::store::Error> {
        // Counted from before the store was asked: it counts from later.
        let asked = Instant::now();
        let held = store.renew(self.plane, LEASE).await?;
        *self.until() = asked + LEASE;
        Ok(held)
    }

    fn until(&self) -> MutexGuard<'_, Instant> {
        // No code that can panic runs under this lock.
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
