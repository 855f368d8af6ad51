//! When a callback that did not arrive is tried again. Pure.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use jiff::{Timestamp, fmt::rfc2822};

use crate::store::Callback;

/// The last step of a schedule repeats.
const STEPS: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_mins(30),
    Duration::from_hours(1),
    Duration::from_hours(2),
];

/// When callbacks are tried again, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Pauses after the first failure and those that follow; the last one repeats.
    pub steps: [Duration; 7],
    /// How long after the end of the job.
    pub give_up: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { steps: STEPS, give_up: Duration::from_hours(24) }
    }
}

impl Schedule {
    /// When to try again a callback that has just failed; `None` when it is to be given up. A receiver may ask for a
    /// longer pause, though for no longer one than the longest.
    #[must_use]
    pub fn next(&self, callback: &Callback, now: Timestamp, asked: Option<Duration>) -> Option<Timestamp> {
        let [.., longest] = self.steps;
        let step = usize::try_from(callback.failures).ok().and_then(|failures| self.steps.get(failures));
        let pause = spread(callback, *step.unwrap_or(&longest)).max(asked.unwrap_or_default().min(longest));
        let next = now.checked_add(pause).ok()?;
        let last = callback.created_at.checked_add(self.give_up).ok()?;
        (next <= last).then_some(next)
    }
}

/// The pause, up to a fifth shorter or longer, so that callbacks that failed together do not come back together. The
/// random name of the callback is the dice.
fn spread(callback: &Callback, pause: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    (callback.id, callback.failures).hash(&mut hasher);
    let percent = u32::try_from(80 + hasher.finish() % 41).unwrap_or(100);
    pause * percent / 100
}

/// The header `Retry-After`: seconds, or a date.
#[must_use]
pub fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(header).ok()?;
    Duration::try_from(date.duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::{job::JobId, store::CallbackId};

    fn callback(id: u128, failures: u32) -> Callback {
        Callback {
            id: CallbackId(Uuid::from_u128(id)),
            job: JobId::from(Uuid::nil()),
            url: "http://h/".to_owned(),
            payload: "{}".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
            failures,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn pause(callback: &Callback, asked: Option<u64>) -> u64 {
        let next = Schedule::default().next(callback, at(0), asked.map(Duration::from_secs)).expect("another try");
        u64::try_from(next.as_second()).expect("later")
    }

    #[test]
    fn pauses_grow_until_a_day_is_over() {
        for (failures, seconds) in
            [(0, 5), (1, 30), (2, 120), (3, 600), (4, 1_800), (5, 3_600), (6, 7_200), (99, 7_200)]
        {
            let pause = pause(&callback(1, failures), None);
            assert!((seconds * 79 / 100..=seconds * 121 / 100).contains(&pause), "{failures}: {pause}");
        }
        let day = 24 * 3_600;
        assert_eq!(Schedule::default().next(&callback(1, 20), at(day - 60), None), None);
        assert_eq!(Schedule::default().next(&callback(1, 0), at(2 * day), None), None);
        assert!(Schedule::default().next(&callback(1, 0), at(day - 60), None).is_some());
    }

    #[test]
    fn callbacks_that_failed_together_come_back_apart() {
        let pauses: std::collections::BTreeSet<_> = (0..100).map(|id| pause(&callback(id, 5), None)).collect();
        assert!(pauses.len() > 10, "{pauses:?}");
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_pause_within_bounds() {
        assert_eq!(pause(&callback(1, 0), Some(600)), 600);
        assert_eq!(pause(&callback(1, 0), Some(u64::MAX)), 7_200);
        assert!(pause(&callback(1, 3), Some(1)) > 400, "not for a shorter one");
    }

    #[test]
    fn the_header_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 120 ", at(0)), Some(Duration::from_mins(2)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:01:30 GMT", at(60)), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:01:30 GMT", at(100)), None);
        for wrong in ["", "soon", "-1", "1.5"] {
            assert_eq!(retry_after(wrong, at(0)), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(header in ".{0,40}") {
            let _ = retry_after(&header, Timestamp::UNIX_EPOCH);
        }
    }
}
