//! Many workers of one slot that encode nothing, but take the time that an encode takes: is each of them always busy?
//!
//! Planning and joining take no time here: what is measured is how well the work is dealt out.

use std::time::Duration;

use anyhow::Result;
use e2e::{Sandbox, job};

use super::split;
use crate::{
    measure::{Finding, Series, Unit, count},
    plan::Plan,
    stub::{Encoder, Pace, Stub},
};

/// Length of the source in seconds.
const SOURCE: f64 = 7_200.0;

/// Names and numbers of workers.
const CASES: [(&str, usize); 2] = [("split/scale-32", 32), ("split/scale-100", 100)];

/// A core encodes video about as fast as it plays, and audio a hundred times as fast. Here everything is twice as fast:
/// the control plane has half of the time that it would have.
const VIDEO: f64 = 2.0;
const AUDIO: f64 = 200.0;

/// The time that the work takes if it is spread evenly, by the time that it takes.
pub(in crate::suite) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let source = plan.pick(SOURCE, 60.0);
    let encoder = Encoder { source, video: VIDEO * plan.pick(1.0, 50.0), audio: AUDIO };
    let mut findings = Vec::new();
    for (name, workers) in CASES {
        let workers = plan.pick(workers, 3);
        let sandbox = Sandbox::new();
        let mut stubs = Vec::new();
        for _ in 0..workers {
            stubs.push(Stub::start(1, Pace::Encodes(encoder)).await?);
        }
        let addresses: Vec<_> = stubs.iter().map(|stub| stub.address).collect();
        let plane = sandbox.plane(&addresses).env("LOG_LEVEL", "warn").env("SPLIT", "auto").start().await;
        let ideal = Duration::as_secs_f64(&encoder.work()) / count(workers);
        let mut efficiency = Vec::new();
        for _ in 0..plan.runs(1) {
            let job = job("https://media.example.com/film.mp4", "720p_h264", "s3", "films/film.mp4");
            efficiency.push(ideal / split(&plane, &job).await? * 100.0);
        }
        let what =
            format!("{workers} workers of one slot, {source} s of film: even share of the work ÷ POST to COMPLETED");
        findings.push(Finding::new(name, what, Unit::Percent, Series::from(efficiency)));
    }
    Ok(findings)
}
