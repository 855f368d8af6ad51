//! The workers that a job is offered to, one after the other: new ones first, and last those that have failed it.
//!
//! A machine that fails whatever it gets always has room. It would use up the attempts of one job after the other in
//! seconds, while the good ones are busy.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use crate::{
    balancer::{Candidate, Candidates},
    job::{
        Job,
        attempt::{Outcome, Worker},
    },
};

/// How long after its last attempt a job waits for busy workers instead of returning to a process that has failed it. They
/// may be set up for other jobs only.
const WAITS_FOR_BUSY: SignedDuration = SignedDuration::from_mins(5);

/// What a job knows of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It has not been there.
    New,
    /// It was there, and that was nobody's fault, or another process was to blame.
    Known,
    /// That very process has failed it.
    Failed,
}

/// The workers with room, in the order in which a job should try them.
pub(super) struct Choice<'a> {
    first: Option<Candidate>,
    others: Candidates<'a>,
    /// How long other workers are waited for, each time.
    patience: Option<Duration>,
    /// Those that are not new, and were passed over.
    known: Vec<Candidate>,
    failed: Vec<Candidate>,
    waits: bool,
}

impl<'a> Choice<'a> {
    /// A choice between `first` and the others.
    pub(super) fn new(first: Candidate, others: Candidates<'a>, patience: Option<Duration>) -> Self {
        Self { first: Some(first), others, patience, known: Vec::new(), failed: Vec::new(), waits: false }
    }

    /// The next worker to offer the job to; `None` when there is none, or a busy one may do better than those that are left.
    pub(super) async fn next(&mut self, job: &Job) -> Option<Candidate> {
        let fresh = match self.patience {
            Some(patience) => timeout(patience, self.fresh(job)).await.ok().flatten(),
            None => self.fresh(job).await,
        };
        if let Some(candidate) = fresh.or_else(|| self.known.pop()) {
            return Some(candidate);
        }
        if !self.failed.is_empty() && waits_for_busy(job, Timestamp::now()) && self.has_better_busy(job) {
            tracing::debug!(job.id = %job.id, "job waits for a busy worker: those with room have failed it");
            self.waits = true;
            return None;
        }
        self.failed.pop()
    }

    /// Whether the job waits for a busy worker, and was not offered to one that has failed it.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// A worker that the job has not been at.
    async fn fresh(&mut self, job: &Job) -> Option<Candidate> {
        loop {
            let candidate = match self.first.take() {
                Some(first) => first,
                None => self.others.next().await?,
            };
            match standing(job, &candidate.worker()) {
                Standing::New => return Some(candidate),
                Standing::Known => self.known.push(candidate),
                Standing::Failed => self.failed.push(candidate),
            }
        }
    }

    /// Whether a worker that has failed the job at no attempt answers, and has no room.
    fn has_better_busy(&self, job: &Job) -> bool {
        let has_failed = |address: &str| {
            let mut ended = job.attempts.iter().filter(|attempt| attempt.worker.address == address);
            ended.any(|attempt| attempt.ended.as_ref().is_some_and(|ended| ended.outcome.counts()))
        };
        self.others.busy().any(|address| !has_failed(&address.to_string()))
    }
}

fn standing(job: &Job, worker: &Worker) -> Standing {
    let mut standing = Standing::New;
    for attempt in job.attempts.iter().filter(|attempt| attempt.worker.address == worker.address) {
        match attempt.ended.as_ref().map(|ended| ended.outcome) {
            Some(Outcome::Failed) if attempt.worker.is_process(worker) => return Standing::Failed,
            Some(_) => standing = Standing::Known,
            None => {}
        }
    }
    standing
}

/// Whether the job was tried so lately that it may wait.
fn waits_for_busy(job: &Job, now: Timestamp) -> bool {
    let ended = job.attempts.iter().rev().find_map(|attempt| attempt.ended.as_ref());
    // Clocks may be set back, and others' may be a little ahead.
    ended.is_some_and(|ended| now.duration_since(ended.at).abs() < WAITS_FOR_BUSY)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::job::{
        Attempt,
        attempt::{Ended, Lease},
        tests::job,
    };

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn process(instance: &str, address: &str) -> Worker {
        let (lasts, fence) = (Duration::from_secs(1), Duration::from_secs(2));
        let lease = Lease { instance: instance.to_owned(), place: "there".to_owned(), lasts, fence };
        Worker { address: address.to_owned(), lease: Some(lease) }
    }

    /// A job with attempts at `w:1` that ended so.
    fn tried(attempts: &[(&str, Option<Outcome>)]) -> Job {
        let mut job = job();
        for (instance, outcome) in attempts {
            let ended = outcome.map(|outcome| Ended { at: NOW, outcome, error: None });
            job.attempts.push(Attempt { number: 1, worker: process(instance, "w:1"), started_at: NOW, ended });
        }
        job
    }

    #[rstest]
    #[case::never_there(&[], "w:1", Standing::New)]
    #[case::elsewhere(&[("a", Some(Outcome::Failed))], "w:2", Standing::New)]
    #[case::about_to_be_there(&[("a", None)], "w:1", Standing::New)]
    #[case::failed(&[("a", Some(Outcome::Failed))], "w:1", Standing::Failed)]
    #[case::failed_earlier(&[("a", Some(Outcome::Failed)), ("a", Some(Outcome::HandedBack))], "w:1", Standing::Failed)]
    #[case::started_anew(&[("b", Some(Outcome::Failed))], "w:1", Standing::Known)]
    #[case::died(&[("a", Some(Outcome::Lost))], "w:1", Standing::Known)]
    #[case::stopped(&[("a", Some(Outcome::HandedBack))], "w:1", Standing::Known)]
    #[case::planned(&[("a", Some(Outcome::Planned))], "w:1", Standing::Known)]
    fn a_job_knows_the_workers_that_it_was_at(
        #[case] attempts: &[(&str, Option<Outcome>)],
        #[case] address: &str,
        #[case] expected: Standing,
    ) {
        assert_eq!(standing(&tried(attempts), &process("a", address)), expected);
    }

    #[rstest]
    #[case::just_now(&[("a", Some(Outcome::Failed))], 0, true)]
    #[case::while_it_is_offered(&[("a", Some(Outcome::Failed)), ("b", None)], 0, true)]
    #[case::long_ago(&[("a", Some(Outcome::Failed))], 300, false)]
    #[case::by_a_clock_that_was_set_back(&[("a", Some(Outcome::Failed))], -300, false)]
    #[case::never(&[], 0, false)]
    fn a_job_waits_for_busy_workers_for_a_while(
        #[case] attempts: &[(&str, Option<Outcome>)],
        #[case] seconds_ago: i64,
        #[case] expected: bool,
    ) {
        assert_eq!(waits_for_busy(&tried(attempts), NOW + SignedDuration::from_secs(seconds_ago)), expected);
    }
}
