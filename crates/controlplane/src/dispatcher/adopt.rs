//! Takes over what another process drove, and keeps the lease on what this one drives.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::{
    Shared,
    drive::{Drive, Link},
    fence::Fence,
    ownership::RENEWAL,
};
use crate::{
    job::JobId,
    store::{self, Expected, Fate, Record},
};

/// Renews this process's lease and looks for jobs whose process is gone, until the process stops.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = sleep(RENEWAL) => {}
            () = shared.lifecycle.stopping() => return,
        }
        if let Err(error) = tend(&shared).await {
            tracing::error!(%error, "cannot renew the lease on this process's jobs");
        }
    }
}

async fn tend(shared: &Arc<Shared>) -> Result<(), store::Error> {
    if !shared.ownership.renew(shared.store.as_ref()).await? {
        tracing::warn!("the lease on this process's jobs had lapsed: others may have taken them over");
    }
    adopt(shared).await?;
    reconcile(shared).await
}

/// Takes over the attempts of dead processes.
pub(super) async fn adopt(shared: &Arc<Shared>) -> Result<(), store::Error> {
    for record in shared.store.adopt(shared.ownership.plane).await? {
        take_over(shared, record).await;
    }
    Ok(())
}

/// Compares what the store says this process drives with what it does: an answer of the store may have been lost.
async fn reconcile(shared: &Arc<Shared>) -> Result<(), store::Error> {
    // Looked at before the store is asked: what begins meanwhile is in one of the two.
    let mut driven = shared.live.all_driven();
    let busy = |id: JobId| shared.live.handle(id).is_some() || shared.offered().contains(&id);
    let held = shared.store.held(shared.ownership.plane).await?;
    driven.retain(|(id, _)| !held.iter().any(|record| record.job.id == *id));
    for (id, handle) in driven {
        // It may have ended or been given back a moment ago, then there is nobody to hear this.
        if shared.store.get(id).await?.is_none_or(|record| record.owner != Some(shared.ownership.plane)) {
            handle.superseded.cancel();
        }
    }
    for record in held.into_iter().filter(|record| !busy(record.job.id)) {
        let Some(record) = shared.store.get(record.job.id).await? else { continue };
        if record.owner == Some(shared.ownership.plane) && !busy(record.job.id) {
            tracing::warn!(job.id = %record.job.id, "job was held by this process but not driven");
            take_over(shared, record).await;
        }
    }
    Ok(())
}

/// Drives a job that belongs to this process now.
async fn take_over(shared: &Arc<Shared>, record: Record) {
    let (feed, handle) = shared.drive(record.job.id, record.cancel_requested).await;
    let mut job = record.job;
    let before = Expected { owner: record.owner, ..shared.mine(&job) };
    let runs = job.attempts.last().is_some_and(|attempt| attempt.ended.is_none());
    if !runs {
        let fate = Fate::Waiting { due: Timestamp::now() };
        // Unwritten, it stays this process's, and is looked at again.
        let _ = shared.write_silently(&job, before, fate, &handle).await;
        return shared.live.leave(job.id);
    }
    // Listeners count updates from here, so that none is taken for one that they have seen.
    "the control plane took the job over".clone_into(&mut job.message);
    job.milestones += 1;
    let fate = Fate::Driven { by: shared.ownership.plane, provisional: false };
    let Ok(event) = shared.write(&job, before, fate, &handle).await else {
        return shared.live.leave(job.id);
    };
    tracing::info!(job.id = %job.id, attempt = job.attempt(), worker.address = job.worker(), "job taken over");
    let lease = job.attempts.last().and_then(|attempt| attempt.worker.lease.clone());
    let fence = lease.map(|lease| Fence::taken_over(lease, Instant::now()));
    let mut drive = Drive::new(Arc::clone(shared), job, feed, handle, fence);
    drive.heard = true;
    drive.tell(event);
    shared.spawn(drive, Link::Lost("the control plane that drove it is gone".to_owned()));
}
