//! How long a task may go on without hearing from its caller.
//!
//! A lease ends at a moment of the worker's own clock: some time after the moment that the caller has last seen, however
//! late the caller's words arrive. So the caller knows without asking when the task has certainly ended, and may try
//! the job elsewhere. A lease that has ended does not begin again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::clock::{Clock, millis};

/// How long nobody looks at a lease. Timers stand still while a machine is suspended, and the lease does not.
const LOOK: Duration = Duration::from_secs(1);

/// What every lease of a worker has in common.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// The clock that counts.
    pub(crate) clock: Clock,
    /// How long a renewal lasts (`ORPHAN_GRACE`).
    pub(crate) lasts: Duration,
    /// How long after the end of its lease a task may still take back what it has published.
    pub(crate) margin: Duration,
}

/// The lease of one task. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    terms: Terms,
    /// The end, on the terms' clock.
    until: Arc<AtomicU64>,
}

impl Lease {
    /// A lease from the moment that the caller has seen; `None` when it is over already, or when the moment has not come
    /// yet: then it was seen on another clock.
    pub(crate) fn begin(terms: &Terms, seen: u64) -> Option<Self> {
        let until = Arc::new(AtomicU64::new(seen.saturating_add(millis(terms.lasts))));
        let lease = Self { terms: terms.clone(), until };
        (seen <= terms.clock.now() && lease.holds()).then_some(lease)
    }

    /// Makes the lease last from a later moment. Never shortens it, and does not wake one that has ended.
    pub(crate) fn renew(&self, seen: u64) {
        let now = self.terms.clock.now();
        let later =
            |until| (now < until && seen <= now).then(|| until.max(seen.saturating_add(millis(self.terms.lasts))));
        // Nothing to renew is no error: the caller learns of the end from the task itself.
        let _ = self.until.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
    }

    /// True until the end.
    pub(crate) fn holds(&self) -> bool {
        !self.left().is_zero()
    }

    /// Ends when the lease does.
    pub(crate) async fn lapsed(&self) {
        loop {
            match self.left() {
                left if left.is_zero() => return,
                left => tokio::time::sleep(left.min(LOOK)).await,
            }
        }
    }

    /// Time left for taking back what was published; zero once another attempt may have published in its place.
    pub(crate) fn left_to_take_back(&self) -> Duration {
        let fence = self.until.load(Ordering::Acquire).saturating_add(millis(self.terms.margin));
        Duration::from_millis(fence.saturating_sub(self.terms.clock.now()))
    }

    fn left(&self) -> Duration {
        Duration::from_millis(self.until.load(Ordering::Acquire).saturating_sub(self.terms.clock.now()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::clock::tests::Hands;

    /// Leases of a second, with two more for taking back.
    pub(crate) fn terms(hands: &Hands) -> Terms {
        Terms { clock: hands.clock(), lasts: Duration::from_secs(1), margin: Duration::from_secs(2) }
    }

    fn lease(hands: &Hands) -> Lease {
        Lease::begin(&terms(hands), 0).expect("it has just begun")
    }

    #[test]
    fn a_lease_ends_at_its_moment() {
        let hands = Hands::default();
        let lease = lease(&hands);
        hands.set(999);
        assert!(lease.holds());
        hands.set(1000);
        assert!(!lease.holds());
    }

    #[test]
    fn a_lease_counts_from_what_the_caller_saw_not_from_when_it_was_heard() {
        let hands = Hands::default();
        let lease = lease(&hands);
        hands.set(900);
        lease.renew(100);
        hands.set(1099);
        assert!(lease.holds());
        hands.set(1100);
        assert!(!lease.holds());
    }

    #[test]
    fn an_older_renewal_does_not_shorten() {
        let hands = Hands::default();
        let lease = lease(&hands);
        hands.set(500);
        lease.renew(500);
        lease.renew(100);
        hands.set(1499);
        assert!(lease.holds());
    }

    #[test]
    fn what_has_ended_stays_ended() {
        let hands = Hands::default();
        let lease = lease(&hands);
        hands.set(1000);
        lease.renew(1000);
        assert!(!lease.holds());
    }

    #[test]
    fn a_request_that_was_held_up_begins_nothing() {
        let hands = Hands::default();
        hands.set(5000);
        assert!(Lease::begin(&terms(&hands), 4000).is_none());
        assert!(Lease::begin(&terms(&hands), 4001).is_some());
    }

    #[test]
    fn a_moment_that_has_not_come_was_seen_on_another_clock() {
        let hands = Hands::default();
        assert!(Lease::begin(&terms(&hands), 1).is_none());
        let lease = lease(&hands);
        lease.renew(u64::MAX);
        hands.set(1000);
        assert!(!lease.holds());
    }

    #[test]
    fn taking_back_has_a_little_longer() {
        let hands = Hands::default();
        let lease = lease(&hands);
        hands.set(2999);
        assert_eq!(lease.left_to_take_back(), Duration::from_millis(1));
        hands.set(3001);
        assert_eq!(lease.left_to_take_back(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_end_notices_a_clock_that_has_jumped() {
        let hands = Hands::default();
        let terms = Terms { lasts: Duration::from_hours(1), ..terms(&hands) };
        let lease = Lease::begin(&terms, 0).expect("it has just begun");
        let start = tokio::time::Instant::now();
        let suspended = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            hands.set(millis(Duration::from_hours(2)));
        };
        tokio::join!(lease.lapsed(), suspended);
        assert!(start.elapsed() <= LOOK);
    }
}
