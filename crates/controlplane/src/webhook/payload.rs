//! What a callback says: the kind of end, when it came, and the job as `GET /api/v1/jobs/{id}` has it.

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    job::{Job, Status},
    view::{self, JobView},
};

/// The body of a callback.
#[derive(Debug, Clone, Serialize)]
pub struct Payload {
    /// `job.completed`, `job.failed` or `job.cancelled`.
    r#type: &'static str,
    /// When the job ended, RFC 3339.
    timestamp: String,
    /// The job, without its attempts.
    data: JobView,
}

/// The body that tells how `job` ended; `None` while it has not.
#[must_use]
pub fn build(job: &Job, now: Timestamp) -> Option<String> {
    let r#type = match job.state.status() {
        Status::Completed => "job.completed",
        Status::Failed => "job.failed",
        Status::Cancelled => "job.cancelled",
        Status::Queued | Status::Processing | Status::Uploading => return None,
    };
    let ended = job.state.finished_at().unwrap_or(now);
    let payload = Payload { r#type, timestamp: view::time(ended), data: JobView::for_callback(job) };
    // Strings and numbers are always JSON.
    serde_json::to_string(&payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{JobId, Report, tests::job};

    #[test]
    fn each_end_has_its_callback_and_nothing_else_has() {
        let said = |reports: &[Report]| {
            let mut job = job();
            job.id = JobId::from(uuid::Uuid::nil());
            for report in reports {
                job.apply(report.clone(), "text".to_owned(), Timestamp::UNIX_EPOCH).expect("a legal report");
            }
            let payload = build(&job, Timestamp::UNIX_EPOCH)?;
            Some(serde_json::from_str::<serde_json::Value>(&payload).expect("JSON"))
        };
        let running = Report::Processing(45.0);
        for reports in [&[][..], std::slice::from_ref(&running), &[running.clone(), Report::Uploading]] {
            assert_eq!(said(reports), None);
        }
        insta::assert_json_snapshot!([
            said(&[running.clone(), Report::Completed { output_url: "s3://bucket/key".to_owned() }]),
            said(&[
                running.clone(),
                Report::Failed { error: "encoding failed: x".to_owned(), blame: crate::job::Blame::Job }
            ]),
            said(&[Report::Cancelled]),
        ]);
    }
}
