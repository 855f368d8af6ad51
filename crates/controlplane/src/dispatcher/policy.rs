//! What follows from the end of an attempt: the end of the job, or another attempt. Pure.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::job::{
    Blame, InvalidTransition, Job, Report, State,
    attempt::{EXCUSED, Ended, Outcome},
};

/// Pause before the second attempt; it doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How often the removal of what is left over of a split job is tried.
const MAX_CLEANUPS: usize = 500;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ending {
    /// The worker reported its end, with a word for people.
    Reported(Report, String),
    /// It is certain that it cannot publish any more.
    Gone(String),
    /// The same, and no worker ever said that it had begun.
    Unheard(String),
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another attempt, after a pause.
    Again(Duration),
    /// The tasks of the job.
    Tasks,
    /// Nothing.
    End,
}

/// Ends the last attempt of `job`. `cancelled`: a client wants the job stopped.
///
/// # Errors
/// When the job has already ended.
pub(super) fn conclude(
    job: &mut Job,
    ending: Ending,
    cancelled: bool,
    max_attempts: u32,
    now: Timestamp,
) -> Result<Next, InvalidTransition> {
    let (outcome, error) = judge(&ending);
    if let Some(attempt) = job.attempts.last_mut() {
        attempt.ended = Some(Ended { at: now, outcome, error: error.clone() });
    }
    let state = job.state.clone();
    let (state, message, next) = match ending {
        Ending::Reported(report @ (Report::Completed { .. } | Report::Cancelled), message) => {
            let message = if message.is_empty() { outcome.name().to_owned() } else { message };
            (state.apply(report, now)?, message, Next::End)
        }
        Ending::Reported(Report::Planned(plan), _) if !cancelled => {
            let message = format!("split into {} chunks", plan.chunks.len());
            job.plan = Some(Arc::clone(&plan));
            (state.apply(Report::Planned(plan), now)?, message, Next::Tasks)
        }
        // Whoever cancelled the job got what they wanted, however it came about.
        Ending::Reported(..) | Ending::Gone(_) | Ending::Unheard(_) if cancelled => {
            (state.cancel(now)?, "cancelled".to_owned(), Next::End)
        }
        Ending::Reported(..) | Ending::Gone(_) | Ending::Unheard(_) => {
            let error = error.unwrap_or_default();
            match again(job, outcome, max_attempts) {
                Some(pause) => (state.requeue()?, waits(job, outcome, &error), Next::Again(pause)),
                None => (state.fail(error, now)?, "failed".to_owned(), Next::End),
            }
        }
    };
    job.state = state;
    job.message = message;
    job.milestones += 1;
    Ok(next)
}

/// How the attempt counts, and what went wrong.
fn judge(ending: &Ending) -> (Outcome, Option<String>) {
    match ending {
        Ending::Reported(Report::Completed { .. }, _) => (Outcome::Completed, None),
        Ending::Reported(Report::Cancelled, _) => (Outcome::Cancelled, None),
        Ending::Reported(Report::Planned(_), _) => (Outcome::Planned, None),
        Ending::Reported(Report::Failed { error, blame }, _) => match blame {
            Blame::Job => (Outcome::Refused, Some(error.clone())),
            Blame::Infrastructure => (Outcome::Failed, Some(error.clone())),
            Blame::Nobody => (Outcome::HandedBack, Some(error.clone())),
        },
        Ending::Reported(Report::Queued | Report::Processing(_) | Report::Uploading, _) => {
            (Outcome::Lost, Some("encoding failed: worker lost".to_owned()))
        }
        Ending::Gone(reason) => (Outcome::Lost, Some(format!("encoding failed: worker lost: {reason}"))),
        // A worker that was about to exit, most likely: the job has not even been tried.
        Ending::Unheard(reason) => (Outcome::HandedBack, Some(format!("encoding failed: worker lost: {reason}"))),
    }
}

/// The pause before another attempt; `None` when there is none.
fn again(job: &Job, outcome: Outcome, max_attempts: u32) -> Option<Duration> {
    let failures = job.failures();
    let allowed = usize::try_from(max_attempts).unwrap_or(usize::MAX);
    match outcome {
        // What is left over must go at last, however long its storage or its workers are away.
        Outcome::HandedBack | Outcome::Failed | Outcome::Lost | Outcome::Refused if is_left_over(job) => {
            Some(pause(job, job.attempts.len()))
        }
        Outcome::HandedBack if job.attempts.len() < allowed + EXCUSED => Some(Duration::ZERO),
        Outcome::Failed | Outcome::Lost if failures < allowed => Some(pause(job, failures)),
        Outcome::Completed
        | Outcome::Planned
        | Outcome::Refused
        | Outcome::Cancelled
        | Outcome::Failed
        | Outcome::Lost
        | Outcome::HandedBack => None,
    }
}

/// Each attempt is in the job's document, so there is an end at last.
fn is_left_over(job: &Job) -> bool {
    job.is_cleanup() && job.attempts.len() < MAX_CLEANUPS
}

/// Doubles with each failure. Spread by the job's name, so that jobs that failed together do not return together.
fn pause(job: &Job, failures: usize) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let longest = (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
    let spread = f64::from(job.id.uuid().as_bytes()[0]) / 255.0;
    longest.mul_f64(0.5 + spread / 2.0)
}

