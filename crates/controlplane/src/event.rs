//! What listeners of a job are told. One event is serialised once, however many listen.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use service::feed::Feed;
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, Type},
};

use crate::job::{Job, Status};

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
    /// When it happened, RFC 3339.
    #[schema(format = DateTime)]
    timestamp: String,
}

impl JobEvent {
    /// Where the job stands.
    #[must_use]
    pub fn of(job: &Job, now: Timestamp) -> Self {
        Self {
            job_id: job.id.to_string(),
            status: job.state.status().name(),
            progress: job.state.progress(),
            message: job.message.clone(),
            output_url: job.state.output_url().map(str::to_owned),
            error: job.state.error().map(str::to_owned),
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

/// The events of one job.
pub type JobFeed = Feed<Arc<Published>>;

/// An event as listeners share it.
#[derive(Debug)]
pub struct Published {
    /// The job as it was then.
    pub job: Job,
    /// The event as JSON, in one line.
    pub json: String,
}

impl Published {
    /// The event that tells where `job` stands.
    ///
    /// # Panics
    /// Never: strings and numbers are always JSON.
    #[must_use]
    pub fn new(job: &Job, now: Timestamp) -> Arc<Self> {
        let json = serde_json::to_string(&JobEvent::of(job, now)).expect("strings and numbers are always JSON");
        Arc::new(Self { job: job.clone(), json })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Report, tests::job};

    fn after(reports: &[Report]) -> JobEvent {
        let mut job = job();
        for report in reports {
            job.apply(report.clone(), "text".to_owned(), Timestamp::UNIX_EPOCH).expect("a legal report");
        }
        JobEvent { job_id: "the-id".to_owned(), ..JobEvent::of(&job, Timestamp::UNIX_EPOCH) }
    }

    #[test]
    fn events_have_the_shape_of_the_contract() {
        let processing = || Report::Processing(45.2);
        let completed = Report::Completed { output_url: "s3://bucket/key".to_owned() };
        let failed = Report::Failed { error: "encoding failed: x".to_owned() };
        insta::assert_json_snapshot!([
            after(&[]),
            after(&[processing()]),
            after(&[processing(), Report::Uploading]),
            after(&[processing(), completed]),
            after(&[processing(), failed]),
            after(&[processing(), Report::Cancelled]),
        ]);
    }
}
