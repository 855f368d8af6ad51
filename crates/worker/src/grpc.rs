//! The worker's gRPC service: decode, call, encode.

use std::{pin::Pin, sync::Arc};

use futures_util::Stream;
use proto::v1::{
    AttachRequest, CancelRequest, CancelResponse, JobProgress, JobRequest, LeaseRequest, LeaseResponse, PlanRequest,
    ReleaseRequest, ReleaseResponse, StatusRequest, WorkerStatus, worker_service_server::WorkerService,
};
use service::feed::Feed;
use tonic::{Request, Response, Status};

use crate::task::{Control, Desk, Order, Ticket};

use self::refusal::{refused, rejected};
pub(crate) use self::status::About;

mod refusal;
mod status;

/// Why a job is not taken that would fail at its end, on this worker only.
const NO_CREDENTIALS: &str = "this worker has no credentials for S3 (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give its machine a role)";

/// What a stream is to its caller.
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Serves `worker.v1.WorkerService`.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    /// Takes the jobs.
    pub(crate) desk: Desk,
    /// Which worker this is.
    pub(crate) about: Arc<About>,
}

#[tonic::async_trait]
impl WorkerService for Service {
    type SubmitJobStream = Streamed<JobProgress>;
    type AttachJobStream = Streamed<JobProgress>;
    type WatchStatusStream = Streamed<WorkerStatus>;
    type PlanJobStream = Streamed<JobProgress>;

    async fn submit_job(&self, request: Request<JobRequest>) -> Result<Response<Self::SubmitJobStream>, Status> {
        let order = Order::check(request.into_inner(), &self.desk.workshop);
        self.begin(order.map_err(|rejection| rejected(&rejection))?).await
    }

    async fn get_status(&self, _: Request<StatusRequest>) -> Result<Response<WorkerStatus>, Status> {
        Ok(Response::new(self.status()))
    }

    async fn cancel_job(&self, request: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        let success = self.desk.registry.cancel(&request.into_inner().job_id);
        let message = if success { "the job is being stopped" } else { "no job with this id is running here" };
        Ok(Response::new(CancelResponse { success, message: message.to_owned() }))
    }

    async fn attach_job(&self, request: Request<AttachRequest>) -> Result<Response<Self::AttachJobStream>, Status> {
        let AttachRequest { job_id, attempt, clock_ms } = request.into_inner();
        match self.renewed(&job_id, attempt, clock_ms) {
            Some(Ticket { feed, .. }) => Ok(Response::new(Box::pin(events(&feed, None)))),
            None => Err(Status::not_found("this attempt is not known here")),
        }
    }

    async fn renew_lease(&self, request: Request<LeaseRequest>) -> Result<Response<LeaseResponse>, Status> {
        let LeaseRequest { job_id, attempt, clock_ms } = request.into_inner();
        let known = self.renewed(&job_id, attempt, clock_ms).is_some();
        Ok(Response::new(LeaseResponse { known, clock_ms: self.desk.terms.clock.now() }))
    }

    async fn release_job(&self, request: Request<ReleaseRequest>) -> Result<Response<ReleaseResponse>, Status> {
        let ReleaseRequest { job_id, attempt } = request.into_inner();
        self.desk.release(job_id, attempt).await;
        Ok(Response::new(ReleaseResponse {}))
    }

    async fn watch_status(&self, _: Request<StatusRequest>) -> Result<Response<Self::WatchStatusStream>, Status> {
        Ok(Response::new(Box::pin(self.statuses())))
    }

    async fn plan_job(&self, request: Request<PlanRequest>) -> Result<Response<Self::PlanJobStream>, Status> {
        let order = Order::check_plan(request.into_inner(), &self.desk.workshop);
        self.begin(order.map_err(|rejection| rejected(&rejection))?).await
    }
}

impl Service {
    /// Starts a job and listens to it.
    async fn begin(&self, order: Order) -> Result<Response<Streamed<JobProgress>>, Status> {
        if order.needs_s3() && !self.desk.workshop.s3.may_have_credentials().await {
            return Err(Status::failed_precondition(NO_CREDENTIALS));
        }
        if !order.is_reachable().await {
            return Err(Status::failed_precondition("this worker does not see the parts of the job"));
        }
        let is_leased = order.attempt > 0;
        let task = self.desk.start(order).map_err(refused)?;
        // Lazily: a guard that is made only to be dropped would stop the task.
        let stop = (!is_leased).then(|| StopOnDrop(task.control));
        Ok(Response::new(Box::pin(events(&task.feed, stop))))
    }

    /// An attempt that is known here, with its lease renewed from what its caller has seen.
    fn renewed(&self, job_id: &str, attempt: u32, seen: u64) -> Option<Ticket> {
        let ticket = self.desk.find(job_id, attempt)?;
        if let Some(lease) = &ticket.lease {
            lease.renew(seen);
        }
        Some(ticket)
    }
}

/// The events of a task. With `stop` the task belongs to this stream and stops when the caller drops it.
fn events(
    feed: &Feed<JobProgress>,
    stop: Option<StopOnDrop>,
) -> impl Stream<Item = Result<JobProgress, Status>> + Send + use<> {
    let mut events = feed.subscribe();
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
