//! Strikes with a fault, and takes it back when it is over.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{task::spawn_blocking, time::sleep};

use super::{
    fleet::Fleet,
    plan::{Fault, Kind},
    store::Store,
    watch::encoders,
};
use crate::Sandbox;

/// Strikes once, and ends with the fault. What is struck twice at a time is whole again when the first fault is over.
pub async fn strike(fleet: &Fleet, store: &Store, sandbox: &Sandbox, fault: Fault) {
    let Fault { kind, target, lasts, .. } = fault;
    match kind {
        Kind::KillWorker => fleet.workers[target].server.strike(Signal::SIGKILL, lasts),
        Kind::StopWorker => fleet.workers[target].server.strike(Signal::SIGTERM, lasts),
        Kind::KillPlane => fleet.planes[target].strike(Signal::SIGKILL, lasts),
        Kind::StopPlane => fleet.planes[target].strike(Signal::SIGTERM, lasts),
        Kind::KillS3 => fleet.s3.strike(Signal::SIGKILL, lasts),
        Kind::KillEncoder => kill_encoder(sandbox, target),
        Kind::BreakWorker => fleet.workers[target].gate.break_connections(),
        Kind::PauseWorker => {
            fleet.workers[target].server.pause();
            sleep(lasts).await;
            fleet.workers[target].server.resume();
        }
        Kind::PausePlane => {
            fleet.planes[target].pause();
            sleep(lasts).await;
            fleet.planes[target].resume();
        }
        Kind::CutWorker => {
            fleet.workers[target].gate.shut();
            sleep(lasts).await;
            fleet.workers[target].gate.open();
        }
        Kind::FreezeWorker => {
            fleet.workers[target].gate.freeze();
            sleep(lasts).await;
            fleet.workers[target].gate.open();
        }
        Kind::FillDisk => fill_disk(fleet, fault).await,
        Kind::StopStore => store.strike(lasts).await,
    }
}

fn kill_encoder(sandbox: &Sandbox, worker: usize) {
    let worker = format!("w{worker}");
    if let Some(encoder) = encoders(&sandbox.work_dir()).into_iter().find(|encoder| encoder.worker == worker) {
        // It may have ended in this moment.
        let _ = kill(Pid::from_raw(encoder.pid), Signal::SIGKILL);
    }
}

async fn fill_disk(fleet: &Fleet, fault: Fault) {
    let Some(disk) = fleet.workers[fault.target].disk.clone() else { return };
    let full = disk.clone();
    // Writing so much takes a moment. It cannot panic.
    let _ = spawn_blocking(move || full.fill()).await;
    sleep(fault.lasts).await;
    disk.free();
}
