//! The events of one job, in the contract's order: queued, processing, uploading, then one terminal event.

use proto::v1::{FailureKind, JobProgress, JobStatus};
use service::feed::Feed;
use url::Url;

use super::failure::{Failure, kind};
use crate::failure::Blame;

/// Tells a job's caller how it goes. When dropped before the end it says so: a caller never waits for nothing.
#[derive(Debug)]
pub(super) struct Reporter {
    job_id: String,
    feed: Feed<JobProgress>,
    percent: f32,
    finished: bool,
}

impl Reporter {
    /// A reporter whose job is queued.
    pub(super) fn new(job_id: String, feed: Feed<JobProgress>) -> Self {
        let reporter = Self { job_id, feed, percent: 0.0, finished: false };
        reporter.feed.milestone(reporter.event(JobStatus::Queued, "queued"));
        reporter
    }

    /// The job has begun.
    pub(super) fn processing(&self) {
        self.feed.milestone(self.event(JobStatus::Processing, "reading the input"));
    }

    /// The encode has come further. A percentage below an earlier one is not told.
    pub(super) fn progress(&mut self, percent: f32, message: &str) {
        self.percent = self.percent.max(percent);
        self.feed.update(self.event(JobStatus::Processing, message));
    }

    /// The result is whole and is being published.
    pub(super) fn uploading(&mut self) {
        self.percent = 100.0;
        self.feed.milestone(self.event(JobStatus::Uploading, "publishing"));
    }

    /// The end.
    pub(super) fn finish(mut self, outcome: &Result<Url, Failure>, cancelled: bool) {
        let event = match outcome {
            Ok(url) => {
                self.percent = 100.0;
                JobProgress { output_url: url.to_string(), ..self.event(JobStatus::Completed, "completed") }
            }
            Err(Failure::Stopped) if cancelled => self.event(JobStatus::Cancelled, "cancelled"),
            Err(Failure::Stopped) => {
                self.failed("encoding failed: the worker is stopping".to_owned(), Blame::Infrastructure)
            }
            Err(failure @ Failure::Failed { blame, .. }) => self.failed(failure.to_string(), *blame),
        };
        self.finished = true;
        self.feed.finish(event);
    }

    fn failed(&self, error: String, blame: Blame) -> JobProgress {
        JobProgress { error, failure_kind: kind(blame).into(), ..self.event(JobStatus::Failed, "failed") }
    }

    fn event(&self, status: JobStatus, message: &str) -> JobProgress {
        JobProgress {
            job_id: self.job_id.clone(),
            status: status.into(),
            progress: self.percent,
            message: message.to_owned(),
            timestamp: service::timestamp(),
            output_url: String::new(),
            error: String::new(),
            failure_kind: FailureKind::Unspecified.into(),
            fps: None,
            speed: None,
            eta_seconds: None,
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if !self.finished {
            self.feed.finish(self.failed("encoding failed: the worker crashed".to_owned(), Blame::Infrastructure));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn events(feed: &Feed<JobProgress>) -> Vec<(JobStatus, f32, String)> {
        let mut listener = feed.subscribe();
        let mut events = Vec::new();
        while let Some(event) = listener.next().await {
            events.push((event.status(), event.progress, event.error));
        }
        events
    }

    #[tokio::test]
    async fn a_good_job_goes_through_the_statuses_in_order() {
        let feed = Feed::new();
        let mut reporter = Reporter::new("a".into(), feed.clone());
        reporter.processing();
        reporter.progress(50.0, "");
        reporter.uploading();
        reporter.finish(&Ok("file:///out.mp4".parse().expect("a URL")), false);
        let statuses: Vec<_> = events(&feed).await.into_iter().map(|(status, percent, _)| (status, percent)).collect();
        assert_eq!(
            statuses,
            [
                (JobStatus::Queued, 0.0),
                (JobStatus::Processing, 0.0),
                (JobStatus::Uploading, 100.0),
                (JobStatus::Completed, 100.0)
            ]
        );
    }

    #[tokio::test]
    async fn progress_never_goes_backwards() {
        let feed = Feed::new();
        let mut reporter = Reporter::new("a".into(), feed.clone());
        reporter.progress(50.0, "");
        reporter.progress(40.0, "");
        assert!(feed.latest().is_some_and(|event| event.progress >= 50.0));
    }

    #[tokio::test]
    async fn a_stop_is_cancelled_when_it_was_asked_for_and_failed_otherwise() {
        for (cancelled, expected) in [(true, JobStatus::Cancelled), (false, JobStatus::Failed)] {
            let feed = Feed::new();
            Reporter::new("a".into(), feed.clone()).finish(&Err(Failure::Stopped), cancelled);
            assert_eq!(feed.latest().map(|event| event.status()), Some(expected));
        }
    }

    #[tokio::test]
    async fn a_crash_ends_the_stream_with_a_failure() {
        let feed = Feed::new();
        drop(Reporter::new("a".into(), feed.clone()));
        let last = feed.latest().expect("an event");
        assert_eq!((last.status(), last.failure_kind()), (JobStatus::Failed, FailureKind::Infrastructure));
    }
}
