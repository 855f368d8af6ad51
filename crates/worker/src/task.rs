//! One job on this worker, from its request to its terminal event.
//!
//! - [`order`]: a request that was checked
//! - [`registry`]: which jobs run
//! - [`reporter`]: the events that a job's caller sees
//! - [`pipeline`]: prepare, encode, validate, publish, clean up

use std::{path::PathBuf, sync::Arc};

use proto::v1::JobProgress;
use service::{feed::Feed, lifecycle::Lifecycle};

use crate::{
    encoder::Limits,
    input::Policy,
    tool::Tools,
    uploader::{S3Client, Storages},
    validator::Validator,
};

pub(crate) use order::{Order, Rejection};
pub(crate) use registry::{Control, Refusal, Registry};

mod failure;
mod order;
mod pipeline;
mod registry;
mod reporter;

/// What every job on this worker needs.
#[derive(Debug)]
pub(crate) struct Workshop {
    pub(crate) tools: Tools,
    pub(crate) inputs: Policy,
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
    /// Who waits for them.
    pub(crate) lifecycle: Lifecycle,
}

impl Desk {
    /// Starts a job, or says why not.
    pub(crate) fn start(&self, order: Order) -> Result<Task, Refusal> {
        let slot = self.registry.admit(&order.job_id, self.lifecycle.hard_token())?;
        let (feed, control) = (Feed::new(), slot.control().clone());
        let reporter = reporter::Reporter::new(order.job_id.clone(), feed.clone());
        self.lifecycle.spawn("job", pipeline::run(Arc::clone(&self.workshop), order, slot, reporter));
        Ok(Task { feed, control })
    }
}
