//! Workers that do what a test tells them, over real gRPC.

mod answers;
mod manners;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use proto::v1::{
    AttachRequest, CancelRequest, CancelResponse, FailureKind, JobProgress, JobRequest, JobStatus, LeaseRequest,
    LeaseResponse, ReleaseRequest, ReleaseResponse, StatusRequest, WorkerStatus,
    worker_service_server::WorkerServiceServer,
};
use service::feed::Feed;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::{Notify, mpsc, oneshot, watch},
    time::timeout,
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, transport::Server};

pub(crate) use manners::{Answers, Manners, Release};

/// Longer than anything that works takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Inner {
    manners: Mutex<Manners>,
    instance: String,
    start: Instant,
    /// The attempts that it runs.
    active: Mutex<BTreeMap<String, Arc<Line>>>,
    /// Those, and those whose result was not released.
    known: Mutex<BTreeMap<String, (u32, Arc<Line>)>>,
    load: watch::Sender<u64>,
    jobs: mpsc::UnboundedSender<Job>,
    cancels: mpsc::UnboundedSender<String>,
    releases: mpsc::UnboundedSender<(String, u32)>,
    probes: AtomicUsize,
    submissions: AtomicUsize,
    renewals: AtomicUsize,
    abandoned: Notify,
    /// Changes when every connection is to take no more calls.
    drains: watch::Sender<()>,
}

/// The events of a job, and the streams that carry them.
#[derive(Debug)]
struct Line {
    feed: Feed<JobProgress>,
    /// Changes when every stream breaks: with this error, or none.
    cut: watch::Sender<Option<Status>>,
    listeners: watch::Sender<usize>,
}

/// A worker. Dropping it kills it: its sockets close at once.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
    jobs: mpsc::UnboundedReceiver<Job>,
    cancels: mpsc::UnboundedReceiver<String>,
    releases: mpsc::UnboundedReceiver<(String, u32)>,
    runtime: Option<Runtime>,
}

