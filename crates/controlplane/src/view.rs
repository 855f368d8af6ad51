//! A job as the outside sees it: in the API's answers and in callbacks.
//!
//! - [`certificate`]: what proves its output whole
//! - [`task`]: its parts

pub mod certificate;
pub mod task;

use std::collections::BTreeMap;

use jiff::Timestamp;
use preset::Preset;
use serde::Serialize;
use utoipa::ToSchema;

use self::task::TaskView;
use crate::{
    event::status_schema,
    job::{Attempt, Job, attempt::Outcome, spec::Output},
};

/// A job and its state. What is not known is absent.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct JobView {
    /// Name of the job.
    #[schema(format = "uuid")]
    job_id: String,
    /// As in the events of its stream.
    #[schema(schema_with = status_schema)]
    status: &'static str,
    /// 0 to 100; never goes backwards.
    #[schema(minimum = 0, maximum = 100, example = 45.2)]
    progress: f32,
    /// The latest word on it, for people.
    message: String,
    /// As the client gave it.
    input_url: String,
    /// As the client gave it.
    preset: &'static str,
    /// As the client gave it.
    output: OutputView,
    /// Among jobs that wait, those with a higher priority start first.
    #[schema(minimum = 0, maximum = 100)]
    priority: u8,
    /// As the client gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    callback_url: Option<String>,
    /// The file, or the master playlist or manifest. When completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    output_url: Option<String>,
    /// What failed and why. When failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
    /// When it was accepted, RFC 3339.
    #[schema(format = DateTime)]
    created_at: String,
    /// When the first encode began, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    started_at: Option<String>,
    /// When the job ended, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    finished_at: Option<String>,
    /// Address of the worker that runs it, or ran it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    worker: Option<String>,
    /// Every try at it, the last one last. Callbacks do without.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, nullable = false)]
    attempts: Option<Vec<AttemptView>>,
    /// Why it is encoded by one worker, where it was asked to be split.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "shorter than two chunks of 24 s")]
    whole: Option<String>,
    /// Its parts: of a split job the chunks, the audio, the finish and the cleanup, otherwise the whole. Lists and
    /// callbacks do without.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    tasks: Option<Vec<TaskView>>,
}

/// Where a result goes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OutputView {
    /// `s3` or `local`.
    storage: &'static str,
    /// Key of a single file, or prefix of a directory output.
    path: String,
    /// Stored with each S3 object.
    metadata: BTreeMap<String, String>,
    /// `single`, `hls` or `dash`: what the preset makes.
    r#type: &'static str,
}

/// One try at a job on one worker.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AttemptView {
    /// From 1.
    attempt: u32,
    /// Address of the worker.
    worker: String,
    /// When the worker was asked, RFC 3339.
    #[schema(format = DateTime)]
    started_at: String,
    /// When it was known to have ended, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    finished_at: Option<String>,
    /// How it ended: `completed`, `planned`, `failed`, `cancelled`, `lost` or `handed_back`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "completed")]
    outcome: Option<&'static str>,
    /// What failed and why, if something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

impl JobView {
    /// Everything a client may know of `job`.
    #[must_use]
    pub fn of(job: &Job) -> Self {
        Self {
            job_id: job.id.to_string(),
            status: job.state.status().name(),
            progress: job.state.progress(),
            message: job.message.clone(),
            input_url: job.spec.input_url.clone(),
            preset: job.spec.preset.name,
            output: OutputView::of(&job.spec.output, job.spec.preset),
            priority: job.spec.priority,
            callback_url: job.spec.callback_url.clone(),
            output_url: job.state.output_url().map(str::to_owned),
            error: job.state.error().map(str::to_owned),
            created_at: time(job.created_at),
            started_at: job.state.started_at().map(time),
            finished_at: job.state.finished_at().map(time),
            worker: job.worker().map(str::to_owned),
            attempts: Some(job.attempts.iter().map(AttemptView::of).collect()),
            whole: job.whole.clone(),
            tasks: None,
        }
    }

    /// The same with the parts of `job`.
    #[must_use]
    pub fn with_tasks(self, job: &Job, tasks: &[Job]) -> Self {
        Self { tasks: Some(task::views(job, tasks)), ..self }
    }

    /// What a callback says of `job`: nothing of the fleet, and not where it itself goes.
    #[must_use]
    pub fn for_callback(job: &Job) -> Self {
        Self { callback_url: None, worker: None, attempts: None, ..Self::of(job) }
    }
}

impl OutputView {
    fn of(output: &Output, preset: &Preset) -> Self {
        Self {
            storage: output.storage.name(),
            path: output.path.clone(),
            metadata: output.metadata.clone(),
            r#type: preset.output_type().name(),
        }
    }
}

impl AttemptView {
    fn of(attempt: &Attempt) -> Self {
        let ended = attempt.ended.as_ref();
        Self {
            attempt: attempt.number,
            worker: attempt.worker.address.clone(),
            started_at: time(attempt.started_at),
            finished_at: ended.map(|ended| time(ended.at)),
            outcome: ended.map(|ended| ended.outcome).map(Outcome::name),
            error: ended.and_then(|ended| ended.error.clone()),
        }
    }
}

/// As everywhere outside: RFC 3339 in UTC, to the millisecond.
pub(crate) fn time(time: Timestamp) -> String {
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{
        JobId, Report,
        attempt::{Ended, Worker},
        tests::job,
    };

    fn attempt(number: u32, ended: Option<(Outcome, &str)>) -> Attempt {
        let ended = ended.map(|(outcome, error)| Ended {
            at: Timestamp::UNIX_EPOCH,
            outcome,
            error: (!error.is_empty()).then(|| error.to_owned()),
        });
        let worker = Worker { address: "w:1".to_owned(), lease: None };
        Attempt { number, worker, started_at: Timestamp::UNIX_EPOCH, ended }
    }

    #[test]
    fn a_job_has_the_shape_of_the_contract() {
        let mut job = job();
        job.id = JobId::from(uuid::Uuid::nil());
        let new = JobView::of(&job);
        job.attempts.push(attempt(1, Some((Outcome::Lost, "the stream broke"))));
        job.attempts.push(attempt(2, None));
        job.apply(Report::Processing(12.5), "text".to_owned(), Timestamp::UNIX_EPOCH).expect("a legal report");
        let running = JobView::of(&job);
        job.attempts[1] = attempt(2, Some((Outcome::Completed, "")));
        let done = Report::Completed { output_url: "s3://bucket/key".to_owned() };
        job.apply(done, "text".to_owned(), Timestamp::UNIX_EPOCH).expect("a legal report");
        insta::assert_json_snapshot!([new, running, JobView::of(&job)]);
    }
}
