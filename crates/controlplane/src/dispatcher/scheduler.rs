//! Starts the jobs that wait: first there must be room, then the best job is taken, then a worker gets it.
//!
//! Everything that could make a difference wakes it: a new job, a job that becomes due, an attempt that has ended, a
//! worker that says it has room. Nothing is asked in between.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::broadcast,
    time::{sleep, timeout},
};

use super::{
    Shared,
    choice::Choice,
    live::Handle,
    place::{Placed, Placement, Unplaced},
    policy,
};
use crate::{
    balancer::{Candidate, Candidates, Rooms},
    job::Job,
    store::{Change, Expected, Fate, Record},
};

/// Pause after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How long a job lets others pass for which no worker with room is set up, or which those have failed, at least and at most.
const ASIDE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// The same for what is left over of a split job.
const LEFT_OVER: Duration = Duration::from_secs(30);

/// How long a job lets others pass that a worker with room did not take.
const REFUSED: Duration = Duration::from_millis(500);

/// How long another worker is looked for: other jobs wait behind this one.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long workers are watched after the last job that waited.
const LINGER: Duration = Duration::from_secs(5);

/// What became of a round.
enum Round {
    /// A job was started, or put aside: there may be more.
    Again,
    /// No job waits that is due.
    Empty(Option<Timestamp>),
    /// No worker has room.
    Full,
    /// Only tasks of split jobs wait, and no worker with room knows them. With when the next job is due.
    Unfit(Option<Timestamp>),
    /// The store failed.
    Failed,
}

/// Runs until the process stops.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut changes = shared.store.changes();
    let mut rooms = None;
    loop {
        // The round sees what has happened so far.
        changes = changes.resubscribe();
        let found = tokio::select! {
            biased;
            () = shared.lifecycle.stopping() => return,
            found = look(&shared) => found,
        };
        let round = match found {
            // A stop waits for it: a worker may have the job already.
            Ok((candidate, candidates)) => shared.drives.track_future(start(&shared, candidate, candidates)).await,
            Err(round) => round,
        };
        tokio::select! {
            () = shared.lifecycle.stopping() => return,
            () = rest(&shared, &mut changes, &mut rooms, round) => {}
        }
    }
}

/// Waits for what could make another round worth while.
async fn rest<'a>(
    shared: &'a Shared,
    changes: &mut broadcast::Receiver<Change>,
    rooms: &mut Option<Rooms<'a>>,
    round: Round,
) {
    match round {
        Round::Again => {}
        Round::Failed => sleep(STORE_PAUSE).await,
        Round::Full => tokio::select! {
            () = watched(shared, rooms).next(false) => {}
            () = shared.room.notified() => {}
        },
        Round::Unfit(due) => tokio::select! {
            () = watched(shared, rooms).next(true) => {}
            () = shared.room.notified() => {}
            () = queued(changes) => {}
            () = until(due) => {}
        },
        Round::Empty(due) => tokio::select! {
            () = queued(changes) => {}
            () = until(due) => {}
            () = linger(rooms) => {}
        },
    }
}

/// The workers, watched from now on unless they are already.
fn watched<'r, 'a>(shared: &'a Shared, rooms: &'r mut Option<Rooms<'a>>) -> &'r mut Rooms<'a> {
    rooms.get_or_insert_with(|| shared.balancer.rooms())
}

/// Watches on for a while, in case the next job comes soon, then lets the workers sleep. Does not end.
async fn linger(rooms: &mut Option<Rooms<'_>>) {
    if let Some(rooms) = rooms {
        let watch = async {
            loop {
                rooms.next(false).await;
            }
        };
        let _ = timeout(LINGER, watch).await;
    }
    *rooms = None;
    std::future::pending::<()>().await;
}