fn waits(job: &Job, outcome: Outcome, error: &str) -> String {
    let verb = match outcome {
        Outcome::HandedBack => "was handed back",
        Outcome::Completed
        | Outcome::Planned
        | Outcome::Failed
        | Outcome::Refused
        | Outcome::Cancelled
        | Outcome::Lost => "failed",
    };
    format!("attempt {} {verb}, waiting for the next: {error}", job.attempt())
}

/// The state of a job that no worker may try.
///
/// # Errors
/// When the job has already ended.
pub(super) fn refuse(job: &mut Job, reason: &str, now: Timestamp) -> Result<(), InvalidTransition> {
    job.state = job.state.clone().fail(format!("encoding failed: {reason}"), now)?;
    "failed".clone_into(&mut job.message);
    job.milestones += 1;
    Ok(())
}

/// The state of a job that a client has cancelled while nobody ran it.
///
/// # Errors
/// When the job has already ended.
pub(super) fn cancel(job: &mut Job, now: Timestamp) -> Result<(), InvalidTransition> {
    job.state = State::cancel(job.state.clone(), now)?;
    "cancelled".clone_into(&mut job.message);
    job.milestones += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::job::{Attempt, Status, TaskKind, attempt::Worker, task, tests::job};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn running(mut job: Job) -> Job {
        let worker = Worker { address: "w:1".to_owned(), lease: None };
        job.attempts.push(Attempt { number: job.attempt() + 1, worker, started_at: NOW, ended: None });
        job
    }

    fn reported(report: Report) -> Ending {
        Ending::Reported(report, String::new())
    }

    fn failed(blame: Blame) -> Ending {
        reported(Report::Failed { error: "encoding failed: x".to_owned(), blame })
    }

    #[rstest]
    #[case::completed(reported(Report::Completed { output_url: "file:///o".to_owned() }), Status::Completed, Status::Completed)]
    #[case::stopped_by_hand(reported(Report::Cancelled), Status::Cancelled, Status::Cancelled)]
    #[case::by_the_job(failed(Blame::Job), Status::Failed, Status::Cancelled)]
    #[case::by_the_machine(failed(Blame::Infrastructure), Status::Queued, Status::Cancelled)]
    #[case::by_nobody(failed(Blame::Nobody), Status::Queued, Status::Cancelled)]
    #[case::lost(Ending::Gone("gone".to_owned()), Status::Queued, Status::Cancelled)]
    #[case::never_begun(Ending::Unheard("gone".to_owned()), Status::Queued, Status::Cancelled)]
    fn each_end_has_its_consequence(#[case] ending: Ending, #[case] wanted: Status, #[case] cancelled: Status) {
        for (is_cancelled, status) in [(false, wanted), (true, cancelled)] {
            let mut job = running(job());
            let next = conclude(&mut job, ending.clone(), is_cancelled, 3, NOW).expect("it runs");
            assert_eq!(job.state.status(), status, "{is_cancelled}");
            assert_eq!(matches!(next, Next::Again(_)), status == Status::Queued);
            assert!(job.attempts[0].ended.is_some() && job.milestones == 2);
        }
    }

    #[test]
    fn the_last_failure_that_is_allowed_ends_the_job() {
        let mut job = job();
        for attempt in 1..=3 {
            job = running(job);
            let next = conclude(&mut job, failed(Blame::Infrastructure), false, 3, NOW).expect("it runs");
            assert_eq!(next == Next::End, attempt == 3, "{attempt}");
        }
        assert_eq!(job.state.error(), Some("encoding failed: x"));
    }

    #[test]
    fn what_is_left_over_is_removed_at_last() {
        let mut cleanup = task::new(&job(), TaskKind::Cleanup, NOW);
        for blame in [Blame::Infrastructure, Blame::Job, Blame::Nobody].into_iter().cycle().take(30) {
            cleanup = running(cleanup);
            let next = conclude(&mut cleanup, failed(blame), false, 1, NOW).expect("it runs");
            assert!(matches!(next, Next::Again(_)), "{next:?}");
        }
    }

    #[test]
    fn what_is_nobodys_fault_does_not_count_but_has_an_end() {
        let mut job = job();
        let mut tries = 0;
        loop {
            job = running(job);
            tries += 1;
            if conclude(&mut job, failed(Blame::Nobody), false, 1, NOW).expect("it runs") == Next::End {
                break;
            }
        }
        assert_eq!(tries, 1 + EXCUSED);
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let job = job();
        let pauses: Vec<_> = (1..=20).map(|failures| pause(&job, failures)).collect();
        assert!(pauses.is_sorted() && pauses[0] >= FIRST_PAUSE / 2 && pauses[19] <= LONGEST_PAUSE, "{pauses:?}");
    }

    #[test]
    fn a_job_that_has_ended_stays_as_it_is() {
        let mut job = running(job());
        conclude(&mut job, reported(Report::Cancelled), true, 3, NOW).expect("it runs");
        assert!(conclude(&mut job, failed(Blame::Job), false, 3, NOW).is_err());
        assert!(cancel(&mut job, NOW).is_err() && refuse(&mut job, "x", NOW).is_err());
    }
}
