//! Talks to workers over gRPC. The only module that knows tonic: what leaves it is plain data, cleaned and bounded.
//!
//! No HTTP/2 pings: the original service's workers answer them by closing the connection. Who needs to know whether a
//! silent worker is alive renews a lease, or asks for its status.
//!
//! - `line`: the connection
//! - `error`: why a worker did not do what it was asked
//! - `order`: what a worker is asked to do, on the wire
//! - `status`: how busy a worker is, and what it promises about its tasks
//! - `update`: what a worker says about a task
//! - `outcome`: plans, parts and certificates, checked

mod error;
mod line;
mod order;
mod outcome;
mod status;
#[cfg(test)]
mod tests;
mod update;

use std::{future::Future, time::Duration};

use axum::http::Uri;
use proto::v1::{self, worker_service_client::WorkerServiceClient};
use tokio::time::timeout;
use tonic::Streaming;

use self::line::Line;
pub use self::{
    error::Error,
    status::WorkerStatus,
    update::{Update, Vitals},
};
use crate::{
    balancer::Address,
    job::{JobId, JobSpec},
};

/// Longest message of a worker that is read, in bytes: a certificate of 20,000 files with paths of some hundred bytes.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// A connection to one worker. Clones share it.
#[derive(Debug, Clone)]
pub struct Connection {
    client: WorkerServiceClient<Line>,
    line: Line,
}

/// The events of a task. Dropping it closes the stream, which stops a task without a lease.
#[derive(Debug)]
pub struct Task {
    connection: Connection,
    stream: Streaming<v1::JobProgress>,
}

/// A worker's status whenever it changes.
#[derive(Debug)]
pub struct Watch {
    stream: Streaming<v1::WorkerStatus>,
    /// The stream ends with it.
    _connection: Connection,
}

/// One try at a job, as a worker knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptName {
    /// The job.
    pub job: JobId,
    /// The attempt's number, from 1.
    pub number: u32,
}

/// What a worker answers to a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    /// It has the attempt.
    pub known: bool,
    /// Its clock, for the next renewal.
    pub clock: u64,
}

impl Connection {
    /// Connects and asks how busy the worker is, all within `limit`.
    ///
    /// # Errors
    /// When there is no connection or no answer.
    pub async fn open(address: &Address, limit: Duration) -> Result<(Self, WorkerStatus), Error> {
        let open = async {
            let worker: Uri = address.url().parse().map_err(|error| Error::Connect(Box::new(error)))?;
            let line = Line::open(worker.clone(), limit).await.map_err(Error::Connect)?;
            let client = WorkerServiceClient::with_origin(line.clone(), worker).max_decoding_message_size(MAX_MESSAGE);
            let connection = Self { client, line };
            let status = connection.status().await?;
            Ok((connection, status))
        };
        timeout(limit, Box::pin(open)).await.unwrap_or(Err(Error::Timeout(limit)))
    }

