//! Mixed jobs for half an hour, each kind at a rate of its own that the machine easily keeps up with: what grows?

mod rest;

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use e2e::{Plane, S3Server, Sandbox, Worker, clips, job, s3, sandbox};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use self::rest::Rest;
use crate::{
    measure::{Finding, Series, Unit, count, real},
    plan::Plan,
    process,
};

/// The part of the run that is the beginning: what is filled once is filled by then. And the part that is the end.
const WARM: (f64, f64) = (1.0 / 15.0, 1.0 / 6.0);

/// How often is looked.
const INTERVAL: Duration = Duration::from_secs(5);

/// Time between two jobs of a kind. One after the other as fast as they end, there would be more whenever the machine has
/// more time, and what is kept of them would grow.
const KINDS: [(Kind, Duration); 5] = [
    (Kind::File, Duration::from_secs(4)),
    (Kind::Ladder, Duration::from_secs(5)),
    (Kind::Bucket, Duration::from_secs(4)),
    (Kind::Cancelled, Duration::from_secs(1)),
    (Kind::Broken, Duration::from_millis(500)),
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    File,
    Ladder,
    Bucket,
    Cancelled,
    Broken,
}

/// What was seen at a moment.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    worker_memory: f64,
    plane_memory: f64,
    store: f64,
}

/// Everything that runs.
struct World {
    plane: Plane,
    worker: Worker,
    input: String,
    _s3: S3Server,
    sandbox: Sandbox,
}

/// Runs jobs and looks. What there is more of while jobs come and go (pools, threads for blocking calls) says nothing of
/// leaks; so both processes come to rest when they are warm, and again at the end.
pub(super) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let time = plan.pick(plan.soak, Duration::from_secs(3));
    let world = Arc::new(World::start().await);
    let (first, _) = busy(&world, time.mul_f64(WARM.0)).await?;
    let before = Rest::of(&world.plane, &world.worker, plan).await?;
    let (second, samples) = busy(&world, time).await?;
    let after = Rest::of(&world.plane, &world.worker, plan).await?;
    // Collected means: no tool, no work folder, no receipt.
    world.sandbox.clean().await;
    Ok(findings(&world, first + second, &samples, (&before, &after)))
}

/// Runs jobs of every kind for a while. Tells how many, and what was seen.
async fn busy(world: &Arc<World>, time: Duration) -> Result<(usize, Vec<Sample>)> {
    let start = Instant::now();
    let mut jobs = JoinSet::new();
    for (kind, period) in KINDS {
        let world = Arc::clone(world);
        jobs.spawn(async move { keep_on(&world, kind, period, start + time).await });
    }
    let mut samples = Vec::new();
    while start.elapsed() < time {
        samples.push(world.look()?);
        sleep(INTERVAL.min(time / 10)).await;
    }
    let mut run = 0;
    while let Some(done) = jobs.join_next().await {
        run += done??;
    }
    ensure!(run > 0, "no job ran");
    Ok((run, samples))
}

fn findings(world: &World, run: usize, samples: &[Sample], (before, after): (&Rest, &Rest)) -> Vec<Finding> {
    let percent = |of: fn(&Sample) -> f64| {
        let (early, late) = ends(&samples.iter().map(of).collect::<Vec<_>>());
        ((late.median() / early.median().max(1.0) - 1.0) * 100.0).max(0.0)
    };
    let more = |of: fn(&Rest) -> f64| (of(after) - of(before)).max(0.0);
    let single = |name, what: &str, unit, value| Finding::single(name, format!("{run} jobs: {what}"), unit, value);
    let growth = |name, what: &str, of| single(name, &format!("growth of {what}"), Unit::Percent, percent(of));
    let scratch = count(sandbox::files(&world.sandbox.work_dir()).len());
    let kinds = |what: &str, more: Vec<String>| [vec![what.to_owned()], more].concat().join(", ");
    let files = kinds("more open files at rest", after.files.more(&before.files));
    let threads = kinds("more threads at rest", after.threads.more(&before.threads));
    vec![
        growth("soak/worker-memory", "the worker's memory", |sample| sample.worker_memory),
        growth("soak/controlplane-memory", "the control plane's memory", |sample| sample.plane_memory),
        single("soak/files", &files, Unit::Count, more(|rest| rest.files.count())),
        single("soak/threads", &threads, Unit::Count, more(|rest| rest.threads.count())),
        single("soak/tasks", "more tasks of the runtimes at rest", Unit::Count, more(|rest| rest.tasks)),
        single("soak/tools", "tools that still run", Unit::Count, count(world.sandbox.tools().len())),
        single("soak/scratch", "files left in WORK_DIR", Unit::Count, scratch),
        growth("soak/store", "the store", |sample| sample.store),
    ]
}

