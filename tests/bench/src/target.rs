//! What each figure must reach. A figure that is not here is told without a verdict.

use crate::measure::Finding;

/// A bound that a figure's median has to keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};

/// Name of a figure and its bound, in the figure's unit.
const TARGETS: &[(&str, Bound)] = &[
    ("overhead/mp4-5s", AtMost(150.0)),
    ("overhead/hls-5s", AtMost(150.0)),
    ("overhead/mp4-60s", AtMost(1.01)),
    ("overhead/hls-60s", AtMost(1.01)),
    ("overhead/mp4-60s-whole", AtMost(1.01)),
    ("overhead/hls-60s-whole", AtMost(1.01)),
    ("upload/file", AtMost(1.0)),
    ("upload/ladder", AtMost(1.0)),
    ("hls-tail/tail", AtMost(1_000.0)),
    ("validate/mp4-standard", AtMost(2.0)),
    ("validate/hls-standard", AtMost(2.0)),
    ("validate/mp4-strict", AtMost(15.0)),
    ("validate/hls-strict", AtMost(15.0)),
    ("submit/sqlite", AtLeast(0.3)),
    ("submit/half-load-p99", AtMost(10.0)),
    ("relay/listeners", AtLeast(10_000.0)),
    ("relay/p99-10000", AtMost(250.0)),
    ("relay/memory", AtMost(12.0)),
    ("fleet/cpu", AtMost(0.5)),
    ("fleet/memory", AtMost(150.0)),
    ("fleet/selection-p99", AtMost(5.0)),
    ("fleet/selection-full-p99", AtMost(5.0)),
    ("split/480p-60s", AtMost(0.9)),
    ("split/720p-60s", AtMost(0.9)),
    ("split/hls-60s", AtMost(0.9)),
    ("split/480p-300s", AtMost(0.9)),
    ("split/720p-300s", AtMost(0.9)),
    ("split/hls-300s", AtMost(0.9)),
    ("split/speedup", AtLeast(1.85)),
    ("split/scale-32", AtLeast(90.0)),
    ("split/scale-100", AtLeast(80.0)),
    ("split/size-720p", AtMost(2.0)),
    ("split/size-hls", AtMost(2.0)),
    ("split/ssim-720p", AtMost(1_000.0)),
    ("split/ssim-hls", AtMost(1_000.0)),
    ("split/short-5s", AtMost(1.05)),
    ("split/short-15s", AtMost(1.05)),
    ("start/worker", AtMost(20.0)),
    ("start/worker-memory", AtMost(15.0)),
    ("start/controlplane", AtMost(50.0)),
    ("start/controlplane-memory", AtMost(20.0)),
    // What a run of half an hour shows above the noise of an allocator.
    ("soak/worker-memory", AtMost(5.0)),
    ("soak/controlplane-memory", AtMost(5.0)),
    ("soak/files", AtMost(0.0)),
    ("soak/threads", AtMost(0.0)),
    ("soak/tasks", AtMost(0.0)),
    ("soak/tools", AtMost(0.0)),
    ("soak/scratch", AtMost(0.0)),
    ("soak/store", AtMost(5.0)),
];

/// How a figure stands to its bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Verdict {
    /// The bound.
    pub(crate) bound: Bound,
    /// Whether it is kept.
    pub(crate) met: bool,
    /// The part of the bound that is left, or by which it is missed, in hundredths; `None` where the bound is zero.
    pub(crate) margin_percent: Option<f64>,
}

/// How a figure stands to its bound, if it has one.
pub(crate) fn judge(finding: &Finding) -> Option<Verdict> {
    let (_, bound) = TARGETS.iter().find(|(name, _)| *name == finding.name)?;
    Some(bound.judge(finding.values.median()))
}

impl Bound {
    fn judge(self, value: f64) -> Verdict {
        let (limit, met) = match self {
            AtMost(limit) => (limit, value <= limit),
            AtLeast(limit) => (limit, value >= limit),
        };
        let margin_percent = (limit != 0.0).then(|| (value - limit).abs() / limit * 100.0);
        Verdict { bound: self, met, margin_percent }
    }

    /// The number.
    pub(crate) fn limit(self) -> f64 {
        match self {
            AtMost(limit) | AtLeast(limit) => limit,
        }
    }

    /// Its sign, before the number.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            AtMost(_) => "≤",
            AtLeast(_) => "≥",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = if self.met { "met" } else { "MISSED" };
        match self.margin_percent {
            Some(margin) if margin > 0.0 => write!(f, "{word} by {margin:.0} %"),
            Some(_) | None => f.write_str(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(AtMost(10.0), 8.0, "met by 20 %")]
    #[case(AtMost(10.0), 15.0, "MISSED by 50 %")]
    #[case(AtMost(10.0), 10.0, "met")]
    #[case(AtMost(0.0), 1.0, "MISSED")]
    #[case(AtLeast(0.3), 0.6, "met by 100 %")]
    #[case(AtLeast(0.3), 0.15, "MISSED by 50 %")]
    fn a_verdict_says_by_how_much(#[case] bound: Bound, #[case] value: f64, #[case] said: &str) {
        assert_eq!(bound.judge(value).to_string(), said);
    }

    #[test]
    fn each_figure_has_one_target() {
        let mut names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TARGETS.len());
    }
}
