//! The way to a running attempt: listens while the stream is open, and looks for the attempt when it is lost.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{
    drive::{Drive, End},
    keeper::Keeper,
    policy::Ending,
};
use crate::{
    balancer::Address,
    job::attempt::Lease,
    worker_client::{Connection, Error, Task, WorkerStatus},
};

/// How many questions in a row may fail before a worker without leases is lost. One may fail because the machine was
/// busy, and a job that has run for hours should not end with it.
const QUESTIONS: u32 = 3;

/// Pauses between two looks for an attempt: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What one look for an attempt found.
enum Sight {
    /// Its stream.
    Task(Box<Task>),
    /// Certainty that it has ended, with what the reason of the loss does not say.
    Gone(Option<&'static str>),
    /// Nothing.
    Nothing,
}

/// Ends then; never without a time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl Drive {
    /// Listens until the stream ends. Answers why it was lost; `Err` at the end of everything.
    pub(super) async fn listen(&mut self, mut task: Box<Task>) -> Result<String, End> {
        let keeper =
            self.fence.clone().map(|fence| Keeper::start(&self.shared, fence, self.name(), task.connection().clone()));
        let unknown = keeper.as_ref().map(|keeper| keeper.unknown.clone()).unwrap_or_default();
        let closed = keeper.as_ref().map(|keeper| keeper.closed.clone()).unwrap_or_default();
        let (lifecycle, handle, leased) = (self.shared.lifecycle.clone(), self.handle.clone(), keeper.is_some());
        let unconfirmed = self.unconfirmed(&task);
        tokio::pin!(unconfirmed);
        let mut unanswered = 0;
        loop {
            let over = self.fence.as_ref().map(|fence| fence.lock().over_at());
            let heard = tokio::select! {
                biased;
                () = handle.superseded.cancelled() => return Err(End::Superseded),
                heard = timeout(self.shared.limits.silence, task.next()) => heard,
                () = lifecycle.stopping(), if leased && self.shared.rules.durable_store => return Err(End::Left),
                () = &mut unconfirmed => return Ok(self.abandon()),
                () = closed.cancelled(), if leased => return Ok("its connection takes no more calls".to_owned()),
                // A renewal that was answered meanwhile has moved the fence.
                () = until(over) => {
                    if self.fence.as_ref().is_some_and(|fence| fence.lock().over_at() <= Instant::now()) {
                        return Ok("its lease could not be renewed".to_owned());
                    }
                    continue;
                }
                // Its last word may be on the way.
                () = unknown.cancelled(), if leased => {
                    timeout(self.shared.limits.farewell, task.next()).await.map_or(Ok(Ok(None)), Ok)
                }
            };
            match heard {
                Ok(Ok(Some(update))) => {
                    unanswered = 0;
                    match self.apply(update).await {
                        Some(End::Attempt(ending, _)) => return Err(End::Attempt(ending, Some(task))),
                        Some(end) => return Err(end),
                        None => {}
                    }
                }
                Ok(Ok(None)) => return Ok("its stream ended without a result".to_owned()),
                Ok(Err(error)) => return Ok(error.chain()),
                Err(_) if leased => {}
                Err(_) => match task.is_running(self.job.id, self.shared.limits.question).await {
                    Ok(true) => unanswered = 0,
                    Ok(false) => return Ok("it does not know the job any more".to_owned()),
                    Err(error) => {
                        unanswered += 1;
                        let worker = self.job.worker().unwrap_or_default();
                        tracing::warn!(job.id = %self.job.id, worker.address = worker, unanswered, error = error.chain(), "worker is silent");
                        if unanswered >= QUESTIONS {
                            return Ok(error.chain());
                        }
                    }
                },
            }
        }
    }

    /// Waits for a cancellation, passes it on, and ends when the worker does not confirm it in time.
    fn unconfirmed(&self, task: &Task) -> impl Future<Output = ()> + Send + use<> {
        let tell = self.pass_cancel_on(task.connection());
        let (cancel, limit) = (self.handle.cancel.clone(), self.shared.limits.cancel_end);
        async move {
            cancel.cancelled().await;
            let both = async { tokio::join!(tell, sleep(limit)) };
            both.await;
        }
    }

