//! The right of a task to go on and to publish.
//!
//! A task notices by its cancellation token that it must stop. That is not enough for publishing: a process that was
//! paused wakes up after the end of its lease and acts before any timer has run. So each step that others can see asks
//! for permission directly before.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::lease::Lease;

/// The right of a task to go on and to publish. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Permit {
    stop: CancellationToken,
    /// `None` where the task belongs to its caller's stream.
    lease: Option<Lease>,
}

impl Permit {
    /// A permit until `stop` is cancelled and, where there is a lease, at most until it ends.
    pub(crate) fn new(stop: CancellationToken, lease: Option<Lease>) -> Self {
        Self { stop, lease }
    }

    /// A permit that ends with this one, or before.
    pub(crate) fn child(&self) -> Self {
        Self { stop: self.stop.child_token(), lease: self.lease.clone() }
    }

    /// Cancelled when the task must stop.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.stop
    }

    /// True where there is a lease.
    pub(crate) fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    /// True once the task must stop.
    pub(crate) fn is_over(&self) -> bool {
        self.stop.is_cancelled() || self.has_lapsed()
    }

    /// True once the lease has ended: nothing more may be published.
    pub(crate) fn has_lapsed(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| !lease.holds())
    }

    /// Ends when the lease does; never without one.
    pub(crate) async fn lapsed(&self) {
        match &self.lease {
            Some(lease) => lease.lapsed().await,
            None => std::future::pending().await,
        }
    }

    /// Time left for taking back what was published, at most `limit`. Zero once another attempt may have published in
    /// its place: then it must stay.
    pub(crate) fn time_to_take_back(&self, limit: Duration) -> Duration {
        self.lease.as_ref().map_or(limit, |lease| lease.left_to_take_back().min(limit))
    }
}

#[cfg(test)]
impl Permit {
    /// A permit without a lease.
    pub(crate) fn unleased() -> Self {
        Self::new(CancellationToken::new(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::tests::Hands, lease};

    #[test]
    fn a_permit_ends_with_its_token_or_with_its_lease() {
        let hands = Hands::default();
        let lease = Lease::begin(&lease::tests::terms(&hands), 0);
        let permit = Permit::new(CancellationToken::new(), lease);
        let stopped = permit.child();
        stopped.token().cancel();
        assert!(stopped.is_over() && !stopped.has_lapsed() && !permit.is_over());
        hands.set(1000);
        assert!(permit.is_over() && permit.has_lapsed());
    }

    #[test]
    fn without_a_lease_there_is_always_time_to_take_back() {
        let permit = Permit::unleased();
        permit.token().cancel();
        assert_eq!(permit.time_to_take_back(Duration::from_secs(5)), Duration::from_secs(5));
    }
}
