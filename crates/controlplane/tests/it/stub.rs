//! Workers that do what a test tells them, over real gRPC.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proto::v1::{
    CancelRequest, CancelResponse, JobProgress, JobRequest, JobStatus, StatusRequest, WorkerStatus,
    worker_service_server::{WorkerService, WorkerServiceServer},
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::{Notify, mpsc, oneshot},
    time::timeout,
};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{Request, Response, Status, transport::Server};

/// Longer than anything that works takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How a stub behaves where a script cannot tell it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    /// How many jobs it admits.
    pub(crate) slots: usize,
    /// Says that it has room when it has not.
    pub(crate) boasts: bool,
    /// Refuses every job with this.
    pub(crate) refusal: Option<Status>,
    /// Which questions for its status it answers.
    pub(crate) answers: Answers,
    /// Takes a job without ever saying so.
    pub(crate) never_admits: bool,
}

/// Which questions a stub answers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Answers {
    #[default]
    All,
    /// The first, the fourth and so on.
    EveryThird,
    None,
}

type Item = Result<JobProgress, Status>;

#[derive(Debug)]
struct Inner {
    manners: Mutex<Manners>,
    active: Mutex<BTreeSet<String>>,
    jobs: mpsc::UnboundedSender<Job>,
    cancels: mpsc::UnboundedSender<String>,
    probes: AtomicUsize,
    submissions: AtomicUsize,
    abandoned: Notify,
}

/// A worker. Dropping it kills it: its sockets close at once.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
    jobs: mpsc::UnboundedReceiver<Job>,
    cancels: mpsc::UnboundedReceiver<String>,
    runtime: Option<Runtime>,
}

/// A job that a stub has admitted. It says what the test says.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request: JobRequest,
    events: mpsc::UnboundedSender<Item>,
    inner: Arc<Inner>,
}

impl Stub {
    /// A worker with so many slots.
    pub(crate) async fn with_slots(slots: usize) -> Self {
        Self::start(Manners { slots, ..Manners::default() }).await
    }

    pub(crate) async fn start(manners: Manners) -> Self {
        Self::start_at("127.0.0.1:0", manners).await
    }

    /// A worker at an address that was another's.
    pub(crate) async fn start_at(address: &str, manners: Manners) -> Self {
        let (jobs, new_jobs) = mpsc::unbounded_channel();
        let (cancels, new_cancels) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            manners: Mutex::new(manners),
            active: Mutex::default(),
            jobs,
            cancels,
            probes: AtomicUsize::new(0),
            submissions: AtomicUsize::new(0),
            abandoned: Notify::new(),
        });
        // A runtime of its own can be dropped like a machine.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (bound, address_of) = oneshot::channel();
        let (service, address) = (Service(Arc::clone(&inner)), address.to_owned());
        runtime.spawn(async move {
            let listener = TcpListener::bind(address).await.expect("a free port");
            bound.send(listener.local_addr().expect("bound")).expect("the test waits");
            let server = Server::builder().add_service(WorkerServiceServer::new(service));
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.expect("a server");
        });
        let address = address_of.await.expect("bound");
        Self { address, inner, jobs: new_jobs, cancels: new_cancels, runtime: Some(runtime) }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.inner.manners.lock().expect("no panic"));
    }

    /// The next job that was admitted.
    pub(crate) async fn job(&mut self) -> Job {
        timeout(PATIENCE, self.jobs.recv()).await.expect("a job in time").expect("a job")
    }

    /// The next job that was cancelled.
    pub(crate) async fn cancelled(&mut self) -> String {
        timeout(PATIENCE, self.cancels.recv()).await.expect("a cancellation in time").expect("a cancellation")
    }

    /// Waits until the caller has gone away from a call that was never answered.
    pub(crate) async fn abandoned(&self) {
        timeout(PATIENCE, self.inner.abandoned.notified()).await.expect("the call is dropped in time");
    }

    /// How often it was asked for its status.
    pub(crate) fn probes(&self) -> usize {
        self.inner.probes.load(Ordering::SeqCst)
    }

    /// How often it was asked to run a job.
    pub(crate) fn submissions(&self) -> usize {
        self.inner.submissions.load(Ordering::SeqCst)
    }

    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Job {
    pub(crate) fn say(&self, status: JobStatus, progress: f32, message: &str) {
        self.send(JobProgress {
            job_id: self.request.job_id.clone(),
            status: status.into(),
            progress,
            message: message.to_owned(),
            ..JobProgress::default()
        });
    }

    pub(crate) fn complete(self) {
        self.send(JobProgress {
            status: JobStatus::Completed.into(),
            progress: 100.0,
            output_url: "s3://bucket/output/video.mp4".to_owned(),
            ..JobProgress::default()
        });
        self.leave();
    }

    pub(crate) fn fail(self, error: &str) {
        let status = JobStatus::Failed.into();
        self.send(JobProgress { status, error: error.to_owned(), ..JobProgress::default() });
        self.leave();
    }

    /// Breaks the stream.
    pub(crate) fn break_off(self, status: Status) {
        self.events.send(Err(status)).expect("somebody listens");
        self.leave();
    }

    /// Ends the stream without another word.
    pub(crate) fn leave(self) {
        self.forget();
    }

    /// The worker does not know the job any more; the stream stays open.
    pub(crate) fn forget(&self) {
        self.inner.active.lock().expect("no panic").remove(&self.request.job_id);
    }

    /// Waits until the control plane has dropped the stream.
    pub(crate) async fn dropped(&self) {
        timeout(PATIENCE, self.events.closed()).await.expect("the stream is dropped in time");
    }

    pub(crate) fn send(&self, progress: JobProgress) {
        // A control plane that has heard enough may be gone.
        let _ = self.events.send(Ok(progress));
    }
}

