//! A load of jobs against the real binaries while everything is killed, paused, cut off and filled up: no accepted job
//! may be lost, and none may be published twice or half.
//!
//! Faults and jobs are functions of the seed ([`mod@plan`], [`load`]); what the machine makes of them is not. Everything
//! that must never be is a violation in the [`tally`].
//!
//! - [`fleet`], [`server`], [`disk`], [`store`] – what runs, and its supervisor
//! - [`mod@strike`] – the faults
//! - [`client`], [`drive`], [`listener`], [`story`], [`callbacks`] – the clients, and what they are told
//! - [`watch`] – what is published and what runs, while it happens
//! - [`output`], [`family`], [`verify`], [`mod@leftovers`] – what must hold in the end

pub mod callbacks;
pub mod client;
pub mod disk;
pub mod drive;
pub mod family;
pub mod fleet;
pub mod leftovers;
pub mod listener;
pub mod load;
pub mod output;
pub mod places;
pub mod plan;
pub mod seed;
pub mod server;
pub mod sources;
pub mod store;
pub mod story;
pub mod strike;
pub mod tally;
pub mod verify;
pub mod watch;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use self::{
    callbacks::Callbacks,
    client::Client,
    drive::{Driver, Ended},
    fleet::Fleet,
    leftovers::leftovers,
    places::Places,
    plan::{Fault, Kind, plan},
    seed::Dice,
    store::Store,
    strike::strike,
    tally::Tally,
    watch::Watch,
};
use crate::Sandbox;

/// How long jobs and callbacks may take once nothing is struck any more.
const DRAIN: Duration = Duration::from_mins(5);

/// How long servers may take to start.
const START: Duration = Duration::from_secs(30);

/// How long servers may take to stop.
const STOP: Duration = Duration::from_secs(40);

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What decides on faults and jobs.
    pub seed: u64,
    /// How long jobs are asked for and faults strike.
    pub time: Duration,
    /// Where jobs are written down.
    pub store: store::Kind,
    /// How many control planes there are.
    pub planes: usize,
    /// How many jobs there are at a time, at most.
    pub jobs_at_once: usize,
    /// Keep the folder of the run even where all went well.
    pub keep: bool,
}

/// Runs it all, and tells what was counted.
pub async fn run(options: Options) -> Arc<Tally> {
    let (tally, mut sandbox) = (Arc::new(Tally::default()), Sandbox::new());
    println!("seed {}, {} s, folder {}", options.seed, options.time.as_secs(), sandbox.path().display());
    let store = Store::start(options.store).await;
    let fleet = Arc::new(Fleet::prepare(&sandbox, options.planes, store.url().as_deref()).await);
    let mut background = JoinSet::new();
    background.spawn(Arc::clone(&fleet).supervise(Arc::clone(&tally)));
    if !fleet.ready(fleet.servers(), START, &tally).await {
        return tally;
    }
    let watch = Watch::new(sandbox.work_dir(), Arc::clone(&tally));
    background.spawn(Arc::clone(&watch).run(Arc::clone(&fleet)));
    let (callbacks, callbacks_url) = Callbacks::start(Arc::clone(&tally)).await;
    let client = Client::new(Arc::clone(&fleet), Arc::clone(&tally), Instant::now() + options.time + DRAIN);
    let driver = Arc::new(Driver {
        client: client.clone(),
        fleet: Arc::clone(&fleet),
        watch: Arc::clone(&watch),
        places: Places::new(&sandbox),
        seed: options.seed,
        callbacks: callbacks_url,
        looking: Semaphore::new(1),
        bytes: family::Bytes::default(),
    });
    let (ended, kills) = tokio::join!(load(&driver, options), faults(&fleet, &store, &sandbox, options, &tally));
    tally.say("every job has ended");
    verify::verify(&client, &ended, &callbacks).await;
    watch.look_at_files();
    family::removed(&driver.places, &tally).await;
    stop(&fleet, &tally).await;
    background.shutdown().await;
    leftovers(&sandbox, &driver.places, &ended, &kills, &tally).await;
    if options.keep || tally.violations() > 0 {
        sandbox.keep();
        tally.say(format!("logs and outputs stay in {}", sandbox.path().display()));
    }
    tally
}

/// Asks for jobs until the time is over, and waits for their ends.
async fn load(driver: &Arc<Driver>, options: Options) -> Vec<Ended> {
    let (end, mut dice) = (Instant::now() + options.time, Dice::new(options.seed, 2));
    let (mut jobs, mut ended, mut number) = (JoinSet::new(), Vec::new(), 0);
    while Instant::now() < end {
        if jobs.len() < options.jobs_at_once {
            jobs.spawn(Arc::clone(driver).drive(number));
            number += 1;
        }
        sleep(dice.millis(50, 900)).await;
        while let Some(job) = jobs.try_join_next() {
            ended.extend(job.ok().flatten());
        }
    }
    driver.client.tally.say(format!("{number} jobs asked for; waiting for {} of them", jobs.len()));
    while let Some(job) = jobs.join_next().await {
        ended.extend(job.ok().flatten());
    }
    ended
}

/// Strikes as planned, and tells when workers and the S3 server were killed.
async fn faults(fleet: &Fleet, store: &Store, sandbox: &Sandbox, options: Options, tally: &Tally) -> Vec<SystemTime> {
    let shape = fleet.shape(store);
    if !shape.disk {
        tally.say("no disk is filled: this process may not mount one");
    }
    let start = Instant::now();
    let each = plan(options.seed, options.time, shape).into_iter().map(|fault| async move {
        sleep_until(start + fault.at).await;
        tally.say(line(fault));
        tally.count("faults", fault.kind.name());
        let at = SystemTime::now();
        strike(fleet, store, sandbox, fault).await;
        matches!(fault.kind, Kind::KillWorker | Kind::KillS3).then_some(at)
    });
    let kills = futures_util::future::join_all(each).await;
    tally.say("no more faults");
    kills.into_iter().flatten().collect()
}

fn line(Fault { kind, target, lasts, .. }: Fault) -> String {
    format!("{kind:<22} {target}  for {:5.2} s", lasts.as_secs_f64())
}

/// Ends the control planes first, and then the workers, as soon as each has started once more while all is well: what
/// those that were killed have left is theirs to clean up.
async fn stop(fleet: &Fleet, tally: &Tally) {
    fleet.retire(fleet.planes.iter(), STOP, tally).await;
    let workers = || fleet.workers.iter().map(|worker| &worker.server);
    fleet.retire(workers(), STOP, tally).await;
    workers().for_each(server::Server::revive);
    fleet.ready(workers(), START, tally).await;
    fleet.retire(workers(), STOP, tally).await;
    fleet.retire([&fleet.s3].into_iter(), STOP, tally).await;
}
