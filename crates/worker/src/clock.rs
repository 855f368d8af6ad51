//! The clock of leases: milliseconds since the machine started, also while it was suspended.

use std::{fmt, sync::Arc, time::Duration};

use nix::time::{ClockId, clock_gettime};

/// Reads a clock that never goes back. Clones share it. Tests have their own.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// The machine's.
    pub(crate) fn boot() -> Self {
        // A clock that cannot be read would let a lease last for ever; like this it ends at once.
        Self::new(|| clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(u64::MAX, |time| millis(time.into())))
    }

    /// A clock that is read by `now`.
    pub(crate) fn new(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Milliseconds since some moment.
    pub(crate) fn now(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// A duration as the wire has it.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A clock that stands still until it is set.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Hands(Arc<AtomicU64>);

    impl Hands {
        pub(crate) fn clock(&self) -> Clock {
            let hands = Arc::clone(&self.0);
            Clock::new(move || hands.load(Ordering::SeqCst))
        }

        pub(crate) fn set(&self, millis: u64) {
            self.0.store(millis, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_machines_clock_runs() {
        let clock = Clock::boot();
        let first = clock.now();
        assert!(first > 0 && first < u64::MAX && clock.now() >= first);
    }
}
