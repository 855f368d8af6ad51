//! The control plane: takes jobs over REST, hands them to workers over gRPC, tells clients what becomes of them.
//!
//! A request enters in [`api`], is checked in [`job`], finds a worker in [`balancer`], is written down in [`store`],
//! and is followed to its end in [`dispatcher`], which tells listeners through [`event`].

pub mod api;
pub mod balancer;
pub mod config;
pub mod dispatcher;
pub mod event;
pub mod healthcheck;
pub mod job;
pub mod limits;
pub mod metrics;
mod object;
pub mod open_files;
pub mod server;
pub mod store;
pub mod text;
pub mod tls;
pub mod view;
pub mod webhook;
pub mod worker_client;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use service::lifecycle::{Lifecycle, Outcome};
use tokio::{net::TcpListener, time::timeout};

use crate::{
    api::Api,
    balancer::Balancer,
    config::Config,
    dispatcher::{Dispatcher, Rules},
    metrics::Metrics,
    store::{Database, JobStore, StoreConfig},
    webhook::Deliverer,
};

/// How long tasks may take to end once they have been told to drop everything.
const LAST: Duration = Duration::from_secs(5);

/// Serves on `listener` until `lifecycle` is stopped and its tasks have ended.
///
/// # Errors
/// When the listener is not usable.
pub async fn run(config: Config, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<Outcome> {
    let address = listener.local_addr().context("the listener has no address")?;
    if config.api_key.is_none() {
        tracing::warn!("API_KEY is not set: every route is open");
    }
    let metrics = Metrics::new();
    let balancer = Balancer::new(config.workers, config.startup_timeout, config.limits.stagger, metrics.clone());
    let store = store::open(&StoreConfig { database: config.database.clone() }).await?;
    let rules = Rules {
        max_queued: config.max_queued_jobs,
        max_attempts: config.job_max_attempts,
        retention: config.job_retention,
        shared_store: matches!(config.database, Database::Postgres(_)),
        durable_store: !matches!(config.database, Database::Memory),
        chunk_seconds: config.split_chunk_seconds,
        split: config.split,
    };
    let dispatcher =
        Dispatcher::new(balancer, Arc::clone(&store), metrics.clone(), config.limits, rules, lifecycle.clone());
    dispatcher.start().await.context("cannot take over the jobs in the store")?;
    let deliverer = Deliverer::new(Arc::clone(&store), config.webhook, metrics.clone(), webhook::Limits::default())?;
    lifecycle.spawn("callbacks", deliverer.run(lifecycle.clone()));
    let closing = closing(dispatcher.clone(), lifecycle.clone());
    let last = dispatcher.clone();
    let api_key = config.api_key.map(Arc::new);
    let router =
        api::router(Api { dispatcher, metrics, store_health: Arc::default(), api_key, lifecycle: lifecycle.clone() });
    let server = server::serve(listener, config.limits.connections, router, lifecycle.clone(), closing);
    lifecycle.spawn("server", server);
    tracing::info!(server.address = %address, version = service::VERSION, "control plane is ready");
    let outcome = lifecycle.finish(config.shutdown_grace, LAST).await;
    leave(&last, store.as_ref()).await;
    tracing::info!(?outcome, "control plane has stopped");
    Ok(outcome)
}

/// Lets others have the jobs, and ends the store.
async fn leave(dispatcher: &Dispatcher, store: &dyn JobStore) {
    let leave = async {
        dispatcher.resign().await;
        store.close().await;
    };
    if timeout(LAST, leave).await.is_err() {
        tracing::warn!("the store did not close in time");
    }
}

/// The server stays open while jobs run, so that clients can learn how they end; new jobs are refused meanwhile.
async fn closing(dispatcher: Dispatcher, lifecycle: Lifecycle) {
    lifecycle.stopping().await;
    tokio::select! {
        () = dispatcher.drained() => {}
        () = lifecycle.aborting() => {}
    }
}
