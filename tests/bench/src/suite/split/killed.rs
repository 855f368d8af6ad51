//! Two workers, of which one is killed at a random moment and started again, several times: the job completes, and its
//! output is the same byte by byte.

use std::{fs, path::Path, time::Duration};

use anyhow::{Result, ensure};
use e2e::{Plane, Sandbox, Worker, chaos::seed::Dice, job, sandbox};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::{film, plane, split};
use crate::{
    measure::{Finding, Series, Unit},
    plan::Plan,
};

/// Names and presets.
const CASES: [(&str, &str); 2] = [("split/killed-720p", "720p_h264"), ("split/killed-hls", "hls_720p_abr")];

const SECONDS: u32 = 60;

/// How often a worker is killed in a run.
const KILLS: usize = 3;

/// A run that nobody disturbs, then some that are.
pub(in crate::suite) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let sandbox = Sandbox::new();
    let input = sandbox.input(&film(plan, SECONDS));
    let mut workers = Vec::new();
    for _ in 0..2 {
        workers.push(sandbox.worker().env("MAX_CONCURRENT_JOBS", &1).start().await);
    }
    let addresses: Vec<_> = workers.iter().map(Worker::address).collect();
    let plane = plane(plan, &sandbox, &addresses, None).env("JOB_MAX_ATTEMPTS", &10).start().await;
    let mut findings = Vec::new();
    for (name, preset) in plan.pick(&CASES[..], &CASES[1..]) {
        let order = |path: &str| job(&input, preset, "local", &format!("{name}/{path}.mp4"));
        let output = |path: &str| sandbox.output_dir().join(format!("{name}/{path}.mp4"));
        let undisturbed = split(&plane, &order("whole")).await?;
        let mut ratios = Vec::new();
        for number in 0..plan.runs(5) {
            let path = format!("killed-{number}");
            let moments = moments(number, Duration::from_secs_f64(undisturbed));
            let took = disturbed(&plane, &mut workers, &order(&path), &moments).await?;
            same(&output("whole"), &output(&path))?;
            ratios.push(took / undisturbed);
        }
        let what =
            format!("{preset}, {SECONDS} s, two workers: one of them killed {KILLS} times ÷ undisturbed, same bytes");
        findings.push(Finding::new(*name, what, Unit::Times, Series::from(ratios)));
    }
    Ok(findings)
}

/// When a worker is killed, and which: random, but the same in each run of this number.
fn moments(number: usize, time: Duration) -> Vec<(Duration, usize)> {
    let mut dice = Dice::new(u64::try_from(number).expect("a few runs"), 0);
    let most = u64::try_from(time.as_millis()).expect("minutes");
    let mut moments: Vec<_> = (0..KILLS).map(|_| (dice.millis(0, most), usize::from(dice.percent(50)))).collect();
    moments.sort_unstable();
    moments
}

/// Seconds that the job takes while workers are killed at these moments after it began.
async fn disturbed(plane: &Plane, workers: &mut [Worker], job: &Value, moments: &[(Duration, usize)]) -> Result<f64> {
    let start = Instant::now();
    let kills = async {
        for (moment, number) in moments {
            sleep_until(start + *moment).await;
            let daemon = &mut workers[*number].daemon;
            daemon.crash().await;
            daemon.restart().await;
        }
    };
    tokio::join!(split(plane, job), kills).0
}

/// Fails unless both outputs have the same files with the same bytes.
fn same(one: &Path, other: &Path) -> Result<()> {
    let names = if one.is_dir() { sandbox::files(one) } else { Vec::new() };
    ensure!(names == sandbox::files(other), "{} has other files than {}", other.display(), one.display());
    let of = |output: &Path| {
        if names.is_empty() { vec![output.to_owned()] } else { names.iter().map(|name| output.join(name)).collect() }
    };
    for (one, other) in of(one).iter().zip(of(other)) {
        ensure!(fs::read(one)? == fs::read(&other)?, "{} differs from {}", other.display(), one.display());
    }
    Ok(())
}
