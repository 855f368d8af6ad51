//! `GET /api/v1/workers/status`

use std::{sync::Arc, time::Duration};

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

/// One worker. What it did not tell is absent.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct WorkerView {
    /// Where it listens.
    #[schema(example = "worker-1:50051")]
    address: String,
    /// Whether it answered.
    reachable: bool,
    /// The name it gives itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    worker_id: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    version: Option<String>,
    /// How many jobs it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    current_jobs: Option<u32>,
    /// How many it would run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    max_concurrent_jobs: Option<u32>,
    /// The jobs it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    active_job_ids: Option<Vec<String>>,
    /// Why it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
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
pub(super) async fn get_workers_status(State(api): State<Arc<Api>>) -> Json<WorkersView> {
    let answers = api.dispatcher.balancer().overview(PATIENCE).await;
    let workers = answers.into_iter().map(|(address, answer)| view(address, answer)).collect();
    Json(WorkersView { workers })
}

fn view(address: &Address, answer: Result<WorkerStatus, worker_client::Error>) -> WorkerView {
    let address = address.to_string();
    match answer {
        Ok(status) => WorkerView {
            address,
            reachable: true,
            worker_id: Some(status.worker_id),
            version: Some(status.version),
            current_jobs: Some(status.current_jobs),
            max_concurrent_jobs: Some(status.max_concurrent_jobs),
            active_job_ids: Some(status.active_job_ids),
            error: None,
        },
        Err(error) => WorkerView { address, error: Some(error.chain()), ..WorkerView::default() },
    }
}
