//! One job on this worker, from its request to its terminal event.
//!
//! - [`order`]: a request that was checked
//! - [`registry`]: which jobs run
//! - [`denied`]: which attempts must not begin any more
//! - [`reporter`]: the events that a job's caller sees
//! - [`finish`]: the last tasks of a split job
//! - [`output`]: look at an output and publish it
//! - [`pipeline`]: prepare, encode, validate, publish, clean up

use std::{path::PathBuf, sync::Arc};

use proto::v1::JobProgress;
use service::{feed::Feed, lifecycle::Lifecycle};

use crate::{
    certificate::Version,
    clock::millis,
    encoder::Limits,
    input::Policy,
    lease::{Lease, Terms},
    media::known::Known,
    tool::Tools,
    uploader::{Author, S3Client, Storages},
    validator::Validator,
};

pub(crate) use denied::Denied;
pub(crate) use order::{Order, Rejection, Work, is_job_id};
pub(crate) use registry::{Control, Load, Refusal, Registry, Ticket};

mod denied;
mod failure;
mod finish;
mod order;
mod output;
mod pipeline;
mod registry;
mod reporter;

/// What every job on this worker needs.
#[derive(Debug)]
pub(crate) struct Workshop {
    pub(crate) tools: Tools,
    /// Which ffmpeg that is.
    pub(crate) ffmpeg: Version,
    pub(crate) inputs: Policy,
    /// What inputs were found to be.
    pub(crate) known: Known,
    pub(crate) limits: Limits,
    pub(crate) validator: Validator,
    pub(crate) storages: Storages,
    pub(crate) s3: S3Client,
    pub(crate) work_dir: PathBuf,
}

/// A job that was taken.
#[derive(Debug)]
pub(crate) struct Task {
    /// Its events, from the first.
    pub(crate) feed: Feed<JobProgress>,
    /// Stops it.
    pub(crate) control: Control,
}

/// Takes jobs. Clones share one desk.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    /// What jobs need.
    pub(crate) workshop: Arc<Workshop>,
    /// Which jobs run.
    pub(crate) registry: Registry,
    /// What leases have in common.
    pub(crate) terms: Terms,
    /// Attempts that somebody was told are not here.
    pub(crate) denied: Denied,
    /// Who waits for them.
    pub(crate) lifecycle: Lifecycle,
}

impl Desk {
    /// Starts a job, or says why not.
    pub(crate) fn start(&self, order: Order) -> Result<Task, Refusal> {
        let lease = match order.attempt {
            0 => None,
            _ => Some(Lease::begin(&self.terms, order.seen).ok_or(Refusal::Late)?),
        };
        let (feed, stop) = (Feed::new(), self.lifecycle.hard_token());
        let ticket = Ticket { attempt: order.attempt, lease, feed: feed.clone() };
        let admit = || self.registry.admit(&order.job_id, ticket, self.lifecycle.hard_token());
        let slot = if order.attempt == 0 {
            admit()?
        } else {
            self.denied.unless(&order.job_id, order.attempt, self.terms.clock.now(), admit).ok_or(Refusal::Late)??
        };
        let control = slot.control().clone();
        let reporter = reporter::Reporter::new(order.job_id.clone(), feed.clone());
        let job = pipeline::run(Arc::clone(&self.workshop), order, slot, reporter);
        self.lifecycle.spawn("job", async move {
            if let Some(kept) = job.await {
                tokio::select! {
                    () = kept.collected() => {}
                    () = stop.cancelled() => {}
                }
            }
        });
        Ok(Task { feed, control })
    }

    /// An attempt that runs here, or has ended here and is not forgotten. One that is not must not begin later: whoever
    /// asked counts on it.
    pub(crate) fn find(&self, job_id: &str, attempt: u32) -> Option<Ticket> {
        let now = self.terms.clock.now();
        // Whatever begins after that has a lease that is over.
        let until = now.saturating_add(millis(self.terms.lasts));
        self.denied.deny_unless(job_id, attempt, (now, until), || self.registry.find(job_id, attempt))
    }

    /// Forgets the result of an attempt, and what it has left for the next.
    pub(crate) async fn release(&self, job_id: String, attempt: u32) {
        self.registry.release(&job_id, attempt);
        if is_job_id(&job_id) {
            let workshop = Arc::clone(&self.workshop);
            // A disk that crashes this has said so before; nothing depends on it.
            let _ = tokio::task::spawn_blocking(move || workshop.storages.forget(&Author { job_id, attempt })).await;
        }
    }
}
