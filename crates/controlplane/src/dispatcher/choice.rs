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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// How long a new worker is waited for, each time, until it was once in vain.
    patience: Option<Duration>,
    is_patient: bool,
    /// Those that are not new.
    passed_over: Vec<Candidate>,
    waits: bool,
}

impl<'a> Choice<'a> {
    /// A choice between `first` and the others.
    pub(super) fn new(first: Candidate, others: Candidates<'a>, patience: Option<Duration>) -> Self {
        Self { first: Some(first), others, patience, is_patient: true, passed_over: Vec::new(), waits: false }
    }

    /// The next worker to offer the job to; `None` when there is none, or a busy one may do better than those that are left.
    pub(super) async fn next(&mut self, job: &Job) -> Option<Candidate> {
        if self.is_patient {
            let new = match self.patience {
                Some(patience) => timeout(patience, self.new_one(job)).await,
                None => Ok(self.new_one(job).await),
            };
            match new {
                Ok(Some(candidate)) => return Some(candidate),
                Ok(None) => {}
                Err(_) => self.is_patient = false,
            }
        }
        let (standing, best) = self.best(job)?;
        if standing == Standing::Failed && waits_for_busy(job, Timestamp::now()) && self.has_better_busy(job) {
            tracing::debug!(job.id = %job.id, "job waits for a busy worker: those with room have failed it");
            self.waits = true;
            return None;
        }
        Some(self.passed_over.swap_remove(best))
    }

    /// Whether the job waits for a busy worker, and was not offered to one that has failed it.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// A worker that the job has not been at.
    async fn new_one(&mut self, job: &Job) -> Option<Candidate> {
        loop {
            let candidate = match self.first.take() {
                Some(first) => first,
                None => self.others.next().await?,
            };
            match standing(job, &candidate.worker()).0 {
                Standing::New => return Some(candidate),
                Standing::Known | Standing::Failed => self.passed_over.push(candidate),
            }
        }
    }

    /// The best of those that were passed over, and where it is among them.
    fn best(&self, job: &Job) -> Option<(Standing, usize)> {
        let standings = self.passed_over.iter().map(|candidate| standing(job, &candidate.worker()));
        let (best, (standing, _)) = standings.enumerate().min_by_key(|(_, standing)| *standing)?;
        Some((standing, best))
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

/// What the job knows of the worker, and the number of its last attempt there: the job goes where it was longest ago.
fn standing(job: &Job, worker: &Worker) -> (Standing, u32) {
    let mut standing = (Standing::New, 0);
    for attempt in job.attempts.iter().filter(|attempt| attempt.worker.address == worker.address) {
        let Some(ended) = &attempt.ended else { continue };
        let has_failed = ended.outcome == Outcome::Failed && attempt.worker.is_process(worker);
        let seen = if has_failed { Standing::Failed } else { Standing::Known };
        standing = (standing.0.max(seen), attempt.number);
    }
    standing
}

/// Whether the job was tried so lately that it may wait.
fn waits_for_busy(job: &Job, now: Timestamp) -> bool {
    // Clocks may be set back, and others' may be a little ahead.
    job.last_end().is_some_and(|end| now.duration_since(end).abs() < WAITS_FOR_BUSY)
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
        for (number, (instance, outcome)) in (1..).zip(attempts) {
            let ended = outcome.map(|outcome| Ended { at: NOW, outcome, error: None });
            job.attempts.push(Attempt { number, worker: process(instance, "w:1"), started_at: NOW, ended });
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
        let last = if expected == Standing::New { 0 } else { attempts.len() };
        let (standing, number) = standing(&tried(attempts), &process("a", address));
        assert_eq!((standing, number as usize), (expected, last));
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
