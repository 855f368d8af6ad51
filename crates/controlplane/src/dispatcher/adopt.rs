//! Takes over what another process drove, and keeps the lease on what this one drives.

use std::{collections::HashSet, sync::Arc};

use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tracing::field::display;

use super::{
    Shared, conduct,
    drive::{Drive, Link},
    fence::Fence,
    live::Handle,
    ownership::RENEWAL,
};
use crate::{
    event::JobFeed,
    job::JobId,
    store::{self, Expected, Fate, Record},
};

/// Renews this process's lease until the process stops.
pub(super) async fn renew(shared: Arc<Shared>) {
    while rest(&shared).await {
        if let Err(error) = renew_once(&shared).await {
            tracing::error!(%error, "cannot renew the lease on this process's jobs");
        }
    }
}

/// False when the process stops.
async fn rest(shared: &Shared) -> bool {
    tokio::select! {
        () = sleep(RENEWAL) => true,
        () = shared.lifecycle.stopping() => false,
    }
}

async fn renew_once(shared: &Arc<Shared>) -> Result<(), store::Error> {
    if let Err(lease) = shared.ownership.renew(shared.store.as_ref()).await? {
        tracing::warn!("the lease on this process's jobs had lapsed: others may have taken them over");
        let held = shared.store.held(shared.ownership.plane).await?;
        give_up(shared, &held).await?;
        shared.ownership.hold(lease);
    }
    Ok(())
}

/// Looks for jobs whose process is gone, until this one stops.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut idle = HashSet::new();
    while rest(&shared).await {
        let tended = async {
            adopt(&shared).await?;
            reconcile(&shared, &mut idle).await
        };
        if let Err(error) = tended.await {
            tracing::error!(%error, "cannot look for jobs that nobody drives");
        }
    }
}

/// Takes over the attempts of dead processes.
pub(super) async fn adopt(shared: &Arc<Shared>) -> Result<(), store::Error> {
    for record in shared.store.adopt(shared.ownership.plane).await? {
        take_over(shared, record);
    }
    Ok(())
}

/// Compares what the store says this process drives with what it does: an answer of the store may have been lost. `idle`
/// are the jobs that nobody drove the last time.
async fn reconcile(shared: &Arc<Shared>, idle: &mut HashSet<JobId>) -> Result<(), store::Error> {
    let held = shared.store.held(shared.ownership.plane).await?;
    give_up(shared, &held).await?;
    let before = std::mem::take(idle);
    for record in held {
        let id = record.job.id;
        if let Some(handle) = shared.live.handle(id) {
            if record.cancel_requested {
                handle.cancel.cancel();
            }
        } else if shared.offered().contains(&id) {
            // A request sees to it.
        } else if !before.contains(&id) {
            // It may have been claimed a moment ago.
            idle.insert(id);
        } else if let Some(record) = shared.store.get(id).await?
            && record.owner == Some(shared.ownership.plane)
            && shared.live.handle(id).is_none()
        {
            tracing::warn!(job.id = %id, "job was held by this process but not driven");
            take_over(shared, record);
        }
    }
    Ok(())
}

/// Stops driving what belongs to others now.
async fn give_up(shared: &Shared, held: &[Record]) -> Result<(), store::Error> {
    for (id, handle) in shared.live.all_driven() {
        if held.iter().any(|record| record.job.id == id) {
            continue;
        }
        // It may have begun or ended a moment ago: then there is nobody to hear this.
        let record = shared.store.get(id).await?;
        if record.is_none_or(|record| record.owner != Some(shared.ownership.plane)) && !shared.offered().contains(&id) {
            handle.superseded.cancel();
        }
    }
    Ok(())
}

/// Drives a job that belongs to this process now.
fn take_over(shared: &Arc<Shared>, record: Record) {
    // At once, so that nobody else does.
    let (feed, handle) = shared.live.drive(record.job.id);
    if record.cancel_requested {
        handle.cancel.cancel();
    }
    let taking = drive(Arc::clone(shared), record, feed, handle);
    shared.lifecycle.spawn("take over", shared.drives.track_future(taking));
}

async fn drive(shared: Arc<Shared>, record: Record, feed: JobFeed, handle: Handle) {
    shared.fill_for(record.job.id, &feed).await;
    let mut job = record.job;
    let before = Expected { owner: record.owner, ..shared.mine(&job) };
    let is_conducted = job.is_conducted();
    let runs = is_conducted || job.attempts.last().is_some_and(|attempt| attempt.ended.is_none());
    if !runs {
        let fate = Fate::Waiting { due: Timestamp::now() };
        // Unwritten, it stays this process's, and is looked at again.
        let _ = shared.write_silently(&job, before, fate, &handle).await;
        return shared.let_go(job.id, &handle).await;
    }
    // Listeners count updates from here, so that none is taken for one that they have seen.
    "the control plane took the job over".clone_into(&mut job.message);
    job.milestones += 1;
    let by = shared.ownership.plane;
    let fate = if is_conducted { Fate::Conducted { by } } else { Fate::Driven { by, provisional: false } };
    let Ok(event) = shared.write(&job, before, fate, &handle).await else {
        return shared.let_go(job.id, &handle).await;
    };
    let parent = job.parent().map(display);
    tracing::info!(
        job.id = %job.id, job.parent = parent, attempt = job.attempt(), worker.address = job.worker(), "job taken over"
    );
    if is_conducted {
        handle.note(&job);
        feed.milestone_at(event.number, event.json.into());
        return conduct::start(&shared, job, feed, handle);
    }
    let lease = job.attempts.last().and_then(|attempt| attempt.worker.lease.clone());
    let fence = lease.map(|lease| Fence::taken_over(lease, Instant::now()));
    let drive = Drive::new(Arc::clone(&shared), job, feed, handle, fence);
    drive.tell(event);
    drive.run(Link::Lost("the control plane that drove it is gone".to_owned())).await;
}
