//! POST to COMPLETED against the same ffmpeg command run by hand, and `cp`. What is long enough is split, as it is unless
//! somebody says otherwise, and encoded whole for comparison.

use anyhow::Result;
use e2e::{Sandbox, job};

use super::by_hand::ByHand;
use crate::{
    measure::{Finding, Series, Unit, timed},
    plan::Plan,
    spy::Spy,
};

/// What is encoded, and how many pairs there are.
struct Case {
    /// What its names begin with.
    name: &'static str,
    seconds: u32,
    preset: &'static str,
    split: &'static str,
    pairs: usize,
}

impl Case {
    const fn mp4(name: &'static str, seconds: u32, split: &'static str) -> Self {
        Self { name, seconds, preset: "720p_h264", split, pairs: if seconds > SHORT { 3 } else { 15 } }
    }

    const fn hls(name: &'static str, seconds: u32, split: &'static str) -> Self {
        Self { preset: "hls_720p_abr", ..Self::mp4(name, seconds, split) }
    }
}

/// Jobs up to this many seconds are judged by what is added, longer ones by the ratio.
const SHORT: u32 = 5;

const CASES: [Case; 6] = [
    Case::mp4("overhead/mp4-5s", 5, "auto"),
    Case::hls("overhead/hls-5s", 5, "auto"),
    Case::mp4("overhead/mp4-60s", 60, "auto"),
    Case::hls("overhead/hls-60s", 60, "auto"),
    Case::mp4("overhead/mp4-60s-whole", 60, "off"),
    Case::hls("overhead/hls-60s-whole", 60, "off"),
];

/// One pair.
struct Pair {
    by_hand: f64,
    /// What it takes besides by hand to look at the source and the result.
    checks: f64,
    by_service: f64,
}

/// Pairs by hand and by the service, after one run that tells what the worker asks ffmpeg to do.
pub(super) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let sandbox = Sandbox::new();
    let spy = Spy::new(&sandbox);
    let watched = sandbox.worker().env("FFMPEG_PATH", &spy.path.display()).start().await;
    let worker = sandbox.worker().start().await;
    let mut findings = Vec::new();
    for case in CASES.iter().filter(|case| plan.wants(case.name)) {
        let input = sandbox.input(&plan.film(case.seconds));
        let learned = ByHand::learn(&sandbox, &watched, &spy, &input, case.preset).await?;
        let plane = sandbox.plane(&[worker.address()]).start().await;
        let mut pairs = Vec::new();
        for number in 0..plan.runs(case.pairs) {
            let (by_hand, checks) = learned.encode_and_copy(&sandbox, &input)?;
            let mut job = job(&input, case.preset, "local", &format!("{}/{number}.mp4", case.name));
            job["split"] = case.split.into();
            let (_, by_service) = timed(plane.completed(&job)).await;
            pairs.push(Pair { by_hand, checks, by_service });
        }
        findings.extend(case.findings(&pairs));
    }
    Ok(findings)
}

impl Case {
    fn findings(&self, pairs: &[Pair]) -> Vec<Finding> {
        let Self { name, seconds, preset, split, .. } = self;
        let of = |value: fn(&Pair) -> f64| Series::from(pairs.iter().map(value).collect::<Vec<_>>());
        let what = |said: &str| format!("{preset}, {seconds} s, split: {split}: {said}");
        let added = |name, said| {
            Finding::new(name, what(said), Unit::Millis, of(|pair| (pair.by_service - pair.by_hand) * 1e3))
        };
        let ratio = |name, said| Finding::new(name, what(said), Unit::Times, of(|pair| pair.by_service / pair.by_hand));
        let (minus, over) = ("POST to COMPLETED − ffmpeg by hand and cp", "POST to COMPLETED ÷ ffmpeg by hand and cp");
        if *seconds > SHORT {
            return vec![added(format!("{name}-added"), minus), ratio((*name).to_owned(), over)];
        }
        let (checks, own) =
            ("ffprobe of the source; ffprobe and decode of the result, by hand", "what is added − that");
        let own_of = of(|pair| (pair.by_service - pair.by_hand - pair.checks) * 1e3);
        vec![
            added((*name).to_owned(), minus),
            ratio(format!("{name}-ratio"), over),
            Finding::new(format!("{name}-checks"), what(checks), Unit::Millis, of(|pair| pair.checks * 1e3)),
            Finding::new(format!("{name}-own"), what(own), Unit::Millis, own_of),
        ]
    }
}
