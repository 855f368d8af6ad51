//! The next step of a split job, from what has become of its tasks. Pure, so that whichever control plane conducts the
//! job comes to the same step.

use super::{Job, JobId, Part, Plan, State, Status, TaskKind};

/// Per cent of a split job that are the encoding of its chunks; the rest is the finish.
const CHUNKS_PERCENT: f64 = 95.0;

/// A task, as far as the next step depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// The task.
    pub task: &'a Job,
    /// Somebody drives it and was told to stop it.
    pub is_told: bool,
}

/// What is to be done with a split job.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing, until a task moves on.
    Wait,
    /// Stop these tasks: they are not needed any more.
    Stop(Vec<JobId>),
    /// Join what the tasks have left.
    Finish {
        /// The chunks in order.
        chunks: Vec<Part>,
        /// The audio.
        audio: Option<Part>,
    },
    /// The result is being published.
    Upload,
    /// The result is published.
    Complete {
        /// Where.
        output_url: String,
    },
    /// There will be no result.
    Fail {
        /// What failed and why.
        error: String,
    },
    /// A client does not want it any more.
    Cancel,
    /// The job cannot be split after all.
    Whole {
        /// Why, for people.
        reason: String,
    },
}

/// The next step of `parent`. `cancelled`: a client wants it stopped.
#[must_use]
pub fn next(parent: &Job, members: &[Member<'_>], cancelled: bool) -> Step {
    let finish = members.iter().map(|member| member.task).find(|task| is_finish(task));
    if let Some(output_url) = finish.and_then(|finish| finish.state.output_url()) {
        // Published is published, whatever somebody wanted meanwhile.
        return Step::Complete { output_url: output_url.to_owned() };
    }
    let verdict = if cancelled { Some(Step::Cancel) } else { verdict(members) };
    if let Some(verdict) = verdict {
        return stop(members).unwrap_or(verdict);
    }
    match finish.map(|finish| finish.state.status()) {
        Some(Status::Uploading) if parent.state.status() != Status::Uploading => Step::Upload,
        Some(_) => Step::Wait,
        None => parent.plan.as_deref().and_then(|plan| parts(plan, members)).unwrap_or(Step::Wait),
    }
}

/// How the job is to end because of a task that has.
fn verdict(members: &[Member<'_>]) -> Option<Step> {
    let mut verdict = None;
    for Member { task, .. } in members {
        let Some(kind) = kind(task).filter(|kind| !matches!(kind, TaskKind::Cleanup)) else { continue };
        match &task.state {
            // The input is to blame, or the way it was split, or there are no workers for it: the whole may still work,
            // and has attempts of its own.
            State::Failed { error, .. } => return Some(Step::Whole { reason: format!("{}: {error}", kind.label()) }),
            State::Cancelled { .. } => {
                verdict.get_or_insert_with(|| Step::Fail { error: format!("{} was cancelled", kind.label()) });
            }
            State::Queued { .. } | State::Processing { .. } | State::Uploading { .. } | State::Completed { .. } => {}
        }
    }
    verdict
}

/// What must happen before the job may end; `None` when every task has.
fn stop(members: &[Member<'_>]) -> Option<Step> {
    let open = || members.iter().filter(|member| !is_over(member.task));
    open().next()?;
    let untold: Vec<_> = open().filter(|member| !member.is_told).map(|member| member.task.id).collect();
    Some(if untold.is_empty() { Step::Wait } else { Step::Stop(untold) })
}

/// True where nothing of the task is waited for.
fn is_over(task: &Job) -> bool {
    task.state.status().is_terminal() || matches!(kind(task), Some(TaskKind::Cleanup) | None)
}

/// The finish, when every part is there.
fn parts(plan: &Plan, members: &[Member<'_>]) -> Option<Step> {
    let mut chunks = vec![None; plan.chunks.len()];
    let mut audio = None;
    for Member { task, .. } in members {
        match kind(task) {
            Some(TaskKind::Chunk { index, .. }) => {
                let index = usize::try_from(*index).unwrap_or(usize::MAX);
                chunks.get_mut(index)?.clone_from(&task.part);
            }
            Some(TaskKind::Audio) => audio.clone_from(&task.part),
            Some(TaskKind::Finish { .. } | TaskKind::Cleanup) | None => {}
        }
    }
    let chunks = chunks.into_iter().collect::<Option<Vec<_>>>()?;
    if plan.has_audio && audio.is_none() { None } else { Some(Step::Finish { chunks, audio }) }
}

/// How much of a split job is done, 0 to 100.
#[must_use]
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a percentage for people")]
pub fn progress(plan: &Plan, members: &[Member<'_>]) -> f32 {
    let mut percent = 0.0;
    for Member { task, .. } in members {
        let done = f64::from(task.state.progress());
        match kind(task) {
            Some(TaskKind::Chunk { chunk, .. }) => {
                percent += done / 100.0 * CHUNKS_PERCENT * (chunk.frames as f64 / plan.grid.frames as f64);
            }
            Some(TaskKind::Finish { .. }) => percent += done / 100.0 * (100.0 - CHUNKS_PERCENT),
            Some(TaskKind::Audio | TaskKind::Cleanup) | None => {}
        }
    }
    percent.clamp(0.0, 100.0) as f32
}

/// How many chunks are encoded.
#[must_use]
pub fn chunks_done(members: &[Member<'_>]) -> usize {
    let is_done = |member: &&Member<'_>| {
        matches!(kind(member.task), Some(TaskKind::Chunk { .. })) && member.task.state.status() == Status::Completed
    };
    members.iter().filter(is_done).count()
}

fn kind(task: &Job) -> Option<&TaskKind> {
    task.spec.task.as_ref().map(|task| &task.kind)
}

fn is_finish(task: &Job) -> bool {
    matches!(kind(task), Some(TaskKind::Finish { .. }))
}

#[cfg(test)]
mod tests;
