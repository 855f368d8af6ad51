//! What splitting costs in bytes and in quality: a part knows nothing of the parts before it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use e2e::{Sandbox, job, sandbox};

use super::{film, plane, split};
use crate::{
    measure::{Finding, Series, Unit, real},
    plan::Plan,
};

const SECONDS: u32 = 60;

/// A preset, and what a player opens of its best rendition.
#[derive(Debug, Clone, Copy)]
struct Case {
    preset: &'static str,
    names: [&'static str; 2],
    best: &'static str,
}

const CASES: [Case; 2] = [
    Case { preset: "720p_h264", names: ["split/size-720p", "split/ssim-720p"], best: "" },
    Case { preset: "hls_720p_abr", names: ["split/size-hls", "split/ssim-hls"], best: "720p/playlist.m3u8" },
];

/// Each job once in one piece and once in several: both always give the same bytes.
pub(in crate::suite) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let (sandbox, film) = (Sandbox::new(), film(plan, SECONDS));
    let worker = sandbox.worker().env("MAX_CONCURRENT_JOBS", &2).start().await;
    let plane = plane(plan, &sandbox, &[worker.address()], None).start().await;
    let input = sandbox.input(&film);
    let mut findings = Vec::new();
    for Case { preset, names: [size_name, ssim_name], best } in plan.pick(&CASES[..], &CASES[1..]) {
        let mut in_one_piece = job(&input, preset, "local", &format!("{preset}/one.mp4"));
        in_one_piece["split"] = "off".into();
        plane.completed(&in_one_piece).await;
        split(&plane, &job(&input, preset, "local", &format!("{preset}/several.mp4"))).await?;
        let [one, several] =
            ["one", "several"].map(|name| sandbox.output_dir().join(preset).join(format!("{name}.mp4")));
        let more = (real(size(&several)?) / real(size(&one)?) - 1.0) * 100.0;
        let what = format!("{preset}, {SECONDS} s: how much larger the output is for being split");
        findings.push(Finding::single(*size_name, what, Unit::Percent, more));
        let lost = ssim(&one.join(best), &film)? - ssim(&several.join(best), &film)?;
        let what = format!("{preset}, {SECONDS} s: millionths of SSIM lost for being split");
        findings.push(Finding::new(*ssim_name, what, Unit::Count, Series::from(vec![lost * 1e6])));
    }
    Ok(findings)
}

/// Bytes of a file, or of all below a folder.
fn size(output: &Path) -> Result<u64> {
    let paths: Vec<PathBuf> = if output.is_dir() {
        sandbox::files(output).iter().map(|name| output.join(name)).collect()
    } else {
        vec![output.to_owned()]
    };
    paths.iter().map(|path| Ok(std::fs::metadata(path)?.len())).sum()
}

/// How alike two films are, 0 to 1.
fn ssim(output: &Path, source: &Path) -> Result<f64> {
    // A folder's own name is no path.
    let output = output.components().collect::<PathBuf>();
    let alike = "[0:v]setpts=PTS-STARTPTS[a];[1:v]setpts=PTS-STARTPTS[b];[b][a]scale2ref[b][a];[a][b]ssim";
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-hide_banner", "-nostats", "-i"]).arg(&output).arg("-i").arg(source);
    let run = ffmpeg.args(["-filter_complex", alike, "-f", "null", "-"]).output()?;
    let said = String::from_utf8_lossy(&run.stderr);
    ensure!(run.status.success(), "{said}");
    let all = said.rsplit_once(" All:").and_then(|(_, rest)| rest.split_whitespace().next());
    Ok(all.context("ffmpeg tells no SSIM")?.parse()?)
}
