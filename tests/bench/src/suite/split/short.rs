//! Short clips: a service that may split must not be slower than one that may not.

use anyhow::Result;
use e2e::{Plane, Sandbox, job};

use crate::{
    measure::{Finding, Series, Unit, timed},
    plan::Plan,
};

/// Names and lengths in seconds.
const CASES: [(&str, u32); 2] = [("split/short-5s", 5), ("split/short-15s", 15)];

const PRESET: &str = "720p_h264";

/// The same jobs with and without leave to split, in pairs.
pub(in crate::suite) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().env("MAX_CONCURRENT_JOBS", &2).start().await;
    // The same control plane for both; its own length of chunks.
    let plane = sandbox.plane(&[worker.address()]).env("SPLIT", "auto").start().await;
    let mut findings = Vec::new();
    for (name, seconds) in CASES {
        let input = sandbox.input(&plan.film(seconds));
        let mut ratios = Vec::new();
        for number in 0..plan.runs(9) {
            let seconds = async |split| seconds_of(&plane, &input, split).await;
            let (auto, off) = if number % 2 == 0 {
                let off = seconds("off").await;
                (seconds("auto").await, off)
            } else {
                (seconds("auto").await, seconds("off").await)
            };
            ratios.push(auto / off);
        }
        let what = format!("{PRESET}, {seconds} s: POST to COMPLETED with split auto ÷ off");
        findings.push(Finding::new(name, what, Unit::Times, Series::from(ratios)));
    }
    Ok(findings)
}

async fn seconds_of(plane: &Plane, input: &str, split: &str) -> f64 {
    let mut order = job(input, PRESET, "local", &format!("short-{split}.mp4"));
    order["split"] = split.into();
    timed(plane.completed(&order)).await.1
}
