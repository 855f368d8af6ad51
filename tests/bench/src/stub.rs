//! Workers that encode nothing: they take jobs, report progress at a fixed rate or when they are told to, and end them
//! when they are told to. All of them live in this process.
//!
//! - [`encoder`] – what those tell that take the time of an encode
//!
//! Leases, status and release are answered as a real worker does, so that the control plane does all that it would do.

mod encoder;

use std::{
    collections::BTreeMap,
    future::pending,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub(crate) use encoder::Encoder;

use anyhow::Result;
use futures_util::future::Either;
use proto::v1::{
    AttachRequest, CancelRequest, CancelResponse, JobProgress, JobRequest, JobStatus, LeaseRequest, LeaseResponse,
    PlanRequest, ReleaseRequest, ReleaseResponse, StatusRequest, WorkerStatus,
    worker_service_server::{WorkerService, WorkerServiceServer},
};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_stream::Stream;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use self::encoder::Work;
use crate::measure::millis;

/// The leases that it gives, and its fence.
const LEASE: (u64, u64) = (60_000, 80_000);

/// How often those report that take their time.
const PROGRESS: Duration = Duration::from_millis(500);

/// When a stub's jobs report progress.
#[derive(Debug, Clone)]
pub(crate) enum Pace {
    /// Each job by itself, so often.
    Every(Duration),
    /// All jobs whenever this changes, to the progress that it holds. Their message then is [`now`].
    Told(watch::Receiver<f32>),
    /// Each job by itself, and it ends after the time that this takes. Jobs are split.
    Encodes(Encoder),
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
            let serve = Server::builder().add_service(service);
            serve.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))).await.expect("a server");
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

    /// Gives the slot of a job back.
    fn end(&self, id: &str) {
        self.active().remove(id);
        self.load.send_replace(());
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
            splits: matches!(self.pace, Pace::Encodes(_)),
            runtime_tasks: 0,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the age of this process is positive")]
fn clock() -> u64 {
    1 + now() as u64
}

struct Service(Arc<Inner>);

impl Service {
    /// Takes a job, one to be planned where there is a length of chunks.
    fn begin(&self, job: &JobRequest, chunk_seconds: Option<f64>) -> Result<Response<Events<JobProgress>>, Status> {
        let (id, end) = (job.job_id.clone(), Arc::new(Notify::new()));
        let mut active = self.0.active();
        if active.len() >= self.0.slots {
            return Err(Status::resource_exhausted("every slot is taken"));
        }
        active.insert(id.clone(), Arc::clone(&end));
        drop(active);
        self.0.load.send_replace(());
        let pace = self.0.pace.clone();
        let work = match &pace {
            Pace::Encodes(encoder) => encoder.work_on(job, chunk_seconds),
            Pace::Every(_) | Pace::Told(_) => Work::without_end(),
        };
        Ok(Response::new(Box::pin(events(Arc::clone(&self.0), id, end, pace, work))))
    }
}

type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl WorkerService for Service {
    type SubmitJobStream = Events<JobProgress>;
    type AttachJobStream = Events<JobProgress>;
    type PlanJobStream = Events<JobProgress>;
    type WatchStatusStream = Events<WorkerStatus>;

    async fn submit_job(&self, request: Request<JobRequest>) -> Result<Response<Self::SubmitJobStream>, Status> {
        self.begin(&request.into_inner(), None)
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

    async fn plan_job(&self, request: Request<PlanRequest>) -> Result<Response<Self::PlanJobStream>, Status> {
        let PlanRequest { job, chunk_seconds } = request.into_inner();
        self.begin(&job.unwrap_or_default(), Some(chunk_seconds))
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

/// What a job tells until it is ended, or has taken its time.
fn events(
    inner: Arc<Inner>,
    id: String,
    end: Arc<Notify>,
    mut pace: Pace,
    work: Work,
) -> impl Stream<Item = Result<JobProgress, Status>> + Send {
    let (job_id, status) = (id.clone(), JobStatus::Processing.into());
    let event = move |progress, message| {
        Ok(JobProgress { job_id: job_id.clone(), status, progress, message, ..JobProgress::default() })
    };
    async_stream::stream! {
        yield event(0.0, String::new());
        let mut over = pin!(work.takes.map_or_else(|| Either::Left(pending()), |time| Either::Right(sleep(time))));
        let mut progress = 0.0;
        if let Pace::Told(told) = &mut pace {
            told.mark_unchanged();
        }
        let mut ticks = Ticks::new(pace);
        loop {
            tokio::select! {
                biased;
                () = end.notified() => break,
                () = &mut over => break inner.end(&id),
                told = ticks.next() => progress = told.unwrap_or_else(|| f32::min(progress + 0.01, 99.0)),
            }
            yield event(progress, format!("sent at {:.3} ms", now()));
        }
        yield Ok(JobProgress { job_id: id, ..work.last });
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
            Pace::Every(period) => Self::every(period),
            Pace::Encodes(_) => Self::every(PROGRESS),
            Pace::Told(told) => Self::Told(told),
        }
    }

    fn every(period: Duration) -> Self {
        let mut clock = interval(period);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self::Clock(clock)
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
                Err(_) => pending().await,
            },
        }
    }
}
