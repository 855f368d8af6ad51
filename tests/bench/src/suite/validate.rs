//! Validation as a part of the encode's time.

use anyhow::Result;
use e2e::{Sandbox, job};

use super::timeline::{Timeline, since};
use crate::{
    measure::{Finding, Series, Unit},
    plan::Plan,
    spy::Spy,
};

/// Name, level, preset.
const CASES: [(&str, &str, &str); 4] = [
    ("validate/mp4-standard", "standard", "720p_h264"),
    ("validate/hls-standard", "standard", "hls_720p_abr"),
    ("validate/mp4-strict", "strict", "720p_h264"),
    ("validate/hls-strict", "strict", "hls_720p_abr"),
];

/// Length of the film.
const SECONDS: u32 = 60;

/// From ffmpeg's exit to UPLOADING, by the time that ffmpeg took.
pub(super) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let sandbox = Sandbox::new();
    let spy = Spy::new(&sandbox);
    let input = sandbox.input(&plan.film(SECONDS));
    let mut findings = Vec::new();
    for (name, level, preset) in CASES {
        let worker = sandbox.worker().env("FFMPEG_PATH", &spy.path.display()).env("VALIDATION_LEVEL", level);
        let worker = worker.start().await;
        let plane = sandbox.plane(&[worker.address()]).start().await;
        let (mut parts, mut encodes) = (Vec::new(), Vec::new());
        for number in 0..plan.runs(3) {
            let job = job(&input, preset, "local", &format!("{name}/{number}.mp4"));
            let timeline = Timeline::of(&plane, &job).await?;
            let encode = spy.times()?;
            parts.push(since(timeline.uploading, encode.end).as_secs_f64() / encode.took.as_secs_f64() * 100.0);
            encodes.push(encode.took.as_secs_f64());
        }
        let encode = Series::from(encodes).median();
        let what = format!("{preset}, {SECONDS} s, {level}: validation ÷ encode ({encode:.1} s)");
        findings.push(Finding::new(name, what, Unit::Percent, Series::from(parts)));
    }
    Ok(findings)
}
