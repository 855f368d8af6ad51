//! One progress event of each of a hundred jobs, to every listener of them: how late it is, and what a listener costs.

mod crowd;

use anyhow::{Result, ensure};
use e2e::{Plane, Sandbox, job, until};
use tokio::sync::watch;

use self::crowd::Crowd;
use crate::{
    measure::{Finding, Series, Unit, count},
    plan::Plan,
    process,
    stub::{Pace, Stub},
};

/// How many listeners there are, one stage after the other, and the figures of each.
const STAGES: [(usize, [&str; 2]); 3] = [
    (1, ["relay/p50-1", "relay/p99-1"]),
    (1_000, ["relay/p50-1000", "relay/p99-1000"]),
    (10_000, ["relay/p50-10000", "relay/p99-10000"]),
];

/// Files that a control plane keeps for workers, and some more for itself.
const SPARE: u64 = 4_200;

/// How far an event takes the progress of all jobs.
const STEP: f32 = 0.5;

/// More and more listeners, and some events at each stage.
pub(super) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let sandbox = Sandbox::new();
    let (tell, told) = watch::channel(0.0);
    let jobs = plan.pick(100, 4);
    let worker = Stub::start(jobs, Pace::Told(told)).await?;
    let plane = sandbox.plane(&[worker.address]).env("LOG_LEVEL", "warn").start().await;
    let mut crowd = Crowd::new(plane.address(), submit(&plane, &worker, jobs).await);
    let (mut findings, mut memory) = (Vec::new(), Vec::new());
    for (number, (size, names)) in STAGES.into_iter().enumerate() {
        let size = plan.pick(size, 1 + 16 * number);
        let files = u64::try_from(size)? + SPARE;
        ensure!(plan.smoke || process::open_files_limit() >= files, "needs a hard limit of {files} open files");
        crowd.grow(size).await?;
        let mut delays = Vec::new();
        for _ in 0..plan.pick(20, 2) {
            let progress = *tell.borrow() + STEP;
            tell.send_replace(progress);
            delays.extend(crowd.hear(progress).await?);
        }
        let delays = Series::from(delays);
        findings.extend(names.into_iter().zip([50, 99]).map(|(name, percent)| {
            let what = format!("{size} listeners, {jobs} jobs at once: {percent} % hear an event within");
            Finding::single(name, what, Unit::Millis, delays.percentile(percent))
        }));
        memory.push((count(size), process::memory(plane.daemon.pid())?));
    }
    findings.extend(costs(&memory));
    Ok(findings)
}

/// Posts jobs, and waits until all of them run.
async fn submit(plane: &Plane, worker: &Stub, jobs: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..jobs {
        let job = job("https://media.example.com/film.mp4", "720p_h264", "s3", &format!("films/{number}.mp4"));
        ids.push(plane.accepted(&job).await);
    }
    until("every job runs", async || worker.running() == jobs).await;
    ids
}

/// How much more memory the process has with all listeners than with one.
fn costs(memory: &[(f64, f64)]) -> [Finding; 2] {
    let ((one, little), (all, much)) = (memory[0], memory[memory.len() - 1]);
    let each = (much - little).max(0.0) / (all - one) / 1e3;
    [
        Finding::single("relay/listeners", "listeners that were held", Unit::Count, all),
        Finding::single("relay/memory", "memory of the control plane, each listener", Unit::Kilobytes, each),
    ]
}
