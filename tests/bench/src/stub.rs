//! Workers that encode nothing: they take jobs, report progress at a fixed rate or when they are told to, and end them
//! when they are told to. All of them live in this process.
//!
//! Leases, status and release are answered as a real worker does, so that the control plane does all that it would do.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use proto::v1::{
    AttachRequest, CancelRequest, CancelResponse, JobProgress, JobRequest, JobStatus, LeaseRequest, LeaseResponse,
    PlanRequest, ReleaseRequest, ReleaseResponse, StatusRequest, WorkerStatus,
    worker_service_server::{WorkerService, WorkerServiceServer},
};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_stream::{Stream, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};

use crate::measure::millis;

/// The leases that it gives, and its fence.
const LEASE: (u64, u64) = (60_000, 80_000);

/// When a stub's jobs report progress.
#[derive(Debug, Clone)]
pub(crate) enum Pace {
    /// Each job by itself, so often.
    Every(Duration),
    /// All jobs whenever this changes, to the progress that it holds. Their message then is [`now`].
    Told(watch::Receiver<f32>),
}

/// A worker. Dropping it closes its sockets.
#[derive(Debug)]
pub(crate) struct Stub {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
    _server: JoinSet<()>,
}

#[derive(Debug)]
struct Inner {
    slots: usize,
    pace: Pace,
    instance: String,
    /// What ends each of its jobs.
    active: Mutex<BTreeMap<String, Arc<Notify>>>,
    load: watch::Sender<()>,
}

/// Milliseconds since this process first asked.
pub(crate) fn now() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    millis(START.get_or_init(Instant::now).elapsed())
}

impl Stub {
    /// A worker with so many slots.
    ///
    /// # Errors
    /// When no port is free.
    pub(crate) async fn start(slots: usize, pace: Pace) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let instance = format!("stub-{address}");
        let inner = Inner { slots, pace, instance, active: Mutex::default(), load: watch::Sender::new(()) };
        let (inner, mut server) = (Arc::new(inner), JoinSet::new());
        let service = WorkerServiceServer::new(Service(Arc::clone(&inner)));
        server.spawn(async move {
            let serve = Server::builder().tcp_nodelay(true).add_service(service);
            serve.serve_with_incoming(TcpListenerStream::new(listener)).await.expect("a server");
        });
        Ok(Self { address, inner, _server: server })
    }

    /// How many jobs it runs.
    pub(crate) fn running(&self) -> usize {
        self.inner.active().len()
    }

    /// Lets one of its jobs complete. False when it has none.
    pub(crate) fn complete_one(&self) -> bool {
        let ended = self.inner.active().pop_first();
        if let Some((_, end)) = &ended {
            end.notify_one();
            self.inner.load.send_replace(());
        }
        ended.is_some()
    }
}

