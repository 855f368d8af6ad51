//! Which worker a job is offered to that has been tried before: another one than before, as long as that helps.
//!
//! A machine that fails whatever it gets always has room. It would use up the attempts of one job after the other in
//! seconds, while the good ones are busy.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::place::worker;
use crate::{
    balancer::{Balancer, Candidate, Candidates},
    job::{Job, attempt::Worker},
};

/// How long another worker is looked for.
const SEARCH: Duration = Duration::from_millis(500);

/// How long after its last attempt a job waits for busy workers instead of returning to a process that has failed it. They
/// may be set up for other jobs only.
const SPARED: SignedDuration = SignedDuration::from_mins(5);

/// Whom a job is offered to.
pub(super) enum Choice {
    /// This worker; and the other one, where those with room are not set up for the job.
    Offer(Box<Candidate>, Option<Box<Candidate>>),
    /// Nobody yet: a busy worker may do better.
    Wait,
}

/// Chooses between `first` and, where a job has been there, another candidate that has room soon.
pub(super) async fn choose(
    balancer: &Balancer,
    job: &Job,
    first: Candidate,
    candidates: &mut Candidates<'_>,
) -> Choice {
    let first = Box::new(first);
    if !was_at(job, &first) {
        return Choice::Offer(first, None);
    }
    let other = async {
        loop {
            match candidates.next().await {
                Some(candidate) if was_at(job, &candidate) => {}
                other => return other,
            }
        }
    };
    match timeout(SEARCH, other).await.ok().flatten() {
        Some(other) => Choice::Offer(Box::new(other), Some(first)),
        None if is_spared(job, &worker(&first), Timestamp::now()) && has_busy(balancer, job) => Choice::Wait,
        None => Choice::Offer(first, None),
    }
}

fn was_at(job: &Job, candidate: &Candidate) -> bool {
    let address = candidate.address.to_string();
    job.attempts.iter().any(|attempt| attempt.worker.address == address)
}

/// Whether that very process has failed the job, not long ago. One that was started anew may be mended.
fn is_spared(job: &Job, worker: &Worker, now: Timestamp) -> bool {
    let Some(ended) = job.attempts.last().and_then(|attempt| attempt.ended.as_ref()) else { return false };
    // Clocks may be set back.
    (SignedDuration::ZERO..SPARED).contains(&now.duration_since(ended.at)) && job.was_failed_by(worker)
}

/// Whether a worker that the job has not been at answers, and has no room.
fn has_busy(balancer: &Balancer, job: &Job) -> bool {
    balancer.busy().any(|address| job.attempts.iter().all(|attempt| attempt.worker.address != address))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::job::{
        Attempt,
        attempt::{Ended, Lease, Outcome},
        tests::job,
    };

    fn process(instance: &str) -> Worker {
        let (lasts, fence) = (Duration::from_secs(1), Duration::from_secs(2));
        let lease = Lease { instance: instance.to_owned(), place: "there".to_owned(), lasts, fence };
        Worker { address: "w:1".to_owned(), lease: Some(lease) }
    }

    #[rstest]
    #[case::just_now("a", Outcome::Failed, 0, true)]
    #[case::long_ago("a", Outcome::Failed, 300, false)]
    #[case::by_a_clock_that_was_set_back("a", Outcome::Failed, -1, false)]
    #[case::started_anew("b", Outcome::Failed, 1, false)]
    #[case::died("a", Outcome::Lost, 1, false)]
    #[case::stopped("a", Outcome::HandedBack, 1, false)]
    fn only_a_process_that_has_failed_a_job_lately_is_spared(
        #[case] instance: &str,
        #[case] outcome: Outcome,
        #[case] seconds_ago: i64,
        #[case] expected: bool,
    ) {
        let (mut job, ended_at) = (job(), Timestamp::UNIX_EPOCH);
        let ended = Some(Ended { at: ended_at, outcome, error: None });
        job.attempts.push(Attempt { number: 1, worker: process("a"), started_at: ended_at, ended });
        let now = ended_at + SignedDuration::from_secs(seconds_ago);
        assert_eq!(is_spared(&job, &process(instance), now), expected);
    }
}
