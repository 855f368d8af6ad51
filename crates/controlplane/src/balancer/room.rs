//! Waits until some worker has room. Workers tell of it themselves; only those of the original service are asked.

use std::time::Duration;

use futures_util::future::select_all;
use tokio::time::{sleep, timeout};

use super::Worker;
use crate::worker_client::{Connection, WorkerStatus};

/// Pauses between two tries to reach a worker that does not answer: the first, and the longest.
const UNREACHABLE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// Pause between two questions to a worker that does not tell by itself.
const ASK: Duration = Duration::from_secs(1);

/// How long a worker that tells by itself may say nothing before it is asked.
const SILENCE: Duration = Duration::from_secs(30);

/// Ends when one of `workers` has room, one that `splits` if need be; each may take `limit` to answer.
pub(super) async fn wait(workers: &[Worker], limit: Duration, splits: bool) {
    let waits = workers.iter().map(|worker| Box::pin(has_room(worker, limit, splits)));
    select_all(waits).await;
}

async fn has_room(worker: &Worker, limit: Duration, splits: bool) {
    let mut pause = UNREACHABLE.0;
    loop {
        match Connection::open(&worker.address, limit).await {
            Ok((_, status)) if suits(&status, splits) => return,
            Ok((connection, _)) => {
                pause = UNREACHABLE.0;
                if told(&connection, limit, splits).await {
                    return;
                }
                sleep(ASK).await;
            }
            Err(_) => {
                sleep(pause).await;
                pause = (pause * 2).min(UNREACHABLE.1);
            }
        }
    }
}

fn suits(status: &WorkerStatus, splits: bool) -> bool {
    status.has_room() && (status.splits || !splits)
}

/// True when the worker said that it has room; false when it went away, or does not tell.
async fn told(connection: &Connection, limit: Duration, splits: bool) -> bool {
    let Ok(mut watch) = connection.watch(limit).await else { return false };
    // A worker that is gone without a word would be waited for without end.
    while let Ok(Ok(Some(status))) = timeout(SILENCE, watch.next()).await {
        if suits(&status, splits) {
            return true;
        }
    }
    false
}
