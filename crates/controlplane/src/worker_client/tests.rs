//! What becomes of the worker's words, codes and numbers.

use rstest::rstest;

use tonic::Status;

use super::*;
use crate::job::{Blame, Report};

fn update(status: i32) -> Update {
    v1::JobProgress { status, progress: 7.0, message: "a\nb".to_owned(), ..v1::JobProgress::default() }.into()
}

#[rstest]
#[case(1, Ok(Report::Queued))]
#[case(2, Ok(Report::Processing(7.0)))]
#[case(3, Ok(Report::Uploading))]
#[case(4, Ok(Report::Completed { output_url: String::new() }))]
#[case(5, Ok(Report::Failed { error: "encoding failed: the worker gave no reason".to_owned(), blame: Blame::Job }))]
#[case(6, Ok(Report::Cancelled))]
#[case::unspecified(0, Err(0))]
#[case::of_a_later_version(99, Err(99))]
#[case::nonsense(-1, Err(-1))]
fn each_status_has_a_report(#[case] status: i32, #[case] report: Result<Report, i32>) {
    assert_eq!(update(status), Update { report, message: "a b".to_owned(), ..Update::default() });
}

#[rstest]
#[case(Status::resource_exhausted("full"), "takes no job now: full")]
#[case(Status::unavailable("stopping"), "takes no job now: stopping")]
#[case(Status::invalid_argument("preset"), "refuses the request: preset")]
#[case(Status::failed_precondition("no s3"), "is not set up for the request: no s3")]
#[case(Status::internal("oops"), "answers Internal: oops")]
fn each_code_has_a_meaning(#[case] status: Status, #[case] message: &str) {
    assert_eq!(Error::from(status).to_string(), message);
}

#[test]
fn negative_counts_read_as_none() {
    let status = v1::WorkerStatus { current_jobs: -5, max_concurrent_jobs: -1, ..v1::WorkerStatus::default() };
    assert!(!WorkerStatus::from(status).has_room());
}

#[test]
fn the_worker_gets_what_was_asked() {
    let id = JobId::random();
    let spec = crate::job::spec::tests::spec();
    let request = order::job(AttemptName { job: id, number: 3 }, 17, &spec);
    assert_eq!((request.attempt, request.clock_ms), (3, 17));
    assert_eq!((request.job_id, request.preset.as_str()), (id.to_string(), "720p_h264"));
    assert_eq!(request.input_url, spec.input_url);
    assert_eq!(request.callback_url, "https://example.com/hook");
    let output = request.output.expect("an output");
    assert_eq!((output.storage.as_str(), output.path.as_str()), ("s3", "output/video.mp4"));
    assert_eq!((output.r#type.as_str(), output.metadata["title"].as_str()), ("single", "x"));
}
