//! Puts the worker together and serves it.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use proto::v1::{FILE_DESCRIPTOR_SET, worker_service_server::WorkerServiceServer};
use service::{
    env::{Mistake, Mistakes},
    lifecycle::{Lifecycle, Outcome},
};
use tokio::net::TcpListener;
use tonic::transport::{
    Server,
    server::{Router, TcpIncoming},
};

use crate::{
    certificate::Version,
    clock::Clock,
    config::{Config, LOCAL_STORAGE_DIR, WORK_DIR},
    grpc::{About, Service},
    identity::Identity,
    lease::Terms,
    media::known::Known,
    scratch::Scratch,
    shutdown,
    task::{Denied, Desk, Registry, Workshop},
    tool::confine,
    uploader::{self, Local, S3, S3Client, S3Settings, Storages, Timing},
    validator::Validator,
};

/// How often a silent peer is asked whether it is still there, and how long it has to answer. A control plane that is
/// gone without a word must not keep its tasks running.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(20));

/// A worker that is ready to serve.
#[derive(Debug)]
pub struct Worker {
    desk: Desk,
    config: Config,
}

impl Worker {
    /// Puts a worker together and tries its folders.
    ///
    /// # Errors
    /// Every folder that cannot be written.
    pub fn new(config: Config, lifecycle: Lifecycle) -> Result<Self, Mistakes> {
        let s3 = S3Client::new(S3Settings {
            region: config.storage.region.clone(),
            endpoint: None,
            credentials: None,
            timing: Timing::default(),
        });
        let bucket = config.storage.bucket.as_ref().map(|bucket| S3::new(s3.clone(), bucket));
        let storages = Storages::new(bucket, config.storage.directory.as_ref().map(Local::new));
        try_folders(&config, &storages)?;
        let validator =
            Validator { tools: config.tools.clone(), level: config.validation, timeout: config.validation_timeout };
        let terms = Terms { clock: Clock::boot(), lasts: config.orphan_grace, margin: storages.margin() };
        let workshop = Workshop {
            tools: config.tools.clone(),
            ffmpeg: Version::default(),
            inputs: config.input.clone(),
            known: Known::default(),
            limits: config.limits.clone(),
            validator,
            storages,
            s3,
            work_dir: config.work_dir.clone(),
        };
        let registry = Registry::new(config.max_jobs);
        Ok(Self {
            desk: Desk { workshop: Arc::new(workshop), registry, terms, denied: Denied::default(), lifecycle },
            config,
        })
    }

    /// Serves on `listener` until the worker is idle or is asked to stop.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub async fn run(self, listener: TcpListener) -> anyhow::Result<Outcome> {
        let (lifecycle, grace) = (self.desk.lifecycle.clone(), self.config.shutdown_grace);
        self.start(listener).await?;
        Ok(shutdown::finish(&lifecycle, grace).await)
    }

    /// Starts everything that runs beside the jobs.
    async fn start(self, listener: TcpListener) -> anyhow::Result<()> {
        let Desk { lifecycle, registry, .. } = self.desk.clone();
        let address = listener.local_addr().context("the listener has no address")?;
        let router = self.router(Identity::of(address)).await?;
        // Otherwise each small answer could wait for the peer's delayed acknowledgement.
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let served = || shutdown::served(lifecycle.clone(), registry.clone());
        let (last_call, served, broken) = (served(), served(), lifecycle.clone());
        lifecycle.spawn("grpc", async move {
            // Connections that idle, such as health watchers, do not hold up the exit.
            let closing_time = async {
                served.await;
                tokio::time::sleep(shutdown::FLUSH).await;
            };
            tokio::select! {
                result = router.serve_with_incoming_shutdown(incoming, last_call) => if let Err(error) = result {
                    tracing::error!(%error, "gRPC server failed");
                    // Another process may listen here from now on, and must find no task running.
                    broken.abort();
                },
                () = closing_time => {}
            }
        });
        if self.config.auto_shutdown {
            lifecycle
                .spawn("idle", shutdown::stop_when_idle(lifecycle.clone(), registry, self.config.first_job_timeout));
        }
        lifecycle.spawn("sweep", self.sweep());
        if !confine::is_possible() {
            tracing::warn!(
                "this kernel cannot confine ffmpeg (Landlock, Linux 6.7): HLS playlists are not read as inputs"
            );
        }
        tracing::info!(%address, worker.id = self.config.worker_id, version = service::VERSION, "worker is ready");
        Ok(())
    }

    /// The service, with reflection (v1 and v1alpha) and health for everything it serves.
    async fn router(&self, identity: Identity) -> anyhow::Result<Router> {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let worker_id = self.config.worker_id.clone();
        let service = Service { desk: self.desk.clone(), about: Arc::new(About { worker_id, identity }) };
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<WorkerServiceServer<Service>>().await;
        let lifecycle = self.desk.lifecycle.clone();
        self.desk.lifecycle.spawn("health", async move {
            lifecycle.stopping().await;
            health.set_not_serving::<WorkerServiceServer<Service>>().await;
            health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        });
        Ok(Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE.0))
            .http2_keepalive_timeout(Some(KEEPALIVE.1))
            .add_service(WorkerServiceServer::new(service))
            .add_service(health_service)
            .add_service(reflection().build_v1().context("reflection v1")?)
            .add_service(reflection().build_v1alpha().context("reflection v1alpha")?))
    }

    /// Removes what dead workers left behind.
    fn sweep(&self) -> impl Future<Output = ()> + Send + use<> {
        let (workshop, lifecycle) = (Arc::clone(&self.desk.workshop), self.desk.lifecycle.clone());
        let roots: Vec<_> = std::iter::once(self.config.work_dir.clone()).chain(workshop.storages.staging()).collect();
        async move {
            let receipts = Arc::clone(&workshop);
            let sweep = async {
                // Nothing depends on it.
                let _ = tokio::task::spawn_blocking(move || receipts.storages.forget_old()).await;
                for root in &roots {
                    uploader::recover(root, &workshop.s3).await;
                }
            };
            tokio::select! {
                () = sweep => {}
                () = lifecycle.stopping() => {}
            }
        }
    }
}

/// Finds out at the start, not with the first job, that a folder cannot be used.
fn try_folders(config: &Config, storages: &Storages) -> Result<(), Mistakes> {
    let folders = [(WORK_DIR, Some(config.work_dir.clone())), (LOCAL_STORAGE_DIR, storages.staging())];
    let tried = folders.into_iter().filter_map(|(setting, folder)| {
        let error = Scratch::create_unnamed(&folder?).err()?;
        Some(Mistake { name: setting.name, reason: error.to_string() })
    });
    let mistakes: Vec<_> = tried.collect();
    if mistakes.is_empty() { Ok(()) } else { Err(Mistakes(mistakes)) }
}
