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
    /// Names of what is added, and of the ratio. Short jobs are judged by the one, long ones by the other.
    names: [&'static str; 2],
    seconds: u32,
    preset: &'static str,
    split: &'static str,
    pairs: usize,
}

impl Case {
    const fn mp4(names: [&'static str; 2], seconds: u32, split: &'static str) -> Self {
        Self { names, seconds, preset: "720p_h264", split, pairs: if seconds > 5 { 3 } else { 9 } }
    }

    const fn hls(names: [&'static str; 2], seconds: u32, split: &'static str) -> Self {
        Self { preset: "hls_720p_abr", ..Self::mp4(names, seconds, split) }
    }
}

const CASES: [Case; 6] = [
    Case::mp4(["overhead/mp4-5s", "overhead/mp4-5s-ratio"], 5, "auto"),
    Case::hls(["overhead/hls-5s", "overhead/hls-5s-ratio"], 5, "auto"),
    Case::mp4(["overhead/mp4-60s-added", "overhead/mp4-60s"], 60, "auto"),
    Case::hls(["overhead/hls-60s-added", "overhead/hls-60s"], 60, "auto"),
    Case::mp4(["overhead/mp4-60s-whole-added", "overhead/mp4-60s-whole"], 60, "off"),
    Case::hls(["overhead/hls-60s-whole-added", "overhead/hls-60s-whole"], 60, "off"),
];

/// Pairs by hand and by the service, after one run that tells what the worker asks ffmpeg to do.
pub(super) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let sandbox = Sandbox::new();
    let spy = Spy::new(&sandbox);
    let watched = sandbox.worker().env("FFMPEG_PATH", &spy.path.display()).start().await;
    let worker = sandbox.worker().start().await;
    let mut findings = Vec::new();
    for case in CASES.iter().filter(|case| plan.wants(case.names[0])) {
        let input = sandbox.input(&plan.film(case.seconds));
        let learned = ByHand::learn(&sandbox, &watched, &spy, &input, case.preset).await?;
        let plane = sandbox.plane(&[worker.address()]).start().await;
        let (mut added, mut ratios) = (Vec::new(), Vec::new());
        for number in 0..plan.runs(case.pairs) {
            let by_hand = learned.encode_and_copy(&sandbox)?;
            let mut job = job(&input, case.preset, "local", &format!("{}/{number}.mp4", case.names[0]));
            job["split"] = case.split.into();
            let (_, by_service) = timed(plane.completed(&job)).await;
            added.push((by_service - by_hand) * 1e3);
            ratios.push(by_service / by_hand);
        }
        let what = |sign| {
            let Case { preset, seconds, split, .. } = case;
            format!("{preset}, {seconds} s, split: {split}: POST to COMPLETED {sign} ffmpeg by hand and cp")
        };
        findings.push(Finding::new(case.names[0], what("−"), Unit::Millis, Series::from(added)));
        findings.push(Finding::new(case.names[1], what("÷"), Unit::Times, Series::from(ratios)));
    }
    Ok(findings)
}
