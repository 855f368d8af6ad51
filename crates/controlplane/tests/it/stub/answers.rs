//! What a stub answers to each call.

use proto::v1::{PlanRequest, worker_service_server::WorkerService};

use super::*;

/// The gRPC side of a stub.
pub(super) struct Service(pub(super) Arc<Inner>);

/// Tells when a call that was never answered is dropped.
struct Abandoned(Arc<Inner>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.abandoned.notify_one();
    }
}

#[tonic::async_trait]
impl WorkerService for Service {
    type SubmitJobStream = Events;
    type AttachJobStream = Events;
    type PlanJobStream = Events;
    type WatchStatusStream = Pin<Box<dyn Stream<Item = Result<WorkerStatus, Status>> + Send>>;

    async fn submit_job(&self, request: Request<JobRequest>) -> Result<Response<Self::SubmitJobStream>, Status> {
        self.begin(request.into_inner(), None).await
    }

    async fn plan_job(&self, request: Request<PlanRequest>) -> Result<Response<Self::PlanJobStream>, Status> {
        let PlanRequest { job, chunk_seconds } = request.into_inner();
        if self.manners().release == Release::Splits {
            self.begin(job.expect("a job"), Some(chunk_seconds)).await
        } else {
            Err(Status::unimplemented("not known here"))
        }
    }

    async fn get_status(&self, _: Request<StatusRequest>) -> Result<Response<WorkerStatus>, Status> {
        let before = self.0.probes.fetch_add(1, Ordering::SeqCst);
        let answers = match self.manners().answers {
            Answers::All => true,
            Answers::EveryThird => before.is_multiple_of(3),
            Answers::None => false,
        };
        if !answers {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(self.status()))
    }

    async fn cancel_job(&self, request: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        let id = request.into_inner().job_id;
        let success = self.0.active().contains_key(&id);
        self.0.cancels.send(id).expect("the test keeps the stub");
        Ok(Response::new(CancelResponse { success, message: String::new() }))
    }

    async fn attach_job(&self, request: Request<AttachRequest>) -> Result<Response<Self::AttachJobStream>, Status> {
        self.leases().await?;
        let request = request.into_inner();
        match self.0.known().get(&request.job_id) {
            Some((attempt, line)) if *attempt == request.attempt => Ok(Response::new(listen(line))),
            Some(_) | None => Err(Status::not_found("no such attempt")),
        }
    }

    async fn renew_lease(&self, request: Request<LeaseRequest>) -> Result<Response<LeaseResponse>, Status> {
        self.leases().await?;
        let request = request.into_inner();
        self.0.renewals.fetch_add(1, Ordering::SeqCst);
        let known = self.0.known().get(&request.job_id).is_some_and(|(attempt, _)| *attempt == request.attempt);
        Ok(Response::new(LeaseResponse { known, clock_ms: self.0.clock() }))
    }

    async fn release_job(&self, request: Request<ReleaseRequest>) -> Result<Response<ReleaseResponse>, Status> {
        self.leases().await?;
        let ReleaseRequest { job_id, attempt } = request.into_inner();
        self.0.known().remove(&job_id);
        self.0.releases.send((job_id, attempt)).expect("the test keeps the stub");
        Ok(Response::new(ReleaseResponse {}))
    }

    async fn watch_status(&self, _: Request<StatusRequest>) -> Result<Response<Self::WatchStatusStream>, Status> {
        self.leases().await?;
        let (service, mut load) = (Self(Arc::clone(&self.0)), self.0.load.subscribe());
        Ok(Response::new(Box::pin(async_stream::stream! {
            loop {
                yield Ok(service.status());
                if load.changed().await.is_err() {
                    return;
                }
            }
        })))
    }
}

impl Service {
    async fn begin(&self, request: JobRequest, chunk_seconds: Option<f64>) -> Result<Response<Events>, Status> {
        let manners = self.manners();
        self.0.submissions.fetch_add(1, Ordering::SeqCst);
        if let Some(refusal) = manners.refusal {
            return Err(refusal);
        }
        if manners.never_admits {
            let _abandoned = Abandoned(Arc::clone(&self.0));
            std::future::pending::<()>().await;
        }
        let mut active = self.0.active();
        if active.len() >= manners.slots {
            return Err(Status::resource_exhausted("every slot is taken"));
        }
        let line =
            Arc::new(Line { feed: Feed::new(), cut: watch::Sender::new(None), listeners: watch::Sender::new(0) });
        active.insert(request.job_id.clone(), Arc::clone(&line));
        self.0.known().insert(request.job_id.clone(), (request.attempt, Arc::clone(&line)));
        let stream = listen(&line);
        let job = Job { request, chunk_seconds, line, inner: Arc::clone(&self.0) };
        self.0.jobs.send(job).expect("the test keeps the stub");
        Ok(Response::new(stream))
    }

    fn status(&self) -> WorkerStatus {
        let manners = self.manners();
        let active: Vec<_> = self.0.active().keys().cloned().collect();
        let number = |count: usize| i32::try_from(count).expect("few");
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).expect("short");
        let status = WorkerStatus {
            current_jobs: if manners.boasts { 0 } else { number(active.len()) },
            max_concurrent_jobs: if manners.boasts { 1 } else { number(manners.slots) },
            active_job_ids: active,
            worker_id: "stub".to_owned(),
            version: "1.2.3".to_owned(),
            splits: manners.release == Release::Splits,
            ..WorkerStatus::default()
        };
        let Some((lasts, fence)) = manners.lease else { return status };
        WorkerStatus {
            instance_id: self.0.instance.clone(),
            place_id: manners.place,
            clock_ms: self.0.clock(),
            lease_ms: millis(lasts),
            fence_ms: millis(fence),
            ..status
        }
    }

    /// What a worker without leases says to calls about them, and one that is paused does not say.
    async fn leases(&self) -> Result<(), Status> {
        let manners = self.manners();
        if manners.is_paused {
            std::future::pending::<()>().await;
        }
        if manners.lease.is_some() { Ok(()) } else { Err(Status::unimplemented("not known here")) }
    }

    fn manners(&self) -> Manners {
        self.0.manners.lock().expect("no panic").clone()
    }
}
