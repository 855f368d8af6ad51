//! Whose turn it is: the worker after the one that was chosen last.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The turn, shared by all requests.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    next: AtomicUsize,
}

impl Rotation {
    /// The order in which to ask workers, as indices into `avoided`: those to avoid come last.
    pub(super) fn order(&self, avoided: &[bool]) -> Vec<usize> {
        let count = avoided.len();
        let start = self.next.load(Ordering::Relaxed);
        let mut order: Vec<_> = (0..count).map(|offset| (start + offset) % count).collect();
        // Stable: within both groups the rotation holds.
        order.sort_by_key(|worker| avoided[*worker]);
        order
    }

    /// Notes that `worker` was chosen.
    pub(super) fn chosen(&self, worker: usize) {
        self.next.store(worker + 1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_after_the_last_chosen() {
        let rotation = Rotation::default();
        assert_eq!(rotation.order(&[false; 3]), [0, 1, 2]);
        rotation.chosen(0);
        assert_eq!(rotation.order(&[false; 3]), [1, 2, 0]);
        rotation.chosen(2);
        assert_eq!(rotation.order(&[false; 3]), [0, 1, 2]);
    }

    #[test]
    fn avoided_workers_come_last() {
        let rotation = Rotation::default();
        rotation.chosen(0);
        assert_eq!(rotation.order(&[false, true, false, true]), [2, 0, 1, 3]);
        assert_eq!(rotation.order(&[true; 4]), [1, 2, 3, 0]);
    }
}
