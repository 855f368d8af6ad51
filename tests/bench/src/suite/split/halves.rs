//! What there is to gain on a machine of two cores: both halves of a source at once, by hand with one thread each, against
//! the same ffmpeg command over all of it. Nothing is planned, joined or proved. Where this is hardly faster, no split job
//! is.

use anyhow::Result;

use super::{
    film_seconds,
    pairs::{Case, Site},
};
use crate::{
    measure::{Finding, Series, Unit},
    plan::Plan,
};

const CASES: [Case; 3] = [
    Case { name: "split-halves/480p-60s", seconds: 60, preset: "480p_h264" },
    Case { name: "split-halves/720p-60s", seconds: 60, preset: "720p_h264" },
    Case { name: "split-halves/hls-60s", seconds: 60, preset: "hls_720p_abr" },
];

/// Five pairs of each.
pub(in crate::suite) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let site = Site::start().await;
    let mut findings = Vec::new();
    for case in plan.pick(&CASES[..], &CASES[2..]).iter().filter(|case| plan.wants(case.name)) {
        let by_hand = site.learn(plan, *case).await?.by_hand;
        let half = film_seconds(plan, case.seconds) / 2.0;
        let mut ratios = Vec::new();
        for number in 0..plan.runs(5) {
            let halves = || by_hand.encode_halves(&site.sandbox, half);
            // Who comes first takes turns, in case the machine gets hotter.
            let early = if number % 2 == 0 { Some(halves()?) } else { None };
            let whole = by_hand.encode(&site.sandbox)?;
            ratios.push(early.map_or_else(halves, Ok)? / whole);
        }
        let what = format!("{}, {} s: both halves at once by hand ÷ all of it", case.preset, case.seconds);
        findings.push(Finding::new(case.name, what, Unit::Times, Series::from(ratios)));
    }
    Ok(findings)
}
