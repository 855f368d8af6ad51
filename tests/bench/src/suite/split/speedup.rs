//! Two workers of one slot, each bound to a core of its own, against one of them.

use anyhow::{Context as _, Result, ensure};
use e2e::{Daemon, Launch, Port, Sandbox, job, until};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use tokio::net::TcpStream;

use super::{film, plane, split};
use crate::{
    measure::{Finding, Series, Unit},
    plan::Plan,
};

const SECONDS: u32 = 300;
const PRESET: &str = "720p_h264";

/// The same jobs, by one and by two.
pub(in crate::suite) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let sandbox = Sandbox::new();
    let input = sandbox.input(&film(plan, SECONDS));
    let mut workers = Vec::new();
    for core in two_cores()? {
        workers.push(start_on(core, &sandbox).await?);
    }
    let addresses: Vec<_> = workers.iter().map(Daemon::address).collect();
    let one = plane(plan, &sandbox, &addresses[..1], None).start().await;
    let two = plane(plan, &sandbox, &addresses, None).start().await;
    let mut speedups = Vec::new();
    for number in 0..plan.runs(3) {
        let order = |who| job(&input, PRESET, "local", &format!("{who}-{number}.mp4"));
        let alone = split(&one, &order("one")).await?;
        speedups.push(alone / split(&two, &order("two")).await?);
    }
    let what = format!("{PRESET}, {SECONDS} s: two workers of one slot and one core each, against one of them");
    Ok(vec![Finding::new("split/speedup", what, Unit::Times, Series::from(speedups))])
}

/// The first two cores that this process may use.
fn two_cores() -> Result<[usize; 2]> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let mut cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
    cores.next().zip(cores.next()).map(Into::into).context("needs two cores")
}

/// A worker of one slot that only ever runs on this core, and what it starts too.
async fn start_on(core: usize, sandbox: &Sandbox) -> Result<Daemon> {
    let (launch, port) = sandbox.worker().env("MAX_CONCURRENT_JOBS", &1).launch();
    let address = port.address();
    let mut daemon = spawn_on(core, launch, port)?;
    until("the worker listens", async || daemon.ended().is_some() || TcpStream::connect(address).await.is_ok()).await;
    ensure!(daemon.ended().is_none(), "the worker has ended: {}", daemon.log());
    Ok(daemon)
}

/// A child runs where the thread that starts it runs. Nothing else may be done by this thread in between.
fn spawn_on(core: usize, launch: Launch, port: Port) -> Result<Daemon> {
    let this_thread = Pid::from_raw(0);
    let (before, mut only) = (sched_getaffinity(this_thread)?, CpuSet::new());
    only.set(core)?;
    sched_setaffinity(this_thread, &only)?;
    let daemon = Daemon::spawn(launch, port);
    sched_setaffinity(this_thread, &before)?;
    Ok(daemon)
}