    fn abandon(&mut self) -> String {
        self.abandoned = true;
        "it did not confirm the cancellation".to_owned()
    }

    /// Looks for the attempt until it is found or has certainly ended.
    pub(super) async fn search(&mut self, reason: String) -> Result<Box<Task>, End> {
        let worker = self.job.worker().unwrap_or_default().to_owned();
        tracing::info!(job.id = %self.job.id, worker.address = worker, reason, "stream lost, looking for the attempt");
        let unleased = Instant::now() + self.shared.limits.unleased;
        let (lifecycle, handle) = (self.shared.lifecycle.clone(), self.handle.clone());
        let mut pause = PAUSES.0;
        loop {
            let over = self.fence.as_ref().map_or(unleased, |fence| fence.lock().over_at());
            if Instant::now() >= over {
                return Err(self.gone(reason));
            }
            let look = async {
                let sight = self.look(&worker).await;
                if matches!(sight, Sight::Nothing) {
                    sleep(pause).await;
                }
                sight
            };
            let sight = tokio::select! {
                biased;
                () = handle.superseded.cancelled() => return Err(End::Superseded),
                () = lifecycle.stopping(), if self.shared.rules.durable_store => return Err(End::Left),
                sight = look => sight,
                () = tokio::time::sleep_until(over) => Sight::Nothing,
            };
            match sight {
                Sight::Task(task) => {
                    tracing::info!(job.id = %self.job.id, worker.address = worker, "attempt found again");
                    return Ok(task);
                }
                Sight::Gone(None) => return Err(self.gone(reason)),
                Sight::Gone(Some(why)) => {
                    return Err(self.gone(format!("{reason}; {why}")));
                }
                Sight::Nothing => pause = (pause * 2).min(PAUSES.1),
            }
        }
    }

    fn gone(&self, reason: String) -> End {
        End::Attempt(if self.heard { Ending::Gone(reason) } else { Ending::Unheard(reason) }, None)
    }

    async fn look(&self, worker: &str) -> Sight {
        let Ok(address) = worker.parse::<Address>() else { return Sight::Nothing };
        let Ok((connection, status)) = Connection::open(&address, self.shared.limits.question).await else {
            return Sight::Nothing;
        };
        let mine = self.fence.as_ref().map(|fence| fence.lock().lease().clone());
        match (mine, &status.lease) {
            (None, _) => self.unleased(&connection, &status).await,
            (Some(mine), Some(theirs)) => self.leased(&connection, &status, &mine, theirs).await,
            (Some(_), None) => Sight::Nothing,
        }
    }

    /// A worker without leases stops a task with its stream, if it notices; it is told again.
    async fn unleased(&self, connection: &Connection, status: &WorkerStatus) -> Sight {
        if !status.runs(self.job.id) {
            return Sight::Gone(None);
        }
        // It is asked again in any case.
        let _ = connection.cancel(self.job.id, self.shared.limits.cancel_call).await;
        Sight::Nothing
    }

    async fn leased(&self, connection: &Connection, status: &WorkerStatus, mine: &Lease, theirs: &Lease) -> Sight {
        if theirs.instance != mine.instance {
            let replaced = !mine.place.is_empty() && theirs.place == mine.place;
            return if replaced { Sight::Gone(Some("its worker was started anew")) } else { Sight::Nothing };
        }
        if self.abandoned && status.runs(self.job.id) {
            let _ = connection.cancel(self.job.id, self.shared.limits.cancel_call).await;
            return Sight::Nothing;
        }
        if !self.shared.ownership.holds() {
            return Sight::Nothing;
        }
        let clock = self.fence.as_ref().map_or(0, |fence| {
            let mut fence = fence.lock();
            fence.heard(status.clock, Instant::now());
            fence.renewal()
        });
        match connection.attach(self.name(), clock, self.shared.limits.question).await {
            Ok(task) => Sight::Task(Box::new(task)),
            Err(Error::Unknown(_)) => Sight::Gone(Some("its worker does not know it any more")),
            Err(error) => {
                tracing::debug!(job.id = %self.job.id, error = error.chain(), "cannot attach");
                Sight::Nothing
            }
        }
    }
}
