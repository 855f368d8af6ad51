//! The events of one job, in the contract's order: queued, processing, uploading, then one terminal event.

use std::fmt;

use proto::v1::{Certificate, FailureKind, JobProgress, JobStatus, Part};
use service::feed::Feed;
use url::Url;

use super::{
    failure::{Failure, kind},
    registry::Reason,
};
use crate::{encoder::Progress, failure::Blame, plan::Plan};

/// How a job ended well. `earlier`: an earlier attempt had done it.
#[derive(Debug)]
pub(super) enum Done {
    /// The output is published.
    Published {
        /// Where it is.
        url: Url,
        /// See above.
        earlier: bool,
        /// What proves it whole, where this attempt has looked at it.
        certificate: Option<Box<Certificate>>,
    },
    /// It is to be split.
    Planned(Plan),
    /// A part of a split job is stored.
    Stored {
        /// What the join needs to find it.
        part: Part,
        /// See above.
        earlier: bool,
    },
    /// Nothing is left of the parts.
    Removed,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published { url, earlier: false, .. } => write!(f, "published {url}"),
            Self::Published { url, earlier: true, .. } => write!(f, "published {url} earlier"),
            Self::Planned(plan) => write!(f, "planned {} chunks", plan.chunks.len()),
            Self::Stored { earlier: false, .. } => f.write_str("stored"),
            Self::Stored { earlier: true, .. } => f.write_str("stored earlier"),
            Self::Removed => f.write_str("removed the parts"),
        }
    }
}

/// Tells a job's caller how it goes. When dropped before the end it says so: a caller never waits for nothing.
#[derive(Debug)]
pub(super) struct Reporter {
    job_id: String,
    feed: Feed<JobProgress>,
    percent: f32,
    whole: String,
    finished: bool,
}

impl Reporter {
    /// A reporter whose job is queued.
    pub(super) fn new(job_id: String, feed: Feed<JobProgress>) -> Self {
        let reporter = Self { job_id, feed, percent: 0.0, whole: String::new(), finished: false };
        reporter.feed.milestone(reporter.event(JobStatus::Queued, "queued"));
        reporter
    }

    /// The job has begun.
    pub(super) fn processing(&self) {
        self.feed.milestone(self.event(JobStatus::Processing, "reading the input"));
    }

    /// The job is not split, for this reason.
    pub(super) fn whole(&mut self, reason: String) {
        self.whole = reason;
        self.feed.milestone(self.event(JobStatus::Processing, "encoding the whole"));
    }

    /// The encode of an input of this length has come further. A percentage below an earlier one is not told.
    pub(super) fn progress(&mut self, progress: Progress, duration: Option<f64>, message: &str) {
        self.percent = self.percent.max(progress.percent(duration));
        self.feed.update(JobProgress {
            fps: progress.fps.map(narrow),
            speed: progress.speed.map(narrow),
            eta_seconds: progress.seconds_left(duration).map(narrow),
            ..self.event(JobStatus::Processing, message)
        });
    }

    /// The result is whole and is being published.
    pub(super) fn uploading(&mut self) {
        self.percent = 100.0;
        self.feed.milestone(self.event(JobStatus::Uploading, "publishing"));
    }

    /// The end.
    pub(super) fn finish(mut self, outcome: &Result<Done, Failure>, reason: Reason) {
        let event = match outcome {
            Ok(done) => self.done(done),
            Err(Failure::Stopped) => self.stopped(reason),
            Err(failure @ Failure::Failed { blame, .. }) => self.failed(failure.to_string(), kind(*blame)),
        };
        self.finished = true;
        self.feed.finish(event);
    }

    fn done(&mut self, done: &Done) -> JobProgress {
        if let Done::Planned(plan) = done {
            return JobProgress { plan: Some(plan.into()), ..self.event(JobStatus::Planned, "to be split") };
        }
        self.percent = 100.0;
        let completed = |message| self.event(JobStatus::Completed, message);
        match done {
            Done::Published { url, earlier, certificate } => {
                let message = if *earlier { "already published by an earlier attempt" } else { "completed" };
                let certificate = certificate.as_deref().cloned();
                JobProgress { output_url: url.to_string(), certificate, ..completed(message) }
            }
            Done::Stored { part, earlier } => {
                let message = if *earlier { "already stored by an earlier attempt" } else { "completed" };
                JobProgress { part: Some(part.clone()), ..completed(message) }
            }
            Done::Planned(_) | Done::Removed => completed("completed"),
        }
    }

