//! `GET /api/v1/workers/status`

use std::time::Duration;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, error::ErrorBody};
use crate::{
    balancer::Address,
    worker_client::{self, WorkerStatus},
};

/// How long a worker may take to answer; a sleeping one shows as not reachable.
const PATIENCE: Duration = Duration::from_secs(5);

/// Every configured worker.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WorkersView {
    /// In the order of `WORKER_NODES`.
    workers: Vec<WorkerView>,
}

/// One worker.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WorkerView {
    /// Where it listens.
    #[schema(example = "worker-1:50051")]
    address: String,
    /// Whether it answered.
    reachable: bool,
    /// What it answered.
    #[serde(flatten)]
    status: Option<StatusView>,
    /// Why it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

/// What a worker says of itself.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatusView {
    /// The name it gives itself.
    worker_id: String,
    /// Its version.
    version: String,
    /// How many jobs it runs.
    current_jobs: u32,
    /// How many it would run.
    max_concurrent_jobs: u32,
    /// The jobs it runs.
    active_job_ids: Vec<String>,
}

/// Ask every worker how busy it is
#[utoipa::path(
    get,
    path = "/workers/status",
    tag = "workers",
    security(("api_key" = [])),
    responses(
        (status = 200, description = "Every configured worker, reachable or not", body = WorkersView),
        (status = 401, description = "No API key, or a wrong one", body = ErrorBody),
    )
)]
pub(super) async fn get_workers_status(State(api): State<Api>) -> Json<WorkersView> {
    let answers = api.dispatcher.balancer().overview(PATIENCE).await;
    let workers = answers.into_iter().map(|(address, answer)| view(address, answer)).collect();
    Json(WorkersView { workers })
}

fn view(address: &Address, answer: Result<WorkerStatus, worker_client::Error>) -> WorkerView {
    let address = address.to_string();
    match answer {
        Ok(status) => WorkerView { address, reachable: true, status: Some(status.into()), error: None },
        Err(error) => WorkerView { address, reachable: false, status: None, error: Some(error.chain()) },
    }
}

impl From<WorkerStatus> for StatusView {
    fn from(status: WorkerStatus) -> Self {
        let WorkerStatus { worker_id, version, current_jobs, max_concurrent_jobs, active_job_ids } = status;
        Self { worker_id, version, current_jobs, max_concurrent_jobs, active_job_ids }
    }
}