/// Ends when a job may wait that did not before.
async fn queued(changes: &mut broadcast::Receiver<Change>) {
    loop {
        match changes.recv().await {
            Ok(Change::Queued | Change::Unknown) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Ok(Change::Job(_) | Change::Cancel(_) | Change::Progress { .. } | Change::Callback) => {}
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn until(due: Option<Timestamp>) {
    match due {
        Some(due) => sleep(Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default()).await,
        None => std::future::pending().await,
    }
}

/// Looks for a worker with room, if a job waits.
async fn look(shared: &Arc<Shared>) -> Result<(Candidate, Candidates<'_>), Round> {
    let now = Timestamp::now();
    match shared.store.next_due(Timestamp::MIN).await {
        Ok(Some(due)) if due <= now => {}
        Ok(due) => return Err(Round::Empty(due)),
        Err(error) => return Err(failed(&error)),
    }
    let _timer = shared.metrics.selection();
    let mut candidates = shared.balancer.likely_candidates();
    // A worker that hangs must not hide that another one has got room.
    let candidate = tokio::select! {
        candidate = candidates.next() => candidate,
        () = shared.room.notified() => return Err(Round::Again),
    };
    candidate.map(|candidate| (candidate, candidates)).ok_or(Round::Full)
}

/// Starts the best job on that worker.
async fn start(shared: &Arc<Shared>, mut candidate: Candidate, mut candidates: Candidates<'_>) -> Round {
    loop {
        let splits = candidate.status.splits;
        match shared.store.claim(shared.ownership.plane, Timestamp::now(), splits).await {
            Ok(Some(record)) => return place(shared, record, candidate, candidates).await,
            // Another control plane was faster.
            Ok(None) if splits => return Round::Again,
            Ok(None) => match timeout(PATIENCE, candidates.next()).await {
                Ok(Some(next)) => candidate = next,
                Ok(None) if shared.balancer.knows_no_tasks() => return give_up(shared, candidate, candidates).await,
                Ok(None) | Err(_) => return unfit(shared).await,
            },
            Err(error) => return failed(&error),
        }
    }
}

/// Only tasks wait, and all workers are of an older release that knows none. What they would wait for may never come, so a
/// task is claimed to be refused, and its job is encoded whole.
async fn give_up(shared: &Arc<Shared>, candidate: Candidate, candidates: Candidates<'_>) -> Round {
    match shared.store.claim(shared.ownership.plane, Timestamp::now(), true).await {
        Ok(Some(record)) => place(shared, record, candidate, candidates).await,
        Ok(None) => unfit(shared).await,
        Err(error) => failed(&error),
    }
}

/// Only tasks wait, and no worker with room knows them.
async fn unfit(shared: &Shared) -> Round {
    match shared.store.next_due(Timestamp::now()).await {
        Ok(due) => Round::Unfit(due),
        Err(error) => failed(&error),
    }
}

fn failed(error: &crate::store::Error) -> Round {
    tracing::error!(%error, "cannot read the queue");
    Round::Failed
}

/// Starts a job that this process has just claimed.
async fn place(shared: &Arc<Shared>, record: Record, first: Candidate, candidates: Candidates<'_>) -> Round {
    let (id, job) = (record.job.id, record.job);
    let stored = Expected { owner: record.owner, ..shared.mine(&job) };
    let (feed, handle) = shared.drive(id, record.cancel_requested).await;
    if handle.cancel.is_cancelled() {
        shared.end_unplaced(Unplaced { job, stored, picky: false }, &handle, policy::cancel).await;
        return Round::Again;
    }
    let placement = Placement { job, feed, handle: handle.clone(), stored, provisional: false, written: false };
    match placement.offer(shared, Choice::new(first, candidates, Some(PATIENCE))).await {
        Placed::Running(drive, link) => {
            shared.spawn(*drive, link);
            Round::Again
        }
        Placed::Refused(unplaced, _) if unplaced.job.is_cleanup() => {
            put_back(shared, Unplaced { picky: true, ..unplaced }, &handle).await
        }
        Placed::Refused(unplaced, reason) => {
            shared.end_unplaced(unplaced, &handle, |job, now| policy::refuse(job, &reason, now)).await;
            Round::Again
        }
        Placed::Nowhere(unplaced) => put_back(shared, unplaced, &handle).await,
        Placed::Lost => {
            shared.let_go(id, &handle).await;
            Round::Again
        }
    }
}

/// Lets a job wait on that no worker took.
async fn put_back(shared: &Shared, unplaced: Unplaced, handle: &Handle) -> Round {
    let now = Timestamp::now();
    let pause = match unplaced.picky {
        true if unplaced.job.is_cleanup() => LEFT_OVER,
        true => aside(&unplaced.job, now),
        false => REFUSED,
    };
    let fate = Fate::Waiting { due: now + pause };
    // Unwritten, it stays this process's until the next one takes it over.
    if shared.write_silently(&unplaced.job, unplaced.stored, fate, handle).await.is_err() {
        tracing::warn!(job.id = %unplaced.job.id, "job cannot be put back");
    }
    shared.let_go(unplaced.job.id, handle).await;
    Round::Again
}

/// As long as the job's last attempt is over: there may be many such jobs.
fn aside(job: &Job, now: Timestamp) -> Duration {
    let over = job.last_end().and_then(|end| Duration::try_from(now.duration_since(end)).ok());
    over.unwrap_or_default().clamp(ASIDE.0, ASIDE.1)
}
