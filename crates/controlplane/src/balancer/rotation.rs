//! Whose turn it is: the worker after the one that was chosen last.

use std::sync::atomic::{AtomicUsize, Ordering};

/// When a worker is asked: the first of these first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// It may have room.
    Likely,
    /// It had none when it was last heard of; it says so at once.
    Full,
    /// It was overtaken by another, and may take long.
    Slow,
}

/// The turn, shared by all requests.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    next: AtomicUsize,
}

impl Rotation {
    /// The order in which to ask workers, as indices into `turns`.
    pub(super) fn order(&self, turns: &[Turn]) -> Vec<usize> {
        let count = turns.len();
        let start = self.next.load(Ordering::Relaxed);
        let mut order: Vec<_> = (0..count).map(|offset| (start + offset) % count).collect();
        // Stable: within each group the rotation holds.
        order.sort_by_key(|worker| turns[*worker]);
        order
    }

    /// Notes that `worker` was chosen.
    pub(super) fn chosen(&self, worker: usize) {
        self.next.store(worker + 1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Turn::{Full, Likely, Slow},
        *,
    };

    #[test]
    fn starts_after_the_last_chosen() {
        let rotation = Rotation::default();
        assert_eq!(rotation.order(&[Likely; 3]), [0, 1, 2]);
        rotation.chosen(0);
        assert_eq!(rotation.order(&[Likely; 3]), [1, 2, 0]);
        rotation.chosen(2);
        assert_eq!(rotation.order(&[Likely; 3]), [0, 1, 2]);
    }

    #[test]
    fn full_workers_come_after_others_and_slow_ones_last() {
        let rotation = Rotation::default();
        rotation.chosen(0);
        assert_eq!(rotation.order(&[Likely, Slow, Likely, Full]), [2, 0, 3, 1]);
        assert_eq!(rotation.order(&[Slow; 4]), [1, 2, 3, 0]);
    }
}
