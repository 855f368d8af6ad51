//! The worker's gRPC service: decode, call, encode.

use std::pin::Pin;

use futures_util::Stream;
use proto::v1::{
    CancelRequest, CancelResponse, JobProgress, JobRequest, StatusRequest, WorkerStatus,
    worker_service_server::WorkerService,
};
use tonic::{Request, Response, Status};

use crate::{
    input, task,
    task::{Control, Desk, Order, Refusal, Rejection},
    uploader,
};

/// Serves `worker.v1.WorkerService`.
#[derive(Debug)]
pub(crate) struct Service {
    /// Takes the jobs.
    pub(crate) desk: Desk,
    /// Name of this worker.
    pub(crate) worker_id: String,
}

#[tonic::async_trait]
impl WorkerService for Service {
    type SubmitJobStream = Pin<Box<dyn Stream<Item = Result<JobProgress, Status>> + Send>>;

    async fn submit_job(&self, request: Request<JobRequest>) -> Result<Response<Self::SubmitJobStream>, Status> {
        let order =
            Order::check(request.into_inner(), &self.desk.workshop).map_err(|rejection| rejected(&rejection))?;
        let task = self.desk.start(order).map_err(refused)?;
        Ok(Response::new(Box::pin(events(task))))
    }

    async fn get_status(&self, _: Request<StatusRequest>) -> Result<Response<WorkerStatus>, Status> {
        let active_job_ids = self.desk.registry.running();
        Ok(Response::new(WorkerStatus {
            current_jobs: wire_count(active_job_ids.len()),
            max_concurrent_jobs: wire_count(self.desk.registry.max()),
            active_job_ids,
            worker_id: self.worker_id.clone(),
            version: service::VERSION.to_owned(),
            ..WorkerStatus::default()
        }))
    }

    async fn cancel_job(&self, request: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        let success = self.desk.registry.cancel(&request.into_inner().job_id);
        let message = if success { "the job is being stopped" } else { "no job with this id is running here" };
        Ok(Response::new(CancelResponse { success, message: message.to_owned() }))
    }

    type AttachJobStream = Pin<Box<dyn Stream<Item = Result<JobProgress, Status>> + Send>>;
    type WatchStatusStream = Pin<Box<dyn Stream<Item = Result<WorkerStatus, Status>> + Send>>;

    async fn attach_job(
        &self,
        _: Request<proto::v1::AttachRequest>,
    ) -> Result<Response<Self::AttachJobStream>, Status> {
        Err(Status::unimplemented("not known here"))
    }

    async fn renew_lease(
        &self,
        _: Request<proto::v1::LeaseRequest>,
    ) -> Result<Response<proto::v1::LeaseResponse>, Status> {
        Err(Status::unimplemented("not known here"))
    }

    async fn release_job(
        &self,
        _: Request<proto::v1::ReleaseRequest>,
    ) -> Result<Response<proto::v1::ReleaseResponse>, Status> {
        Err(Status::unimplemented("not known here"))
    }

    async fn watch_status(&self, _: Request<StatusRequest>) -> Result<Response<Self::WatchStatusStream>, Status> {
        Err(Status::unimplemented("not known here"))
    }
}

/// The task's events. The task belongs to this stream and stops when the caller drops it.
fn events(task: task::Task) -> impl Stream<Item = Result<JobProgress, Status>> + Send {
    let stop = StopOnDrop(task.control);
    let mut events = task.feed.subscribe();
    async_stream::stream! {
        let _stop = stop;
        while let Some(event) = events.next().await {
            yield Ok(event);
        }
    }
}

/// Does nothing to a task that has ended.
struct StopOnDrop(Control);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn wire_count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The code says whether another worker may do better.
fn refused(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Full => Status::resource_exhausted(refusal.to_string()),
        Refusal::Stopping => Status::unavailable(refusal.to_string()),
        Refusal::Duplicate => Status::already_exists(refusal.to_string()),
    }
}

fn rejected(rejection: &Rejection) -> Status {
    match rejection {
        Rejection::Input(input::Error::NoDirectory) | Rejection::Storage(uploader::Error::NotConfigured { .. }) => {
            Status::failed_precondition(rejection.to_string())
        }
        Rejection::JobId
        | Rejection::Preset(_)
        | Rejection::NoOutput
        | Rejection::OutputType { .. }
        | Rejection::Metadata
        | Rejection::Input(_)
        | Rejection::Storage(_) => Status::invalid_argument(rejection.to_string()),
    }
}
