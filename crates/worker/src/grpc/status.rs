//! What a worker says about itself.

use futures_util::Stream;
use proto::v1::WorkerStatus;
use tonic::Status;

use super::Service;
use crate::{clock::millis, identity::Identity, task::Load};

/// What does not change while the worker runs.
#[derive(Debug)]
pub(crate) struct About {
    /// Its name in status and logs.
    pub(crate) worker_id: String,
    /// Which process it is.
    pub(crate) identity: Identity,
}

impl Service {
    /// The worker as it is now.
    pub(super) fn status(&self) -> WorkerStatus {
        let (registry, terms) = (&self.desk.registry, &self.desk.terms);
        let active_job_ids = registry.running();
        WorkerStatus {
            current_jobs: wire_count(active_job_ids.len()),
            max_concurrent_jobs: wire_count(registry.max()),
            active_job_ids,
            worker_id: self.about.worker_id.clone(),
            version: service::VERSION.to_owned(),
            instance_id: self.about.identity.instance.clone(),
            place_id: self.about.identity.place.clone(),
            clock_ms: terms.clock.now(),
            lease_ms: millis(terms.lasts),
            fence_ms: millis(terms.lasts.saturating_add(terms.margin)),
            splits: true,
            runtime_tasks: service::alive_tasks(),
        }
    }

    /// The worker now and whenever its load changes, until it stops and nothing runs any more. What changes while nobody
    /// reads is told as one change.
    pub(super) fn statuses(&self) -> impl Stream<Item = Result<WorkerStatus, Status>> + Send + use<> {
        let (service, mut load) = (self.clone(), self.desk.registry.load());
        async_stream::stream! {
            loop {
                let last = Load::is_last(*load.borrow_and_update());
                yield Ok(service.status());
                if last || load.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

fn wire_count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
