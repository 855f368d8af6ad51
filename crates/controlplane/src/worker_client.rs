//! Talks to workers over gRPC. The only file that knows tonic: what leaves it is plain data, cleaned and bounded.
//!
//! No HTTP/2 pings: the original service's workers answer them by closing the connection. Who needs to know whether a
//! silent worker is alive asks for its status.

use std::{error::Error as _, future::Future, time::Duration};

use proto::v1::{self, worker_service_client::WorkerServiceClient};
use tokio::time::timeout;
use tonic::{
    Code, Status, Streaming,
    transport::{self, Channel, Endpoint},
};

use crate::{
    balancer::Address,
    job::{JobId, JobSpec, Report},
    text,
};

/// Idle time before TCP itself asks whether the other side is there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// A connection to one worker.
#[derive(Debug, Clone)]
pub struct Connection {
    client: WorkerServiceClient<Channel>,
}

/// How busy a worker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerStatus {
    /// The name it gives itself.
    pub worker_id: String,
    /// Its version.
    pub version: String,
    /// How many jobs it runs.
    pub current_jobs: u32,
    /// How many it would run.
    pub max_concurrent_jobs: u32,
    /// The jobs it runs.
    pub active_job_ids: Vec<String>,
}

/// A job that a worker has admitted. Dropping it makes the worker stop the job.
#[derive(Debug)]
pub struct Task {
    connection: Connection,
    stream: Streaming<v1::JobProgress>,
}

/// One message of a worker about a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// What it says; the number of its status where that has no meaning here.
    pub report: Result<Report, i32>,
    /// For people; may be empty.
    pub message: String,
}

/// Why a worker did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection to it.
    #[error("cannot connect")]
    Connect(#[source] transport::Error),
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// It has no slot, or is stopping.
    #[error("takes no job now: {0}")]
    Unavailable(String),
    /// The request can run nowhere.
    #[error("refuses the request: {0}")]
    Refused(String),
    /// The request cannot run there, for want of a storage or an input folder; another worker may have it.
    #[error("is not set up for the request: {0}")]
    NotSetUp(String),
    /// Anything else.
    #[error("answers {code:?}: {message}")]
    Failed {
        /// The gRPC code.
        code: Code,
        /// What the worker says.
        message: String,
    },
}

impl Connection {
    /// Connects and asks how busy the worker is, all within `limit`.
    ///
    /// # Errors
    /// When there is no connection or no answer.
    pub async fn open(address: &Address, limit: Duration) -> Result<(Self, WorkerStatus), Error> {
        let open = async {
            let endpoint = Endpoint::from_shared(address.url())
                .map_err(Error::Connect)?
                .connect_timeout(limit)
                .tcp_nodelay(true)
                .tcp_keepalive(Some(TCP_KEEPALIVE));
            let channel = endpoint.connect().await.map_err(Error::Connect)?;
            let mut connection = Self { client: WorkerServiceClient::new(channel) };
            let status = connection.status().await?;
            Ok((connection, status))
        };
        timeout(limit, open).await.unwrap_or(Err(Error::Timeout(limit)))
    }

    async fn status(&mut self) -> Result<WorkerStatus, Error> {
        let answer = self.client.get_status(v1::StatusRequest {}).await.map_err(Error::from)?;
        Ok(answer.into_inner().into())
    }

    /// Hands a job over. When this ends well, the worker has admitted it.
    ///
    /// # Errors
    /// When the worker did not admit the job, or not within `limit`.
    pub async fn submit(mut self, id: JobId, spec: &JobSpec, limit: Duration) -> Result<Task, Error> {
        let call = self.client.submit_job(request(id, spec));
        let answer = timeout(limit, call).await.map_err(|_| Error::Timeout(limit))??;
        Ok(Task { connection: self, stream: answer.into_inner() })
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
    pub async fn is_running(&mut self, id: JobId, limit: Duration) -> Result<bool, Error> {
        let status = timeout(limit, self.connection.status()).await.map_err(|_| Error::Timeout(limit))??;
        let id = id.to_string();
        Ok(status.active_job_ids.contains(&id))
    }

    /// Tells the worker, over the task's own connection, to stop the job. True when it had it.
    ///
    /// # Errors
    /// When it does not answer within `limit`.
    pub fn cancel(&self, id: JobId, limit: Duration) -> impl Future<Output = Result<bool, Error>> + Send + use<> {
        let mut client = self.connection.client.clone();
        async move {
            let call = client.cancel_job(v1::CancelRequest { job_id: id.to_string() });
            let answer = timeout(limit, call).await.map_err(|_| Error::Timeout(limit))??;
            Ok(answer.into_inner().success)
        }
    }
}

impl WorkerStatus {
    /// True while it would take another job.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.current_jobs < self.max_concurrent_jobs
    }
}

impl From<v1::WorkerStatus> for WorkerStatus {
    fn from(status: v1::WorkerStatus) -> Self {
        Self {
            worker_id: text::clean(&status.worker_id),
            version: text::clean(&status.version),
            current_jobs: u32::try_from(status.current_jobs).unwrap_or(0),
            max_concurrent_jobs: u32::try_from(status.max_concurrent_jobs).unwrap_or(0),
            active_job_ids: status.active_job_ids.iter().map(|id| text::clean(id)).collect(),
        }
    }
}

impl From<v1::JobProgress> for Update {
    fn from(progress: v1::JobProgress) -> Self {
        let report = match v1::JobStatus::try_from(progress.status) {
            Ok(v1::JobStatus::Unspecified) | Err(_) => Err(progress.status),
            Ok(v1::JobStatus::Queued) => Ok(Report::Queued),
            Ok(v1::JobStatus::Processing) => Ok(Report::Processing(progress.progress)),
            Ok(v1::JobStatus::Uploading) => Ok(Report::Uploading),
            Ok(v1::JobStatus::Completed) => Ok(Report::Completed { output_url: text::clean(&progress.output_url) }),
            Ok(v1::JobStatus::Failed) => Ok(Report::Failed { error: reason(&progress.error) }),
            Ok(v1::JobStatus::Cancelled) => Ok(Report::Cancelled),
        };
        Self { report, message: text::clean(&progress.message) }
    }
}

fn reason(error: &str) -> String {
    let error = text::clean(error);
    if error.is_empty() { "encoding failed: the worker gave no reason".to_owned() } else { error }
}

fn request(id: JobId, spec: &JobSpec) -> v1::JobRequest {
    let output = v1::OutputConfig {
        storage: spec.output.storage.name().to_owned(),
        path: spec.output.path.clone(),
        metadata: spec.output.metadata.clone().into_iter().collect(),
        r#type: spec.output.kind.map(|kind| kind.name().to_owned()).unwrap_or_default(),
    };
    v1::JobRequest {
        job_id: id.to_string(),
        input_url: spec.input_url.clone(),
        preset: spec.preset.name.to_owned(),
        output: Some(output),
        callback_url: spec.callback_url.clone().unwrap_or_default(),
        attempt: 0,
        clock_ms: 0,
    }
}

impl Error {
    /// True where the worker was silent, false where it is known not to serve.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// The error with its causes, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Some causes say again what caused them.
            if !line.ends_with(&cause_text) {
                line = format!("{line}: {cause_text}");
            }
            source = cause.source();
        }
        text::clean(&line)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let message = text::clean(status.message());
        match status.code() {
            Code::ResourceExhausted | Code::Unavailable => Self::Unavailable(message),
            Code::InvalidArgument => Self::Refused(message),
            Code::FailedPrecondition => Self::NotSetUp(message),
            code => Self::Failed { code, message },
        }
    }
}

#[cfg(test)]
mod tests;
