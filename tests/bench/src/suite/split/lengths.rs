//! Which length of a chunk is best: the pairs of `split`, with one length after the other.

use anyhow::Result;

use super::{
    pairs::{Case, Site},
    plane,
};
use crate::{
    measure::{Finding, Series, Unit},
    plan::Plan,
};

const CASES: [Case; 6] = [
    Case { name: "split-lengths/480p-60s", seconds: 60, preset: "480p_h264" },
    Case { name: "split-lengths/720p-60s", seconds: 60, preset: "720p_h264" },
    Case { name: "split-lengths/hls-60s", seconds: 60, preset: "hls_720p_abr" },
    Case { name: "split-lengths/480p-300s", seconds: 300, preset: "480p_h264" },
    Case { name: "split-lengths/720p-300s", seconds: 300, preset: "720p_h264" },
    Case { name: "split-lengths/hls-300s", seconds: 300, preset: "hls_720p_abr" },
];

/// Lengths in seconds.
const LENGTHS: &[f64] = &[4.0, 6.0, 10.0, 15.0, 20.0, 30.0];

/// Rounds of ffmpeg by hand and each length.
pub(in crate::suite) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let site = Site::start().await;
    let lengths = plan.pick(LENGTHS, &[4.0]);
    let mut planes = Vec::new();
    for length in lengths {
        planes.push(plane(plan, &site.sandbox, &[site.worker.address()], Some(*length)).start().await);
    }
    let mut findings = Vec::new();
    for case in plan.pick(&CASES[..], &CASES[..1]) {
        let learned = site.learn(plan, *case).await?;
        let mut ratios = vec![Vec::new(); lengths.len()];
        for number in 0..plan.runs(3) {
            let by_hand = learned.by_hand.encode(&site.sandbox)?;
            for (plane, ratios) in planes.iter().zip(&mut ratios) {
                ratios.push(learned.by_service(plane, number).await? / by_hand);
            }
        }
        findings.extend(lengths.iter().zip(ratios).map(|(length, ratios)| {
            let (name, what) = (format!("{}-{length}", case.name), format!("chunks of {length} s: {}", learned.what()));
            Finding::new(name, what, Unit::Times, Series::from(ratios))
        }));
    }
    Ok(findings)
}
