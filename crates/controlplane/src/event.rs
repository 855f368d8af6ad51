//! What listeners of a job are told. One event is serialised once, however many listen.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use service::feed::Feed;
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, Type},
};

use crate::{
    job::{Job, Status},
    store::StoredEvent,
    worker_client::Vitals,
};

/// One event of a job's stream: a status change, or progress between two of them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct JobEvent {
    /// The job.
    #[schema(format = "uuid")]
    job_id: String,
    /// Where the job stands. The last three statuses end the stream.
    #[schema(schema_with = status_schema)]
    status: &'static str,
    /// 0 to 100; never goes backwards.
    #[schema(minimum = 0, maximum = 100, example = 45.2)]
    progress: f32,
    /// For people.
    message: String,
    /// The file, or the master playlist or manifest. When completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    output_url: Option<String>,
    /// What failed and why. When failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
    /// Which try at the job it tells of, from 1. Absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    attempt: Option<u32>,
    /// Frames encoded a second, while that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    fps: Option<f32>,
    /// Media time encoded a second of real time, while that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    speed: Option<f32>,
    /// Seconds until the encode ends at this speed, while that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    eta_seconds: Option<f32>,
    /// When it happened, RFC 3339.
    #[schema(format = DateTime)]
    timestamp: String,
}

impl JobEvent {
    /// Where the job stands.
    #[must_use]
    pub fn of(job: &Job, vitals: Vitals, now: Timestamp) -> Self {
        Self {
            job_id: job.id.to_string(),
            status: job.state.status().name(),
            progress: job.state.progress(),
            message: job.message.clone(),
            output_url: job.state.output_url().map(str::to_owned),
            error: job.state.error().map(str::to_owned),
            attempt: Some(job.attempt()).filter(|number| *number > 0),
            fps: vitals.fps,
            speed: vitals.speed,
            eta_seconds: vitals.eta_seconds,
            timestamp: format!("{now:.3}"),
        }
    }
}

/// The names of the statuses, for the API's description.
#[must_use]
pub fn status_schema() -> Object {
    let names = Status::ALL.map(Status::name);
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("Where the job stands; nothing follows the last three."))
        .enum_values(Some(names))
        .build()
}

/// The events of one job, as listeners share them: each is JSON in one line.
pub type JobFeed = Feed<Arc<str>>;

/// The event that tells where `job` stands, as JSON in one line.
///
/// # Panics
/// Never: strings and numbers are always JSON.
#[must_use]
pub fn json(job: &Job, vitals: Vitals, now: Timestamp) -> String {
    serde_json::to_string(&JobEvent::of(job, vitals, now)).expect("strings and numbers are always JSON")
}

/// Numbers of updates a per cent: an update's number tells how far the job was, which a listener that resumes brings
/// back. The process that told it may be dead, and the store a little behind.
const PER_CENT: f64 = 10_000.0;

/// The least number of an update at this progress, 0 to 100.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most a million, and not negative")]
pub fn number_of(progress: f64) -> u32 {
    // What is a whole number of parts up to rounding stays one.
    (progress.clamp(0.0, 100.0) * PER_CENT - 1e-6).ceil() as u32
}

/// How far a job was at least for a listener who has seen an update of this number: never less than the event's JSON said. A 64-bit
/// number like those in JSON, since a 32-bit one turns 4.1333 into 4.1332998.
#[must_use]
pub fn progress_at(number: u32) -> f64 {
    (f64::from(number) / PER_CENT).min(100.0)
}

/// The event with at least this progress; `None` where it has it already.
#[must_use]
pub fn at_least(json: &str, progress: f64) -> Option<String> {
    let mut event: serde_json::Value = serde_json::from_str(json).ok()?;
    let told = event.get_mut("progress")?;
    if told.as_f64().is_none_or(|told| told >= progress) {
        return None;
    }
    *told = progress.into();
    Some(event.to_string())
}

/// The event of a job's last status change, as it is written down.
#[must_use]
pub fn milestone(job: &Job, now: Timestamp) -> StoredEvent {
    StoredEvent { number: job.milestones, json: json(job, Vitals::default(), now) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Blame, Report, tests::job};

    fn after(reports: &[Report]) -> JobEvent {
        let mut job = job();
        for report in reports {
            job.apply(report.clone(), "text".to_owned(), Timestamp::UNIX_EPOCH).expect("a legal report");
        }
        JobEvent { job_id: "the-id".to_owned(), ..JobEvent::of(&job, Vitals::default(), Timestamp::UNIX_EPOCH) }
    }

    #[test]
    fn events_have_the_shape_of_the_contract() {
        let processing = || Report::Processing(45.2);
        let completed = Report::Completed { output_url: "s3://bucket/key".to_owned() };
        let failed = Report::Failed { error: "encoding failed: x".to_owned(), blame: Blame::Job };
        insta::assert_json_snapshot!([
            after(&[]),
            after(&[processing()]),
            after(&[processing(), Report::Uploading]),
            after(&[processing(), completed]),
            after(&[processing(), failed]),
            after(&[processing(), Report::Cancelled]),
        ]);
    }

    #[test]
    fn an_id_tells_how_far_the_job_was() {
        for progress in [0.0, 0.1, 4.1333, 33.333_332, 45.2, 99.999, 100.0_f32] {
            let floor = progress_at(number_of(progress.into()));
            let told: f64 = progress.to_string().parse().expect("a number");
            assert!(floor >= told && floor - told < 0.001, "{told} {floor}");
        }
        assert!(progress_at(u32::MAX) <= 100.0);
    }

    #[test]
    fn an_event_behind_what_was_seen_is_raised() {
        assert_eq!(at_least(r#"{"progress":10.0,"a":1}"#, 45.5).as_deref(), Some(r#"{"a":1,"progress":45.5}"#));
        assert_eq!(at_least(r#"{"progress":50.0}"#, 45.5), None);
        assert_eq!(at_least("no JSON", 45.5), None);
    }
}
