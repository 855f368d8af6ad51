//! Moments as exact fractions of a second. Pure.

use std::{cmp::Ordering, fmt};

/// A moment or a length: an exact fraction of a second. Never divided by zero; not reduced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    numerator: i128,
    /// Positive.
    denominator: i128,
}

/// Numbers above this are cut: products of four must fit.
const MAX: i128 = 1 << 62;

impl Time {
    /// Zero, where the denominator is not positive.
    pub(super) fn new(numerator: i128, denominator: i128) -> Self {
        if denominator <= 0 {
            return Self::default();
        }
        Self { numerator, denominator }.reduced()
    }

    /// `1/12800`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (numerator, denominator) = text.split_once('/')?;
        let (numerator, denominator): (u32, u32) = (numerator.parse().ok()?, denominator.parse().ok()?);
        (denominator > 0).then(|| Self::new(numerator.into(), denominator.into()))
    }

    pub(super) fn times(self, count: i128) -> Self {
        Self { numerator: self.numerator.saturating_mul(count), ..self }.reduced()
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let numerator = self.numerator * other.denominator + other.numerator * self.denominator;
        Self { numerator, denominator: self.denominator * other.denominator }.reduced()
    }

    pub(super) fn minus(self, other: Self) -> Self {
        self.plus(other.times(-1))
    }

    pub(super) fn half(self) -> Self {
        Self { denominator: self.denominator * 2, ..self }.reduced()
    }

    /// Without its sign.
    pub(super) fn size(self) -> Self {
        Self { numerator: self.numerator.abs(), ..self }
    }

    /// The nearest whole number of `unit`s; `None` where the unit is zero.
    pub(super) fn count(self, unit: Self) -> Option<i128> {
        let (count, per) = (self.numerator * unit.denominator, self.denominator * unit.numerator);
        (per > 0).then(|| (2 * count + per).div_euclid(2 * per))
    }

    fn reduced(self) -> Self {
        let (mut a, mut b) = (self.numerator.unsigned_abs(), self.denominator.unsigned_abs());
        while b > 0 {
            (a, b) = (b, a % b);
        }
        let common = i128::try_from(a.max(1)).unwrap_or(1);
        let (numerator, denominator) = (self.numerator / common, self.denominator / common);
        Self { numerator: numerator.clamp(-MAX, MAX), denominator: denominator.clamp(1, MAX) }
    }
}

impl Default for Time {
    fn default() -> Self {
        Self { numerator: 0, denominator: 1 }
    }
}

impl PartialEq for Time {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Time {}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.numerator * other.denominator).cmp(&(other.numerator * self.denominator))
    }
}

/// In seconds, with as many digits as a frame needs.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let seconds = self.numerator as f64 / self.denominator as f64;
        let text = format!("{seconds:.3}");
        write!(f, "{} s", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_exact_and_read_well() {
        let frame = Time::new(1001, 30_000);
        assert_eq!(frame.times(30_000), Time::new(1001, 1));
        assert_eq!(frame.times(462).count(frame), Some(462));
        assert_eq!(frame.times(-1).size(), frame);
        assert_eq!(Time::new(462, 25).to_string(), "18.48 s");
        assert_eq!(Time::default().to_string(), "0 s");
        assert_eq!((Time::parse("1/0"), Time::parse("x")), (None, None));
        assert_eq!(frame.count(Time::default()), None);
    }

    proptest! {
        #[test]
        fn no_number_makes_it_overflow(n: i64, d: u32, m: i64, e: u32, count: i64) {
            let (a, b) = (Time::new(n.into(), d.into()), Time::new(m.into(), e.into()));
            let sum = a.times(count.into()).plus(b);
            let _ = (sum.minus(a) > b, sum.half().count(b.size()), sum.to_string());
        }
    }
}
