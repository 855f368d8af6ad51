//! A control plane with 200 workers that run 2,000 jobs, each of which reports twice a second.

use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::{Plane, Sandbox, job, until};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    measure::{Finding, Series, Unit},
    plan::Plan,
    process,
    stub::{Pace, Stub},
};

/// Time between two events of a job.
const PERIOD: Duration = Duration::from_millis(500);

/// How many jobs begin in a second while selections are timed.
const RATE: u32 = 20;

/// Workers, and how many jobs each of them runs.
#[derive(Debug, Clone, Copy)]
struct Size {
    workers: usize,
    each: usize,
}

/// First every worker has room left; then no worker has, and jobs begin where others end.
pub(super) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let size = plan.pick(Size { workers: 200, each: 10 }, Size { workers: 3, each: 2 });
    let mut findings = with_room(plan, size).await?;
    findings.extend(full(plan, size).await?);
    Ok(findings)
}

/// Jobs run steadily; then some more begin.
async fn with_room(plan: &Plan, size: Size) -> Result<Vec<Finding>> {
    let extra = RATE * plan.pick(20, 1);
    let more = usize::try_from(extra)?.div_ceil(size.workers) + 1;
    let fleet = Fleet::start(size.workers, size.each + more).await?;
    fleet.run_jobs(size.workers * size.each).await?;
    let (mut cores, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..plan.runs(5) {
        cores.push(fleet.cores(plan.pick(Duration::from_secs(5), Duration::from_millis(100))).await?);
        memory.push(process::memory(fleet.plane.daemon.pid())? / 1e6);
    }
    let before = Selections::of(&fleet.plane).await?;
    let start = Instant::now();
    for number in 0..extra {
        sleep_until(start + Duration::from_secs(1) * number / RATE).await;
        fleet.post().await;
    }
    fleet.all_run(size.workers * size.each + usize::try_from(extra)?).await;
    let selections = Selections::of(&fleet.plane).await?.since(&before);
    let what = format!("{} workers, {} jobs at 2 events/s", size.workers, size.workers * size.each);
    let mut findings = vec![
        Finding::new("fleet/cpu", format!("{what}: processor"), Unit::Cores, Series::from(cores)),
        Finding::new("fleet/memory", format!("{what}: memory"), Unit::Megabytes, Series::from(memory)),
    ];
    let names = ["fleet/selection-p50", "fleet/selection-p99"];
    findings.extend(selections.findings(names, &format!("{what}, all with room")));
    Ok(findings)
}

/// As many jobs wait as end.
async fn full(plan: &Plan, size: Size) -> Result<Vec<Finding>> {
    let fleet = Fleet::start(size.workers, size.each).await?;
    let (slots, ends) = (size.workers * size.each, RATE * plan.pick(20, 1));
    fleet.run_jobs(slots).await?;
    for _ in 0..ends {
        fleet.post().await;
    }
    sleep(plan.pick(Duration::from_secs(1), Duration::ZERO)).await;
    let before = Selections::of(&fleet.plane).await?;
    let time = process::processor_time(fleet.plane.daemon.pid())?;
    let start = Instant::now();
    for number in 0..ends {
        sleep_until(start + Duration::from_secs(1) * number / RATE).await;
        // Somewhere else each time, as jobs end.
        fleet.workers[usize::try_from(number)? * 67 % size.workers].complete_one();
    }
    fleet.plane.metric("flux_jobs_waiting 0").await;
    fleet.all_run(slots).await;
    let took = start.elapsed();
    let used = process::processor_time(fleet.plane.daemon.pid())?.saturating_sub(time);
    let selections = Selections::of(&fleet.plane).await?.since(&before);
    let what = format!("{} full workers, a job ends and another begins {RATE} times a second", size.workers);
    let mut findings = selections.findings(["fleet/selection-full-p50", "fleet/selection-full-p99"], &what).to_vec();
    let cores = used.as_secs_f64() / took.as_secs_f64();
    findings.push(Finding::single("fleet/cpu-full", format!("{what}: processor"), Unit::Cores, cores));
    let rate = f64::from(ends) / took.as_secs_f64();
    findings.push(Finding::single("fleet/rate-full", format!("{what}: jobs begun"), Unit::PerSecond, rate));
    Ok(findings)
}

/// A control plane and its workers.
struct Fleet {
    plane: Plane,
    workers: Vec<Stub>,
    _sandbox: Sandbox,
}

impl Fleet {
    async fn start(workers: usize, slots: usize) -> Result<Self> {
        let sandbox = Sandbox::new();
        let mut stubs = Vec::new();
        for _ in 0..workers {
            stubs.push(Stub::start(slots, Pace::Every(PERIOD)).await?);
        }
        let addresses: Vec<_> = stubs.iter().map(|stub| stub.address).collect();
        let plane = sandbox.plane(&addresses).env("LOG_LEVEL", "warn").env("MAX_QUEUED_JOBS", "100000");
        Ok(Self { plane: plane.start().await, workers: stubs, _sandbox: sandbox })
    }

    async fn post(&self) {
        let job = job("https://media.example.com/film.mp4", "720p_h264", "s3", "films/film.mp4");
        self.plane.accepted(&job).await;
    }

    async fn run_jobs(&self, count: usize) -> Result<()> {
        for _ in 0..count {
            self.post().await;
        }
        self.all_run(count).await;
        Ok(())
    }

    async fn all_run(&self, count: usize) {
        let what = format!("{count} jobs run");
        until(&what, async || self.workers.iter().map(Stub::running).sum::<usize>() == count).await;
    }

    /// Processor cores that the control plane keeps busy.
    async fn cores(&self, time: Duration) -> Result<f64> {
        let (start, before) = (Instant::now(), process::processor_time(self.plane.daemon.pid())?);
        sleep(time).await;
        let used = process::processor_time(self.plane.daemon.pid())?.saturating_sub(before);
        Ok(used.as_secs_f64() / start.elapsed().as_secs_f64())
    }
}

/// How long selections took: for each bound in seconds, how many took no longer.
#[derive(Debug)]
struct Selections(Vec<(f64, f64)>);

impl Selections {
    async fn of(plane: &Plane) -> Result<Self> {
        let metrics = plane.metrics().await;
        let lines = metrics.lines().filter_map(|line| line.strip_prefix("flux_worker_selection_seconds_bucket{le=\""));
        let buckets = lines.map(|line| {
            let (bound, number) = line.split_once("\"} ").context("a bucket")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse()? };
            Ok((bound, number.parse()?))
        });
        Ok(Self(buckets.collect::<Result<_>>()?))
    }

    fn since(&self, before: &Self) -> Self {
        Self(self.0.iter().zip(&before.0).map(|((bound, now), (_, then))| (*bound, now - then)).collect())
    }

    /// The time that so many hundredths did not exceed, in milliseconds: even within a bucket.
    fn percentile(&self, percent: f64) -> f64 {
        let all = self.0.last().map_or(0.0, |(_, count)| *count);
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= all * percent / 100.0 && *count > below {
                let part = (all * percent / 100.0 - below) / (count - below);
                return if bound.is_finite() { (low + (bound - low) * part) * 1e3 } else { low * 1e3 };
            }
            (low, below) = (*bound, *count);
        }
        0.0
    }

    fn findings(&self, [half, most]: [&'static str; 2], what: &str) -> [Finding; 2] {
        let all = self.0.last().map_or(0.0, |(_, count)| *count);
        let figure = |name, percent| {
            let what = format!("{what}: {percent} % of {all:.0} selections");
            Finding::single(name, what, Unit::Millis, self.percentile(percent))
        };
        [figure(half, 50.0), figure(most, 99.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_lies_within_its_bucket() {
        let selections = Selections(vec![(0.001, 50.0), (0.002, 100.0), (f64::INFINITY, 100.0)]);
        assert!((selections.percentile(50.0) - 1.0).abs() < 1e-9);
        assert!((selections.percentile(75.0) - 1.5).abs() < 1e-9);
        assert!(Selections(vec![]).percentile(99.0).abs() < 1e-9);
    }
}
