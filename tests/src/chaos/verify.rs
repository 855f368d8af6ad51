//! What must hold of all jobs together, once each has ended.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    callbacks::{Callbacks, Message},
    client::Client,
    drive::Ended,
    family,
    tally::Tally,
};

/// How long callbacks may take once every job has ended: some are sent again, after seconds.
const CALLBACKS: Duration = Duration::from_mins(2);

/// Time between two looks at what has arrived.
const LOOK: Duration = Duration::from_millis(100);

/// Looks at every job once more.
pub async fn verify(client: &Client, ended: &[Ended], callbacks: &Callbacks) {
    let patience = Instant::now() + CALLBACKS;
    listed(client, ended).await;
    for job in ended {
        let Some(before) = &job.job else { continue };
        let Some(now) = client.job(&job.id).await else { continue };
        if now["status"] != before["status"] {
            let detail = format!("{}: {}, then {}", job.id, before["status"], now["status"]);
            client.tally.violation("a job ends twice", detail);
        }
        for wrong in attempts(&now) {
            client.tally.violation("attempts do not hold together", format!("{}: {wrong}: {now}", job.id));
        }
        count_attempts(&client.tally, &now);
        if !job.order.source.is_good() {
            retried(&client.tally, &now);
        }
        if job.order.callback {
            called(&client.tally, job, &now, callbacks, patience).await;
        }
    }
}

/// Each job is listed once, and under each key there is one.
async fn listed(client: &Client, ended: &[Ended]) {
    let mut by_id: BTreeMap<String, u64> = BTreeMap::new();
    let mut by_path: BTreeMap<String, u64> = BTreeMap::new();
    for job in client.list().await {
        *by_id.entry(job["job_id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        *by_path.entry(job["output"]["path"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    for job in ended {
        match by_id.get(&job.id).copied().unwrap_or_default() {
            1 => {}
            count => client.tally.violation("a job is not listed once", format!("{}: {count} times", job.id)),
        }
        if by_path.get(&job.order.path()).is_some_and(|count| *count > 1) {
            client.tally.violation("one key stands for several jobs", job.order.key());
        }
    }
}

/// What is wrong with the attempts of a job that has ended.
fn attempts(job: &Value) -> Vec<String> {
    let attempts = job["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut wrong = Vec::new();
    for (attempt, expected) in attempts.iter().zip(1_u64..) {
        if attempt["attempt"] != expected {
            wrong.push(format!("number {} in place {expected}", attempt["attempt"]));
        }
        if !(attempt["finished_at"].is_string() && attempt["outcome"].is_string()) {
            wrong.push(format!("attempt {expected} has no end"));
        }
    }
    for pair in attempts.windows(2) {
        // Times of one form in one zone are in the order of their text.
        if pair[1]["started_at"].as_str() < pair[0]["finished_at"].as_str() {
            wrong.push(format!("attempt {} overlaps the next", pair[0]["attempt"]));
        }
    }
    // The attempts of a split job only plan it.
    let expected = if family::tasks(job).next().is_some() { "planned" } else { "completed" };
    if job["status"] == "JOB_STATUS_COMPLETED" && attempts.last().is_none_or(|last| last["outcome"] != expected) {
        wrong.push(format!("completed without a {expected} attempt"));
    }
    wrong.extend(family::tasks(job).filter_map(|task| {
        let ended = job["status"] != "JOB_STATUS_COMPLETED"
            || task["status"] == "JOB_STATUS_COMPLETED"
            || task["kind"] == "cleanup";
        (!ended).then(|| format!("completed without {task}"))
    }));
    wrong
}

fn count_attempts(tally: &Tally, job: &Value) {
    for attempt in job["attempts"].as_array().into_iter().flatten() {
        let outcome = attempt["outcome"].as_str().unwrap_or("none");
        tally.count("attempts", outcome);
    }
}

/// An input that is to blame is tried once: whatever ended the attempts before, it was not the input.
fn retried(tally: &Tally, job: &Value) {
    let attempts = job["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let same = attempts.iter().filter(|attempt| attempt["outcome"] == "failed" && attempt["error"] == job["error"]);
    if same.count() > 1 {
        tally.violation("a bad input is tried again", job);
    }
}

/// Somebody was called, under one id, and told how the job ended.
async fn called(tally: &Tally, job: &Ended, now: &Value, callbacks: &Callbacks, patience: Instant) {
    let mut messages = callbacks.of(job.order.number);
    while !messages.iter().any(|message| message.taken) {
        if Instant::now() >= patience {
            tally.violation("a callback never comes", format!("{} {}", job.order.key(), job.id));
            return;
        }
        sleep(LOOK).await;
        messages = callbacks.of(job.order.number);
    }
    for wrong in contents(&messages, now) {
        tally.violation("a callback is wrong", wrong);
    }
}

fn contents(messages: &[Message], job: &Value) -> Vec<String> {
    let kind = match job["status"].as_str() {
        Some("JOB_STATUS_COMPLETED") => "job.completed",
        Some("JOB_STATUS_FAILED") => "job.failed",
        _ => "job.cancelled",
    };
    let mut wrong = Vec::new();
    for message in messages {
        if message.id.is_empty() || message.id != messages[0].id {
            wrong.push(format!("id {:?}, then {:?}", messages[0].id, message.id));
        }
        if message.body["type"] != kind || message.body["data"]["job_id"] != job["job_id"] {
            wrong.push(format!("{} for {job}", message.body));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(times: &[(&str, &str, &str)]) -> Value {
        let attempts = times.iter().zip(1..).map(|((started, finished, outcome), number)| {
            json!({"attempt": number, "started_at": started, "finished_at": finished, "outcome": outcome})
        });
        json!({"status": "JOB_STATUS_COMPLETED", "attempts": attempts.collect::<Vec<_>>()})
    }

    #[test]
    fn attempts_follow_each_other() {
        assert_eq!(attempts(&job(&[("1", "2", "lost"), ("2", "3", "completed")])), [""; 0]);
        assert_eq!(attempts(&job(&[("1", "3", "lost"), ("2", "3", "completed")])), ["attempt 1 overlaps the next"]);
        assert_eq!(attempts(&job(&[("1", "3", "lost")])), ["completed without a completed attempt"]);
        assert_eq!(attempts(&job(&[])), ["completed without a completed attempt"]);
    }

    #[test]
    fn a_callback_keeps_its_id() {
        let job = json!({"job_id": "a", "status": "JOB_STATUS_FAILED"});
        let message = |id: &str| Message {
            id: id.to_owned(),
            body: json!({"type": "job.failed", "data": {"job_id": "a"}}),
            taken: true,
        };
        assert_eq!(contents(&[message("m"), message("m")], &job), [""; 0]);
        assert_eq!(contents(&[message("m"), message("n")], &job).len(), 1);
    }
}