impl Inner {
    fn active(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Notify>>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> WorkerStatus {
        let active: Vec<_> = self.active().keys().cloned().collect();
        let number = |count: usize| i32::try_from(count).expect("few");
        WorkerStatus {
            current_jobs: number(active.len()),
            max_concurrent_jobs: number(self.slots),
            active_job_ids: active,
            worker_id: self.instance.clone(),
            version: "0.0.0".to_owned(),
            instance_id: self.instance.clone(),
            place_id: self.instance.clone(),
            clock_ms: clock(),
            lease_ms: LEASE.0,
            fence_ms: LEASE.1,
            splits: false,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the age of this process is positive")]
fn clock() -> u64 {
    1 + now() as u64
}

struct Service(Arc<Inner>);

type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl WorkerService for Service {
    type SubmitJobStream = Events<JobProgress>;
    type AttachJobStream = Events<JobProgress>;
    type PlanJobStream = Events<JobProgress>;
    type WatchStatusStream = Events<WorkerStatus>;

    async fn submit_job(&self, request: Request<JobRequest>) -> Result<Response<Self::SubmitJobStream>, Status> {
        let (id, end) = (request.into_inner().job_id, Arc::new(Notify::new()));
        let mut active = self.0.active();
        if active.len() >= self.0.slots {
            return Err(Status::resource_exhausted("every slot is taken"));
        }
        active.insert(id.clone(), Arc::clone(&end));
        drop(active);
        self.0.load.send_replace(());
        Ok(Response::new(Box::pin(events(id, end, self.0.pace.clone()))))
    }

    async fn get_status(&self, _: Request<StatusRequest>) -> Result<Response<WorkerStatus>, Status> {
        Ok(Response::new(self.0.status()))
    }

    async fn cancel_job(&self, _: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        Err(Status::unimplemented("nobody cancels here"))
    }

    async fn attach_job(&self, _: Request<AttachRequest>) -> Result<Response<Self::AttachJobStream>, Status> {
        Err(Status::not_found("a stream that breaks is the end of a benchmark"))
    }

    async fn renew_lease(&self, request: Request<LeaseRequest>) -> Result<Response<LeaseResponse>, Status> {
        let known = self.0.active().contains_key(&request.into_inner().job_id);
        Ok(Response::new(LeaseResponse { known, clock_ms: clock() }))
    }

    async fn release_job(&self, _: Request<ReleaseRequest>) -> Result<Response<ReleaseResponse>, Status> {
        Ok(Response::new(ReleaseResponse {}))
    }

    async fn plan_job(&self, _: Request<PlanRequest>) -> Result<Response<Self::PlanJobStream>, Status> {
        Err(Status::unimplemented("not known here"))
    }

    async fn watch_status(&self, _: Request<StatusRequest>) -> Result<Response<Self::WatchStatusStream>, Status> {
        let (inner, mut load) = (Arc::clone(&self.0), self.0.load.subscribe());
        Ok(Response::new(Box::pin(async_stream::stream! {
            loop {
                yield Ok(inner.status());
                if load.changed().await.is_err() {
                    return;
                }
            }
        })))
    }
}

/// What a job tells until it is ended.
fn events(id: String, end: Arc<Notify>, mut pace: Pace) -> impl Stream<Item = Result<JobProgress, Status>> + Send {
    let event = move |status: JobStatus, progress, message| {
        let (job_id, status, output_url) = (id.clone(), status.into(), "s3://bucket/output.mp4".to_owned());
        Ok(JobProgress { job_id, status, progress, message, output_url, ..JobProgress::default() })
    };
    async_stream::stream! {
        yield event(JobStatus::Processing, 0.0, String::new());
        let mut progress = 0.0;
        if let Pace::Told(told) = &mut pace {
            told.mark_unchanged();
        }
        let mut ticks = Ticks::new(pace);
        loop {
            tokio::select! {
                biased;
                () = end.notified() => break,
                told = ticks.next() => progress = told.unwrap_or_else(|| f32::min(progress + 0.01, 99.0)),
            }
            yield event(JobStatus::Processing, progress, format!("sent at {:.3} ms", now()));
        }
        yield event(JobStatus::Completed, 100.0, String::new());
    }
}

/// When the next event is due.
enum Ticks {
    Clock(tokio::time::Interval),
    Told(watch::Receiver<f32>),
}

impl Ticks {
    fn new(pace: Pace) -> Self {
        match pace {
            Pace::Every(period) => {
                let mut clock = interval(period);
                clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
                Self::Clock(clock)
            }
            Pace::Told(told) => Self::Told(told),
        }
    }

    /// The progress to tell, where somebody has said so.
    async fn next(&mut self) -> Option<f32> {
        match self {
            Self::Clock(clock) => {
                clock.tick().await;
                None
            }
            Self::Told(told) => match told.changed().await {
                Ok(()) => Some(*told.borrow_and_update()),
                Err(_) => std::future::pending().await,
            },
        }
    }
}
