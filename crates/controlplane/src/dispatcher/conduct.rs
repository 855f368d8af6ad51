//! Conducts a split job: watches its tasks and takes the next step, from its plan to its end.
//!
//! Tasks are driven like any job, here or by another control plane, and what becomes of them is in the store. So the
//! conductor reads the family, asks [`family::next`], and takes that step; each is one transaction that names what it
//! expects to find. Whoever takes over after a crash reads the same rows and comes to the same step.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep, sleep_until},
};

use super::{
    Shared,
    live::Handle,
    write::{Outcome, Unwritten},
};
use crate::{
    event::JobFeed,
    job::{
        Change, InvalidTransition, Job, JobId, Report, State, Status, TaskKind,
        family::{self, Member, Step},
        task,
    },
    metrics::Raised,
    store::{self, Expected, Fate, Record},
    worker_client::Vitals,
};

/// How long a word of the store that was lost may stay unnoticed.
const LOOK: Duration = Duration::from_secs(15);

/// Pause after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How many tasks are told to stop at the same time.
const STOPS: usize = 32;

/// The conductor of one job.
struct Conductor {
    shared: Arc<Shared>,
    job: Job,
    feed: JobFeed,
    handle: Handle,
    changes: Receiver<store::Change>,
    family: BTreeMap<JobId, Record>,
    /// When the family is read anew.
    look_at: Instant,
    _in_flight: Raised,
}

/// Why there is nothing more to conduct.
enum End {
    /// The job has ended.
    Ended,
    /// The process stops; the next one goes on.
    Left,
    /// Another process conducts the job, or it waits to be encoded whole.
    LetGo,
}

impl From<Unwritten> for End {
    fn from(unwritten: Unwritten) -> Self {
        match unwritten {
            Unwritten::Superseded => Self::LetGo,
            Unwritten::Stopping => Self::Left,
        }
    }
}

/// Conducts a job that belongs to this process and is written down as conducted.
pub(super) fn start(shared: &Arc<Shared>, job: Job, feed: JobFeed, handle: Handle) {
    let conductor = Conductor {
        // Before the family is read: nothing is missed in between.
        changes: shared.store.changes(),
        _in_flight: shared.metrics.job_in_flight(),
        shared: Arc::clone(shared),
        job,
        feed,
        handle,
        family: BTreeMap::new(),
        look_at: Instant::now(),
    };
    shared.lifecycle.spawn("conductor", conductor.run());
}

impl Conductor {
    async fn run(mut self) {
        let (lifecycle, handle, id) = (self.shared.lifecycle.clone(), self.handle.clone(), self.job.id);
        let end = tokio::select! {
            biased;
            () = lifecycle.stopping() => End::Left,
            () = handle.superseded.cancelled() => End::LetGo,
            end = self.conduct() => end,
        };
        match end {
            End::Ended => self.shared.ended(&self.job, &self.feed),
            End::Left => tracing::info!(job.id = %id, "split job goes on without this process"),
            End::LetGo => self.shared.let_go(id, &self.handle).await,
        }
    }

