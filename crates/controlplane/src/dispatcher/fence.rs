//! Until when an attempt may still publish, as far as this side can know.
//!
//! The worker counts a lease from its own clock, as the renewal echoes it. So the lease cannot reach further than
//! `lasts` after the moment when this side heard that clock, whenever the renewal arrives.

use std::time::Duration;

use tokio::time::Instant;

use crate::job::attempt::Lease;

/// Renewals in the time that a lease lasts: a few may be lost, and little of it is gone when the last process dies.
const RENEWALS: u32 = 6;

/// What is known of an attempt's lease.
#[derive(Debug)]
pub(super) struct Fence {
    lease: Lease,
    /// The worker's clock, and when it was heard.
    clock: (u64, Instant),
    /// When the clock of the last renewal that was sent was heard.
    counted_from: Instant,
}

impl Fence {
    /// The fence of an attempt that is about to be submitted with `clock`, heard at `heard`.
    pub(super) fn new(lease: Lease, clock: u64, heard: Instant) -> Self {
        Self { lease, clock: (clock, heard), counted_from: heard }
    }

    /// The fence of an attempt that another process drove until at most now.
    pub(super) fn taken_over(lease: Lease, now: Instant) -> Self {
        Self::new(lease, 0, now)
    }

    /// Notes the worker's clock.
    pub(super) fn heard(&mut self, clock: u64, at: Instant) {
        if clock > self.clock.0 {
            self.clock = (clock, at);
        }
    }

    /// The clock to send with a renewal. From now on it counts as sent.
    pub(super) fn renewal(&mut self) -> u64 {
        self.counted_from = self.counted_from.max(self.clock.1);
        self.clock.0
    }

    /// The attempt cannot publish after this.
    pub(super) fn over_at(&self) -> Instant {
        self.counted_from + self.lease.fence
    }

    /// Time between two renewals.
    pub(super) fn pace(&self) -> Duration {
        self.lease.lasts / RENEWALS
    }

    /// What the worker promised.
    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fence(heard: Instant) -> Fence {
        let lease = Lease { instance: "a".to_owned(), place: "p".to_owned(), lasts: SECOND * 60, fence: SECOND * 75 };
        Fence::new(lease, 1_000, heard)
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_counts_from_when_its_clock_was_heard_not_from_when_it_was_sent() {
        let start = Instant::now();
        let mut fence = fence(start);
        assert_eq!(fence.over_at(), start + SECOND * 75);
        fence.heard(11_000, start + SECOND * 10);
        assert_eq!(fence.over_at(), start + SECOND * 75, "nothing was sent with it");
        assert_eq!(fence.renewal(), 11_000);
        assert_eq!(fence.over_at(), start + SECOND * 85);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_was_held_up_does_not_take_the_fence_back() {
        let start = Instant::now();
        let mut fence = fence(start);
        fence.heard(21_000, start + SECOND * 20);
        fence.renewal();
        fence.heard(11_000, start + SECOND * 30);
        assert_eq!(fence.renewal(), 21_000);
        assert_eq!(fence.over_at(), start + SECOND * 95);
    }
}
