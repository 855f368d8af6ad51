//! What is measured: a figure of several runs, with its median and its spread.

use std::time::{Duration, Instant};

/// A figure.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// `benchmark/figure`; also its key in the table of targets.
    pub(crate) name: String,
    /// What the figure is, for people.
    pub(crate) what: String,
    /// What it is counted in.
    pub(crate) unit: Unit,
    /// One value a run.
    pub(crate) values: Series,
}

impl Finding {
    /// A figure of several runs.
    pub(crate) fn new(name: impl Into<String>, what: impl Into<String>, unit: Unit, values: Series) -> Self {
        Self { name: name.into(), what: what.into(), unit, values }
    }

    /// A figure that is one value.
    pub(crate) fn single(name: impl Into<String>, what: impl Into<String>, unit: Unit, value: f64) -> Self {
        Self::new(name, what, unit, Series::from(vec![value]))
    }
}

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// So many times the other side of a pair.
    Times,
    /// Hundredths.
    Percent,
    /// Milliseconds.
    Millis,
    /// A thousand bytes.
    Kilobytes,
    /// A million bytes.
    Megabytes,
    /// Millions of bytes a second.
    MegabytesPerSecond,
    /// Events a second.
    PerSecond,
    /// Processor cores that are busy.
    Cores,
    /// Things.
    Count,
}

impl Unit {
    /// Its sign, after the number.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Times => "×",
            Self::Percent => "%",
            Self::Millis => "ms",
            Self::Kilobytes => "kB",
            Self::Megabytes => "MB",
            Self::MegabytesPerSecond => "MB/s",
            Self::PerSecond => "/s",
            Self::Cores => "cores",
            Self::Count => "",
        }
    }
}

/// Values in order of size; never empty.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series(Vec<f64>);

impl From<Vec<f64>> for Series {
    fn from(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "a figure has values");
        values.sort_by(f64::total_cmp);
        Self(values)
    }
}

impl Series {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value in the middle, or between the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 { self.0[middle] } else { f64::midpoint(self.0[middle - 1], self.0[middle]) }
    }

    /// The value that so many hundredths of all do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).clamp(1, self.0.len());
        self.0[rank - 1]
    }

    /// The smallest and the largest.
    pub(crate) fn range(&self) -> (f64, f64) {
        (self.0[0], self.0[self.0.len() - 1])
    }
}

/// How long work takes, in seconds.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, f64) {
    let start = Instant::now();
    let result = work.await;
    (result, start.elapsed().as_secs_f64())
}

/// Milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "what is counted here stays far below 2^52")]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}

/// A length as a number to calculate with.
pub(crate) fn count(length: usize) -> f64 {
    real(u64::try_from(length).expect("a length fits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((Series::from(vec![3.0, 1.0, 2.0]).median() - 2.0).abs() < f64::EPSILON);
        assert!((Series::from(vec![4.0, 1.0, 2.0, 3.0]).median() - 2.5).abs() < f64::EPSILON);
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let hundred = Series::from((1..=100).map(real).collect::<Vec<_>>());
        assert!((hundred.percentile(99) - 99.0).abs() < f64::EPSILON);
        assert!((hundred.percentile(100) - 100.0).abs() < f64::EPSILON);
        assert!((Series::from(vec![7.0]).percentile(50) - 7.0).abs() < f64::EPSILON);
    }
}