/// The beginning, once warm, and the end.
fn ends(values: &[f64]) -> (Series, Series) {
    let at = |part: f64| values.len().saturating_sub(1).min(index(part * count(values.len())));
    let (warm, late) = (at(WARM.0), at(1.0 - WARM.1));
    (Series::from(values[warm..=at(WARM.0 + WARM.1)].to_vec()), Series::from(values[late..].to_vec()))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a small length")]
fn index(at: f64) -> usize {
    at as usize
}

impl World {
    async fn start() -> Self {
        let sandbox = Sandbox::new();
        let s3 = sandbox.s3().await;
        let worker = sandbox.worker().s3(&s3.endpoint(), s3::ACCESS_KEY, s3::SECRET_KEY);
        let worker = worker.env("MAX_CONCURRENT_JOBS", "3").env("LOG_LEVEL", "warn").start().await;
        let plane = sandbox.plane(&[worker.address()]).env("MAX_QUEUED_JOBS", "100").env("LOG_LEVEL", "warn");
        let plane = plane.env("JOB_RETENTION", "1m").start().await;
        let input = sandbox.input(&clips::short());
        Self { plane, worker, input, _s3: s3, sandbox }
    }

    fn look(&self) -> Result<Sample> {
        Ok(Sample {
            worker_memory: process::memory(self.worker.daemon.pid())?,
            plane_memory: process::memory(self.plane.daemon.pid())?,
            store: self.store(),
        })
    }

    /// Bytes of the job store.
    fn store(&self) -> f64 {
        let root = self.sandbox.path();
        let files = sandbox::files(root).into_iter().filter(|file| file.starts_with("data-"));
        real(files.filter_map(|file| fs::metadata(root.join(file)).ok()).map(|file| file.len()).sum())
    }
}

/// Runs jobs of a kind, one in each period, and tells how many.
async fn keep_on(world: &World, kind: Kind, period: Duration, end: Instant) -> Result<usize> {
    let (mut number, mut ticks) = (0, interval(period));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < end {
        ticks.tick().await;
        one(world, kind).await?;
        number += 1;
    }
    Ok(number)
}

async fn one(world: &World, kind: Kind) -> Result<()> {
    let World { plane, input, .. } = world;
    // The same places again and again: outputs are not what is to be seen growing.
    let (order, status) = match kind {
        Kind::File => (job(input, "480p_h264", "local", "soak/file.mp4"), "JOB_STATUS_COMPLETED"),
        Kind::Ladder => (job(input, "hls_720p", "local", "soak/ladder"), "JOB_STATUS_COMPLETED"),
        Kind::Bucket => (job(input, "480p_h264", "s3", "soak/bucket.mp4"), "JOB_STATUS_COMPLETED"),
        Kind::Cancelled => (job(input, "480p_h264", "local", "soak/cancelled.mp4"), ""),
        Kind::Broken => (job("file:///nowhere", "480p_h264", "local", "soak/broken.mp4"), "JOB_STATUS_FAILED"),
    };
    let id = plane.accepted(&order).await;
    if status.is_empty() {
        plane.cancel(&id).await;
    }
    let last = plane.events(&id).await.last().await;
    ensure!(status.is_empty() || last["status"] == status, "{kind:?}: {last}");
    Ok(())
}