/// A job that a stub has admitted. It says what the test says.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request: JobRequest,
    /// It is to be planned, into chunks of so many seconds.
    pub(crate) chunk_seconds: Option<f64>,
    line: Arc<Line>,
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

    /// A worker with so many slots, whose tasks outlive their streams.
    pub(crate) async fn with_leases(slots: usize) -> Self {
        let lease = Some((Duration::from_secs(20), PATIENCE));
        Self::start(Manners { slots, lease, ..Manners::default() }).await
    }

    /// The same, and it knows how to split jobs.
    pub(crate) async fn that_splits(slots: usize) -> Self {
        let lease = Some((Duration::from_secs(20), PATIENCE));
        Self::start(Manners { slots, lease, release: Release::Splits, ..Manners::default() }).await
    }

    /// A worker at an address that was another's.
    pub(crate) async fn start_at(address: &str, manners: Manners) -> Self {
        let (jobs, new_jobs) = mpsc::unbounded_channel();
        let (cancels, new_cancels) = mpsc::unbounded_channel();
        let (releases, new_releases) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            manners: Mutex::new(manners),
            instance: uuid::Uuid::new_v4().to_string(),
            start: Instant::now(),
            active: Mutex::default(),
            known: Mutex::default(),
            load: watch::Sender::new(0),
            jobs,
            cancels,
            releases,
            probes: AtomicUsize::new(0),
            submissions: AtomicUsize::new(0),
            renewals: AtomicUsize::new(0),
            abandoned: Notify::new(),
            drains: watch::Sender::new(()),
        });
        // A runtime of its own can be dropped like a machine.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (bound, address_of) = oneshot::channel();
        let (served, address) = (Arc::clone(&inner), address.to_owned());
        runtime.spawn(async move {
            let listener = Arc::new(bind(&address).await);
            bound.send(listener.local_addr().expect("bound")).expect("the test waits");
            loop {
                let mut drain = served.drains.subscribe();
                tokio::spawn(serve(Arc::clone(&listener), Arc::clone(&served), drain.clone()));
                drain.changed().await.expect("it is never dropped");
            }
        });
        let address = address_of.await.expect("bound");
        Self { address, inner, jobs: new_jobs, cancels: new_cancels, releases: new_releases, runtime: Some(runtime) }
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

    /// The next attempt that was released.
    pub(crate) async fn released(&mut self) -> (String, u32) {
        timeout(PATIENCE, self.releases.recv()).await.expect("a release in time").expect("a release")
    }

    /// How often a lease was renewed.
    pub(crate) fn renewals(&self) -> usize {
        self.inner.renewals.load(Ordering::SeqCst)
    }

    /// Breaks every stream.
    pub(crate) fn cut(&self) {
        for line in self.inner.active().values() {
            line.cut.send_replace(None);
        }
    }

    /// Takes no more calls over any connection that is open; what runs over it goes on (RFC 9113, section 6.8: GOAWAY).
    pub(crate) fn drain(&self) {
        self.inner.drains.send_replace(());
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

/// Serves new connections until they are drained, and those that are open then to their end.
async fn serve(listener: Arc<TcpListener>, inner: Arc<Inner>, mut drain: watch::Receiver<()>) {
    let incoming = async_stream::stream! {
        loop {
            yield listener.accept().await.map(|(connection, _)| connection);
        }
    };
    let server = Server::builder().add_service(WorkerServiceServer::new(answers::Service(inner)));
    let drained = async move { drain.changed().await.expect("it is never dropped") };
    server.serve_with_incoming_shutdown(Box::pin(incoming), drained).await.expect("a server");
}

/// Binds; a stub that was killed there gives its port back a moment later.
async fn bind(address: &str) -> TcpListener {
    let bind = async {
        loop {
            if let Ok(listener) = TcpListener::bind(address).await {
                return listener;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, bind).await.expect("a free port")
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
        self.finish(JobProgress {
            status: JobStatus::Completed.into(),
            progress: 100.0,
            output_url: "s3://bucket/output/video.mp4".to_owned(),
            ..JobProgress::default()
        });
    }

    pub(crate) fn fail(self, error: &str) {
        self.fail_as(error, FailureKind::Unspecified);
    }

    pub(crate) fn fail_as(self, error: &str, kind: FailureKind) {
        let (status, failure_kind) = (JobStatus::Failed.into(), kind.into());
        self.finish(JobProgress { status, failure_kind, error: error.to_owned(), ..JobProgress::default() });
    }

    /// Ends the attempt with a plan.
    pub(crate) fn plan(self, plan: proto::v1::Plan) {
        self.finish(JobProgress { status: JobStatus::Planned.into(), plan: Some(plan), ..JobProgress::default() });
    }

    /// Completes with more than where the output is.
    pub(crate) fn complete_with(self, last: JobProgress) {
        self.finish(JobProgress { status: JobStatus::Completed.into(), progress: 100.0, ..last });
    }

    pub(crate) fn confirm_cancel(self) {
        self.finish(JobProgress { status: JobStatus::Cancelled.into(), ..JobProgress::default() });
    }

    fn finish(self, last: JobProgress) {
        self.forget();
        self.line.feed.finish(last);
    }

    /// Breaks the stream, and forgets the job.
    pub(crate) fn break_off(self, status: Status) {
        self.leave_nothing();
        self.line.cut.send_replace(Some(status));
    }

    /// Ends the stream without another word.
    pub(crate) fn leave(self) {
        self.leave_nothing();
        self.line.cut.send_replace(None);
    }

    /// The worker does not run the job any more; the stream stays open.
    pub(crate) fn forget(&self) {
        self.inner.active().remove(&self.request.job_id);
        self.inner.load.send_modify(|load| *load += 1);
    }

    fn leave_nothing(&self) {
        self.forget();
        self.inner.known().remove(&self.request.job_id);
    }

    /// Waits until the control plane has dropped the stream.
    pub(crate) async fn dropped(&self) {
        let mut listeners = self.line.listeners.subscribe();
        let none = listeners.wait_for(|listeners| *listeners == 0);
        timeout(PATIENCE, none).await.expect("the stream is dropped in time").expect("the line lives");
    }

    pub(crate) fn send(&self, progress: JobProgress) {
        self.line.feed.milestone(progress);
    }
}

impl Inner {
    fn active(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Line>>> {
        self.active.lock().expect("no panic")
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, (u32, Arc<Line>)>> {
        self.known.lock().expect("no panic")
    }

    fn clock(&self) -> u64 {
        1 + u64::try_from(self.start.elapsed().as_millis()).expect("a short test")
    }
}

type Item = Result<JobProgress, Status>;

type Events = Pin<Box<dyn Stream<Item = Item> + Send>>;

/// A stream of a line's events, until it is cut.
fn listen(line: &Arc<Line>) -> Events {
    let (line, mut cut) = (Arc::clone(line), line.cut.subscribe());
    line.listeners.send_modify(|listeners| *listeners += 1);
    let listener = Listener(Arc::clone(&line));
    let mut events = line.feed.subscribe();
    Box::pin(async_stream::stream! {
        let _listener = listener;
        loop {
            tokio::select! {
                biased;
                event = events.next() => match event {
                    Some(event) => yield Ok(event),
                    None => return,
                },
                _ = cut.changed() => {
                    let status = cut.borrow().clone();
                    if let Some(status) = status {
                        yield Err(status);
                    }
                    return;
                }
            }
        }
    })
}

struct Listener(Arc<Line>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.listeners.send_modify(|listeners| *listeners -= 1);
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