    async fn conduct(&mut self) -> End {
        loop {
            match self.read().await {
                Ok(()) => {
                    if let Some(end) = self.steps().await {
                        return end;
                    }
                }
                Err(error) => {
                    tracing::warn!(job.id = %self.job.id, %error, "cannot read the tasks of a job");
                    sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    async fn read(&mut self) -> Result<(), store::Error> {
        let records = self.shared.store.family(self.job.id).await?;
        self.family = records.into_iter().map(|record| (record.job.id, record)).collect();
        self.look_at = Instant::now() + LOOK;
        Ok(())
    }

    /// Takes steps until the end, or until the family is to be read anew.
    async fn steps(&mut self) -> Option<End> {
        loop {
            match self.next() {
                Step::Wait => self.tell(),
                Step::Stop(tasks) => {
                    self.stop(tasks).await;
                    return None;
                }
                Step::Finish { chunks, audio } => {
                    let kind = TaskKind::Finish { plan: Arc::clone(self.job.plan.as_ref()?), chunks, audio };
                    // The next look shows it.
                    return self.begin(kind).await.err();
                }
                Step::Upload => {
                    if let Err(end) = self.upload().await {
                        return Some(end);
                    }
                }
                step @ (Step::Complete { .. } | Step::Fail { .. } | Step::Cancel | Step::Whole { .. }) => {
                    return Some(self.end(step).await);
                }
            }
            if !self.news().await {
                return None;
            }
        }
    }

    fn members(&self) -> Vec<Member<'_>> {
        let is_told = |record: &Record| record.cancel_requested && record.owner.is_some();
        self.family.values().map(|record| Member { task: &record.job, is_told: is_told(record) }).collect()
    }

    fn next(&self) -> Step {
        let cancelled = self.handle.cancel.is_cancelled();
        family::next(&self.job, &self.members(), cancelled)
    }

    /// Tells listeners how far the job is.
    fn tell(&mut self) {
        let Some(plan) = self.job.plan.clone().filter(|_| self.job.state.status() == Status::Processing) else {
            return;
        };
        let members = self.members();
        let (percent, done, all) =
            (family::progress(&plan, &members), family::chunks_done(&members), plan.chunks.len());
        let message = if done < all { format!("{done} of {all} chunks are encoded") } else { "joining".to_owned() };
        if let Ok(Change::Progress) = self.job.apply(Report::Processing(percent), message, Timestamp::now()) {
            self.shared.tell_progress(&self.job, Vitals::default(), &self.feed, &self.handle);
        }
    }

    async fn stop(&self, tasks: Vec<JobId>) {
        let stops = stream::iter(tasks).map(|task| async move { (task, self.shared.stop(task).await) });
        let mut stops = stops.buffer_unordered(STOPS);
        while let Some((task, stopped)) = stops.next().await {
            if let Err(error) = stopped {
                tracing::warn!(job.id = %self.job.id, task.id = %task, %error, "task cannot be stopped yet");
                sleep(STORE_PAUSE).await;
            }
        }
    }

    /// Writes the next task down.
    async fn begin(&mut self, kind: TaskKind) -> Result<(), End> {
        let before = self.shared.mine(&self.job);
        "joining".clone_into(&mut self.job.message);
        self.job.milestones += 1;
        let task = task::new(&self.job, kind, Timestamp::now());
        self.write(before, self.conducted(), vec![task]).await
    }

    async fn upload(&mut self) -> Result<(), End> {
        let before = self.shared.mine(&self.job);
        if let Ok(Change::Status) = self.job.apply(Report::Uploading, "uploading".to_owned(), Timestamp::now()) {
            self.job.milestones += 1;
            self.write(before, self.conducted(), Vec::new()).await?;
        }
        Ok(())
    }

    /// Ends the job, or its being split. The intermediates go with the same step, whatever dies after it.
    async fn end(&mut self, step: Step) -> End {
        let before = self.shared.mine(&self.job);
        let fate = match conclude(&mut self.job, step, Timestamp::now()) {
            Ok(fate) => fate,
            Err(error) => {
                tracing::error!(job.id = %self.job.id, %error, "job had already ended");
                return End::LetGo;
            }
        };
        let cleanup = task::new(&self.job, TaskKind::Cleanup, Timestamp::now());
        self.shared.unsaved().remove(&self.job.id);
        if let Err(end) = self.write(before, fate, vec![cleanup]).await {
            return end;
        }
        let (status, error) = (self.job.state.status().name(), self.job.state.error());
        tracing::info!(job.id = %self.job.id, job.status = status, error, whole = self.job.whole, "split job ended");
        if self.job.state.status().is_terminal() { End::Ended } else { End::LetGo }
    }

    async fn write(&self, before: Expected, fate: Fate, tasks: Vec<Job>) -> Result<(), End> {
        let outcome = Outcome { tasks, certificate: None };
        let event = self.shared.write_with(&self.job, before, fate, outcome, &self.handle).await?;
        self.handle.note(&self.job);
        self.feed.milestone_at(event.number, event.json.into());
        Ok(())
    }

    fn conducted(&self) -> Fate {
        Fate::Conducted { by: self.shared.ownership.plane }
    }

    /// Waits until something of the family has changed. False where it is to be read anew.
    async fn news(&mut self) -> bool {
        let (cancel, look_at) = (self.handle.cancel.clone(), self.look_at);
        let was_cancelled = cancel.is_cancelled();
        loop {
            let change = tokio::select! {
                change = self.changes.recv() => change,
                () = cancel.cancelled(), if !was_cancelled => return true,
                () = sleep_until(look_at) => return false,
            };
            match change {
                Ok(change) => match self.hear(change).await {
                    Ok(true) => return true,
                    Ok(false) => {}
                    Err(()) => return false,
                },
                Err(RecvError::Lagged(_)) => return false,
                // The store is closed: the process is about to end.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// True where it is about this family. `Err` where what is known of it cannot be relied on.
    async fn hear(&mut self, change: store::Change) -> Result<bool, ()> {
        match change {
            store::Change::Job(id) | store::Change::Cancel(id) => {
                let Some(known) = self.family.get_mut(&id) else { return Ok(false) };
                let record = self.shared.store.get(id).await.ok().flatten().ok_or(())?;
                *known = record;
                Ok(true)
            }
            store::Change::Progress { id, event, .. } => {
                let Some(known) = self.family.get_mut(&id) else { return Ok(false) };
                if let Some(percent) = percent(&event.json) {
                    known.job.state = known.job.state.clone().at_least(percent);
                }
                Ok(true)
            }
            store::Change::Queued | store::Change::Callback => Ok(false),
            store::Change::Unknown => Err(()),
        }
    }
}

/// What a task's event says of its progress.
fn percent(json: &str) -> Option<f32> {
    #[derive(serde::Deserialize)]
    struct Told {
        progress: f32,
    }
    serde_json::from_str::<Told>(json).ok().map(|told| told.progress)
}

/// The state of a job after its last step as a split one, and who sees to it then.
fn conclude(job: &mut Job, step: Step, now: Timestamp) -> Result<Fate, InvalidTransition> {
    let state = job.state.clone();
    let ended = |state: Result<State, InvalidTransition>, message: &str| Ok((state?, message.to_owned(), Fate::Ended));
    let (state, message, fate) = match step {
        Step::Complete { output_url } => ended(state.apply(Report::Completed { output_url }, now), "completed"),
        Step::Fail { error } => ended(state.fail(error, now), "failed"),
        Step::Cancel => ended(state.cancel(now), "cancelled"),
        Step::Whole { reason } => {
            let message = format!("encoded whole: {reason}");
            job.whole = Some(reason);
            Ok((state.requeue()?, message, Fate::Waiting { due: Timestamp::UNIX_EPOCH }))
        }
        Step::Wait | Step::Stop(_) | Step::Finish { .. } | Step::Upload => {
            Err(InvalidTransition { from: state.status(), to: Status::Completed })
        }
    }?;
    job.state = state;
    job.message = message;
    job.milestones += 1;
    Ok(fate)
}