    /// True once no call can be made over it any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.line.is_closed()
    }

    async fn status(&self) -> Result<WorkerStatus, Error> {
        let answer = self.client.clone().get_status(v1::StatusRequest {}).await?;
        Ok(answer.into_inner().into())
    }

    /// Hands a job over. When this ends well, the worker has admitted it. `clock` is the worker's, as it was heard over
    /// this connection.
    ///
    /// # Errors
    /// When the worker did not admit the job, or not within `limit`.
    pub async fn submit(
        &self,
        attempt: AttemptName,
        clock: u64,
        spec: &JobSpec,
        limit: Duration,
    ) -> Result<Task, Error> {
        let mut client = self.client.clone();
        let answer = within(limit, client.submit_job(order::job(attempt, clock, spec))).await?;
        Ok(Task { connection: self.clone(), stream: answer.into_inner() })
    }

    /// Hands a job over that is to be planned: into chunks of about `chunk_seconds`. Otherwise as [`Self::submit`].
    ///
    /// # Errors
    /// When the worker did not admit the job, or not within `limit`.
    pub async fn plan(
        &self,
        attempt: AttemptName,
        clock: u64,
        spec: &JobSpec,
        chunk_seconds: f64,
        limit: Duration,
    ) -> Result<Task, Error> {
        let mut client = self.client.clone();
        let request = v1::PlanRequest { job: Some(order::job(attempt, clock, spec)), chunk_seconds };
        let answer = within(limit, client.plan_job(request)).await?;
        Ok(Task { connection: self.clone(), stream: answer.into_inner() })
    }

    /// Listens to an attempt again, from its first event, and renews its lease.
    ///
    /// # Errors
    /// [`Error::Unknown`] when the worker has no such attempt; when there is no answer within `limit`.
    pub async fn attach(&self, attempt: AttemptName, clock: u64, limit: Duration) -> Result<Task, Error> {
        let mut client = self.client.clone();
        let request = v1::AttachRequest { job_id: attempt.job.to_string(), attempt: attempt.number, clock_ms: clock };
        let answer = within(limit, client.attach_job(request)).await?;
        Ok(Task { connection: self.clone(), stream: answer.into_inner() })
    }

    /// Renews the lease of an attempt.
    ///
    /// # Errors
    /// When there is no answer within `limit`.
    pub async fn renew(&self, attempt: AttemptName, clock: u64, limit: Duration) -> Result<Renewed, Error> {
        let mut client = self.client.clone();
        let request = v1::LeaseRequest { job_id: attempt.job.to_string(), attempt: attempt.number, clock_ms: clock };
        let answer = within(limit, client.renew_lease(request)).await?.into_inner();
        Ok(Renewed { known: answer.known, clock: answer.clock_ms })
    }

    /// Says that the end of an attempt is written down.
    ///
    /// # Errors
    /// When there is no answer within `limit`.
    pub async fn release(&self, attempt: AttemptName, limit: Duration) -> Result<(), Error> {
        let mut client = self.client.clone();
        let request = v1::ReleaseRequest { job_id: attempt.job.to_string(), attempt: attempt.number };
        within(limit, client.release_job(request)).await?;
        Ok(())
    }

    /// Tells the worker to stop a job. True when it had it.
    ///
    /// # Errors
    /// When it does not answer within `limit`.
    pub async fn cancel(&self, job: JobId, limit: Duration) -> Result<bool, Error> {
        let mut client = self.client.clone();
        let request = v1::CancelRequest { job_id: job.to_string() };
        Ok(within(limit, client.cancel_job(request)).await?.into_inner().success)
    }

    /// Follows the worker's status.
    ///
    /// # Errors
    /// When it does not answer within `limit`, or does not know how.
    pub async fn watch(&self, limit: Duration) -> Result<Watch, Error> {
        let mut client = self.client.clone();
        let answer = within(limit, client.watch_status(v1::StatusRequest {})).await?;
        Ok(Watch { stream: answer.into_inner(), _connection: self.clone() })
    }
}

impl Watch {
    /// The next status; `None` when the worker ended the stream. Cancel safe.
    ///
    /// # Errors
    /// When the stream broke.
    pub async fn next(&mut self) -> Result<Option<WorkerStatus>, Error> {
        Ok(self.stream.message().await?.map(WorkerStatus::from))
    }
}

impl Task {
    /// The next message; `None` when the worker ended the stream. Cancel safe.
    ///
    /// # Errors
    /// When the stream broke.
    pub async fn next(&mut self) -> Result<Option<Update>, Error> {
        Ok(self.stream.message().await?.map(Update::from))
    }

    /// Asks the worker, over the task's own connection, whether it still runs the job.
    ///
    /// # Errors
    /// When it does not answer within `limit`.
    pub async fn is_running(&self, id: JobId, limit: Duration) -> Result<bool, Error> {
        let status = timeout(limit, Box::pin(self.connection.status())).await.map_err(|_| Error::Timeout(limit))??;
        Ok(status.runs(id))
    }

    /// The connection that it came over.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// The call has a box of its own: it is large, and what waits for it may live for hours.
fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> impl Future<Output = Result<tonic::Response<T>, Error>> {
    let call = timeout(limit, Box::pin(call));
    async move { Ok(call.await.map_err(|_| Error::Timeout(limit))??) }
}
