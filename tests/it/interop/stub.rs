//! A worker built from the original contract. What it does with a job is told by the job's output path.

use std::{collections::BTreeMap, net::SocketAddr, sync::Mutex};

use e2e::original::{
    CancelRequest, CancelResponse, JobProgress, JobRequest, JobStatus, StatusRequest, WorkerStatus,
    worker_service_server::{WorkerService, WorkerServiceServer},
};
use tokio::{
    net::TcpListener,
    sync::mpsc::{self, UnboundedSender},
    task::JoinHandle,
};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{Request, Response, Status, transport::Server};

type Item = Result<JobProgress, Status>;

/// A running original worker.
pub(super) struct Stub {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Stub {
    /// One that takes so many jobs.
    pub(super) async fn start(slots: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let service = WorkerServiceServer::new(Original { slots, waiting: Mutex::default() });
        let server = tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            Server::builder().add_service(service).serve_with_incoming(incoming).await.expect("it serves");
        });
        Self { address, server }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Original {
    slots: usize,
    /// The jobs that wait for their cancellation.
    waiting: Mutex<BTreeMap<String, UnboundedSender<Item>>>,
}

fn event(job_id: &str, status: JobStatus, progress: f32) -> JobProgress {
    JobProgress { job_id: job_id.to_owned(), status: status.into(), progress, ..JobProgress::default() }
}

#[tonic::async_trait]
impl WorkerService for Original {
    type SubmitJobStream = UnboundedReceiverStream<Item>;

    async fn submit_job(&self, request: Request<JobRequest>) -> Result<Response<Self::SubmitJobStream>, Status> {
        let JobRequest { job_id, output, .. } = request.into_inner();
        let path = output.map(|output| output.path).unwrap_or_default();
        if self.slots == 0 {
            return Err(Status::resource_exhausted("worker is at maximum capacity"));
        }
        let (events, stream) = mpsc::unbounded_channel();
        let say = |event| events.send(Ok(event)).expect("the stream is open");
        say(event(&job_id, JobStatus::Queued, 0.0));
        say(event(&job_id, JobStatus::Processing, 50.0));
        match path.as_str() {
            "complete.mp4" => {
                say(event(&job_id, JobStatus::Uploading, 100.0));
                let output_url = format!("s3://bucket/{path}");
                say(JobProgress { output_url, ..event(&job_id, JobStatus::Completed, 100.0) });
            }
            "fail.mp4" => {
                let error = "encoding failed: the original's words".to_owned();
                say(JobProgress { error, ..event(&job_id, JobStatus::Failed, 50.0) });
            }
            _ => {
                self.waiting.lock().expect("no panic").insert(job_id, events);
            }
        }
        Ok(Response::new(UnboundedReceiverStream::new(stream)))
    }

    async fn get_status(&self, _: Request<StatusRequest>) -> Result<Response<WorkerStatus>, Status> {
        let active_job_ids: Vec<_> = self.waiting.lock().expect("no panic").keys().cloned().collect();
        Ok(Response::new(WorkerStatus {
            current_jobs: i32::try_from(active_job_ids.len()).expect("few jobs"),
            max_concurrent_jobs: i32::try_from(self.slots).expect("few slots"),
            active_job_ids,
            worker_id: "original".to_owned(),
            version: "1.0.0".to_owned(),
        }))
    }

    async fn cancel_job(&self, request: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        let job_id = request.into_inner().job_id;
        let job = self.waiting.lock().expect("no panic").remove(&job_id);
        let success = job.is_some_and(|events| events.send(Ok(event(&job_id, JobStatus::Cancelled, 50.0))).is_ok());
        Ok(Response::new(CancelResponse { success, message: String::new() }))
    }
}