struct Service(Arc<Inner>);

/// Tells when a call that was never answered is dropped.
struct Abandoned(Arc<Inner>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.abandoned.notify_one();
    }
}

#[tonic::async_trait]
impl WorkerService for Service {
    type SubmitJobStream = UnboundedReceiverStream<Item>;

    async fn submit_job(&self, request: Request<JobRequest>) -> Result<Response<Self::SubmitJobStream>, Status> {
        let (request, manners) = (request.into_inner(), self.manners());
        self.0.submissions.fetch_add(1, Ordering::SeqCst);
        if let Some(refusal) = manners.refusal {
            return Err(refusal);
        }
        if manners.never_admits {
            let _abandoned = Abandoned(Arc::clone(&self.0));
            std::future::pending::<()>().await;
        }
        let mut active = self.0.active.lock().expect("no panic");
        if active.len() >= manners.slots {
            return Err(Status::resource_exhausted("every slot is taken"));
        }
        active.insert(request.job_id.clone());
        let (events, stream) = mpsc::unbounded_channel();
        let job = Job { request, events, inner: Arc::clone(&self.0) };
        self.0.jobs.send(job).expect("the test keeps the stub");
        Ok(Response::new(UnboundedReceiverStream::new(stream)))
    }

    async fn get_status(&self, _: Request<StatusRequest>) -> Result<Response<WorkerStatus>, Status> {
        let before = self.0.probes.fetch_add(1, Ordering::SeqCst);
        let manners = self.manners();
        let answers = match manners.answers {
            Answers::All => true,
            Answers::EveryThird => before.is_multiple_of(3),
            Answers::None => false,
        };
        if !answers {
            std::future::pending::<()>().await;
        }
        let active: Vec<_> = self.0.active.lock().expect("no panic").iter().cloned().collect();
        let number = |count: usize| i32::try_from(count).expect("few");
        Ok(Response::new(WorkerStatus {
            current_jobs: if manners.boasts { 0 } else { number(active.len()) },
            max_concurrent_jobs: if manners.boasts { 1 } else { number(manners.slots) },
            active_job_ids: active,
            worker_id: "stub".to_owned(),
            version: "1.2.3".to_owned(),
            ..WorkerStatus::default()
        }))
    }

    async fn cancel_job(&self, request: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        let id = request.into_inner().job_id;
        let success = self.0.active.lock().expect("no panic").contains(&id);
        self.0.cancels.send(id).expect("the test keeps the stub");
        Ok(Response::new(CancelResponse { success, message: String::new() }))
    }

    type AttachJobStream = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<JobProgress, Status>> + Send>>;
    type WatchStatusStream = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<WorkerStatus, Status>> + Send>>;

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

impl Service {
    fn manners(&self) -> Manners {
        self.0.manners.lock().expect("no panic").clone()
    }
}

/// A machine that accepts connections and says nothing, ever.
pub(crate) async fn hung() -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            kept.push(connection);
        }
    });
    (address, task)
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("bound")
}