    fn stopped(&self, reason: Reason) -> JobProgress {
        let cause = match reason {
            Reason::Requested => return self.event(JobStatus::Cancelled, "cancelled"),
            Reason::Lapsed => "nobody has renewed the lease of the task",
            Reason::WorkerStops => "the worker is stopping",
        };
        self.failed(format!("encoding failed: {cause}"), FailureKind::HandedBack)
    }

    fn failed(&self, error: String, kind: FailureKind) -> JobProgress {
        JobProgress { error, failure_kind: kind.into(), ..self.event(JobStatus::Failed, "failed") }
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
            plan: None,
            whole: self.whole.clone(),
            part: None,
            certificate: None,
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if !self.finished {
            self.feed
                .finish(self.failed("encoding failed: the worker crashed".to_owned(), kind(Blame::Infrastructure)));
        }
    }
}

/// As the wire has it.
fn narrow(figure: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "for people; the wire has a float")]
    let figure = figure as f32;
    figure
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

    fn done(earlier: bool) -> Done {
        Done::Published { url: "file:///out.mp4".parse().expect("a URL"), earlier, certificate: None }
    }

    /// So many seconds of 100 at twice the speed.
    fn come(seconds: f64) -> Progress {
        Progress { seconds: Some(seconds), speed: Some(2.0), fps: Some(50.0), ..Progress::default() }
    }

    #[tokio::test]
    async fn a_good_job_goes_through_the_statuses_in_order() {
        let feed = Feed::new();
        let mut reporter = Reporter::new("a".into(), feed.clone());
        reporter.processing();
        reporter.progress(come(50.0), Some(100.0), "");
        reporter.uploading();
        reporter.finish(&Ok(done(false)), Reason::WorkerStops);
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
        reporter.progress(come(50.0), Some(100.0), "");
        reporter.progress(come(40.0), Some(100.0), "");
        assert!(feed.latest().is_some_and(|event| event.progress >= 50.0));
    }

    #[tokio::test]
    async fn a_stop_is_cancelled_when_it_was_asked_for_and_handed_back_otherwise() {
        for (reason, status, kind) in [
            (Reason::Requested, JobStatus::Cancelled, FailureKind::Unspecified),
            (Reason::Lapsed, JobStatus::Failed, FailureKind::HandedBack),
            (Reason::WorkerStops, JobStatus::Failed, FailureKind::HandedBack),
        ] {
            let feed = Feed::new();
            Reporter::new("a".into(), feed.clone()).finish(&Err(Failure::Stopped), reason);
            let last = feed.latest().expect("an event");
            assert_eq!((last.status(), last.failure_kind()), (status, kind), "{last:?}");
        }
    }

    #[tokio::test]
    async fn what_was_published_before_is_complete_and_says_so() {
        let feed = Feed::new();
        Reporter::new("a".into(), feed.clone()).finish(&Ok(done(true)), Reason::WorkerStops);
        let last = feed.latest().expect("an event");
        assert_eq!((last.status(), &*last.message), (JobStatus::Completed, "already published by an earlier attempt"));
    }

    #[tokio::test]
    async fn the_figures_of_the_encode_are_told_while_they_are_known() {
        let feed = Feed::new();
        let mut reporter = Reporter::new("a".into(), feed.clone());
        reporter.progress(come(40.0), Some(100.0), "");
        let event = feed.latest().expect("an event");
        assert_eq!((event.fps, event.speed, event.eta_seconds), (Some(50.0), Some(2.0), Some(30.0)));
        reporter.progress(Progress { seconds: Some(41.0), ..Progress::default() }, None, "");
        let event = feed.latest().expect("an event");
        assert_eq!((event.fps, event.speed, event.eta_seconds), (None, None, None));
    }

    #[tokio::test]
    async fn a_crash_ends_the_stream_with_a_failure() {
        let feed = Feed::new();
        drop(Reporter::new("a".into(), feed.clone()));
        let last = feed.latest().expect("an event");
        assert_eq!((last.status(), last.failure_kind()), (JobStatus::Failed, FailureKind::Infrastructure));
    }
}
