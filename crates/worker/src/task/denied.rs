//! Attempts that must not begin here any more: a caller asked for them and was told that they are not here.
//!
//! The request that would begin one may still be on its way, over another connection. Its lease ends soon, so what is
//! denied can be forgotten soon.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many attempts are remembered at most. So many are asked for in vain only by a caller that makes them up.
const MAX: usize = 4096;

/// Attempts that must not begin here any more. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Denied(Arc<Mutex<VecDeque<Denial>>>);

#[derive(Debug)]
struct Denial {
    job_id: String,
    attempt: u32,
    /// On the worker's clock, in milliseconds.
    until: u64,
}

impl Denied {
    /// Runs `admit`, unless the attempt or a later one was denied.
    pub(crate) fn unless<T>(&self, job_id: &str, attempt: u32, now: u64, admit: impl FnOnce() -> T) -> Option<T> {
        let denials = self.denials();
        let denied = |denial: &Denial| denial.until > now && denial.job_id == job_id && denial.attempt >= attempt;
        // Under the lock, so that nobody is told meanwhile that it is not here.
        if denials.iter().any(denied) { None } else { Some(admit()) }
    }

    /// Runs `find`, and denies the attempt where that finds nothing, from `now` until then.
    pub(crate) fn deny_unless<T>(
        &self,
        job_id: &str,
        attempt: u32,
        (now, until): (u64, u64),
        find: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        let mut denials = self.denials();
        let found = find();
        if found.is_none() {
            let before = denials.iter().find(|denial| denial.until > now && denial.job_id == job_id);
            let attempt = before.map_or(attempt, |before| before.attempt.max(attempt));
            denials.retain(|denial| denial.until > now && denial.job_id != job_id);
            if denials.len() >= MAX {
                denials.pop_front();
            }
            denials.push_back(Denial { job_id: job_id.to_owned(), attempt, until });
        }
        found
    }

    fn denials(&self) -> MutexGuard<'_, VecDeque<Denial>> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(denied: &Denied, attempt: u32, now: u64) -> bool {
        denied.unless("a", attempt, now, || ()).is_some()
    }

    #[test]
    fn an_attempt_that_was_denied_does_not_begin_later() {
        let denied = Denied::default();
        assert_eq!(denied.deny_unless("a", 2, (0, 100), || None::<()>), None);
        assert!(!begins(&denied, 2, 99) && !begins(&denied, 1, 99));
        assert!(begins(&denied, 3, 99) && begins(&denied, 2, 100));
        assert!(denied.unless("b", 1, 0, || ()).is_some());
    }

    #[test]
    fn an_attempt_that_was_found_is_not_denied() {
        let denied = Denied::default();
        assert_eq!(denied.deny_unless("a", 1, (0, 100), || Some(7)), Some(7));
        assert!(begins(&denied, 1, 0));
    }

    #[test]
    fn memory_is_bounded() {
        let denied = Denied::default();
        for job in 0..2 * MAX {
            denied.deny_unless(&job.to_string(), 1, (0, 100), || None::<()>);
        }
        assert_eq!(denied.denials().len(), MAX);
        denied.deny_unless("a", 1, (100, 200), || None::<()>);
        assert_eq!(denied.denials().len(), 1);
    }
}
