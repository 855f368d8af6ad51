//! A worker under test, and a client of it.

use std::net::SocketAddr;

use proto::v1::{StatusRequest, WorkerStatus, worker_service_client::WorkerServiceClient};
use tonic::transport::{Channel, Endpoint};

use crate::{
    daemon::{Daemon, Launch, Port},
    wait::until,
};

/// A worker that is not started yet.
#[derive(Debug)]
pub struct WorkerBuilder {
    pub(crate) launch: Launch,
    pub(crate) port: Port,
}

impl WorkerBuilder {
    /// Sets a variable.
    #[must_use]
    pub fn env(self, name: &str, value: &(impl ToString + ?Sized)) -> Self {
        Self { launch: self.launch.env(name, value), ..self }
    }

    /// Removes a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.launch.env.retain(|(other, _)| other != name);
        self
    }

    /// Starts it and waits until it listens.
    pub async fn start(self) -> Worker {
        let daemon = Daemon::start(self.launch, self.port).await;
        let endpoint = Endpoint::from_shared(format!("http://{}", daemon.address())).expect("a URL");
        Worker { daemon, client: WorkerServiceClient::new(endpoint.connect_lazy()) }
    }

    /// How it would be started, for runs that end by themselves.
    #[must_use]
    pub fn launch(self) -> (Launch, Port) {
        (self.launch, self.port)
    }
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    /// Its process.
    pub daemon: Daemon,
    client: WorkerServiceClient<Channel>,
}

impl Worker {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.daemon.address()
    }

    /// A client that talks to it directly.
    #[must_use]
    pub fn client(&self) -> WorkerServiceClient<Channel> {
        self.client.clone()
    }

    /// What it says of itself.
    pub async fn status(&self) -> WorkerStatus {
        self.client().get_status(StatusRequest {}).await.expect("a worker tells its status").into_inner()
    }

    /// Waits until it runs this many jobs.
    pub async fn running(&self, count: i32) {
        let what = format!("{count} jobs run");
        until(&what, async || self.status().await.current_jobs == count).await;
    }
}
