//! Every metric of the control plane, named and described in one place.

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector, process_collector::ProcessCollector,
};

use crate::{
    balancer::Address,
    job::{Job, Status, attempt::Outcome},
    worker_client::WorkerStatus,
};

/// From a second to six hours.
const JOB_SECONDS: [f64; 14] =
    [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 21_600.0];

/// From a millisecond to the boot of a sleeping worker.
const SELECTION_SECONDS: [f64; 13] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0, 60.0];

/// What one try at a callback came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver has it.
    Delivered,
    /// The receiver wants no more.
    Gone,
    /// It will be tried again.
    Failed,
    /// It has failed for too long.
    GivenUp,
}

/// The metrics. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    jobs: IntCounterVec,
    job_duration: HistogramVec,
    attempts: IntCounterVec,
    in_flight: IntGauge,
    waiting: IntGauge,
    listeners: IntGauge,
    runtime_tasks: IntGauge,
    callbacks: IntCounterVec,
    selection: Histogram,
    worker_up: IntGaugeVec,
    worker_slots: IntGaugeVec,
}

impl Metrics {
    /// Metrics in a registry of their own.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let add = Adder(&registry);
        let build_info = add.gauges("flux_build_info", "Always 1; the label tells the version", &["version"]);
        build_info.with_label_values(&[service::VERSION]).set(1);
        add.collector(ProcessCollector::for_self());
        Self {
            jobs: add.counters(
                "flux_jobs_total",
                "Jobs that ended, by outcome; rejected ones never began",
                &["outcome"],
            ),
            job_duration: add.histograms(
                HistogramOpts::new("flux_job_duration_seconds", "Time from acceptance to the end of a job, by preset")
                    .buckets(JOB_SECONDS.to_vec()),
                &["preset"],
            ),
            attempts: add.counters(
                "flux_attempts_total",
                "Tries at a job, or at a task of one, on a worker, by outcome",
                &["outcome"],
            ),
            in_flight: add.gauge("flux_jobs_in_flight", "Jobs whose attempt or tasks this control plane drives"),
            waiting: add.gauge(
                "flux_jobs_waiting",
                "Jobs that wait for a worker, on any control plane; tasks of split jobs apart",
            ),
            listeners: add.gauge("flux_sse_listeners", "Open event streams"),
            runtime_tasks: add.gauge(
                "flux_runtime_tasks",
                "Tasks of the async runtime that are alive, those of connections among them",
            ),
            callbacks: add.counters("flux_callbacks_total", "Tries at a callback, by outcome", &["outcome"]),
            selection: add.histogram(
                HistogramOpts::new("flux_worker_selection_seconds", "Time to find a worker that takes a job, or none")
                    .buckets(SELECTION_SECONDS.to_vec()),
            ),
            worker_up: add.gauges(
                "flux_worker_up",
                "1 when the worker answered the last time it was asked",
                &["worker"],
            ),
            worker_slots: add.gauges(
                "flux_worker_slots",
                "The worker's slots the last time it answered, by state: busy or free",
                &["worker", "state"],
            ),
            registry,
        }
    }

    /// Notes a job that has ended. Tasks of split jobs are not counted.
    pub fn job_ended(&self, job: &Job) {
        if job.parent().is_some() {
            return;
        }
        self.jobs.with_label_values(&[outcome(job.state.status())]).inc();
        if let Some(finished_at) = job.state.finished_at() {
            let seconds = finished_at.duration_since(job.created_at).as_secs_f64();
            self.job_duration.with_label_values(&[job.spec.preset.name]).observe(seconds);
        }
    }

    /// Notes a job that no worker took.
    pub fn job_rejected(&self) {
        self.jobs.with_label_values(&["rejected"]).inc();
    }

    /// Notes the end of a try at a job on a worker.
    pub fn attempt(&self, outcome: Outcome) {
        self.attempts.with_label_values(&[outcome.name()]).inc();
    }

    /// Notes a worker that did not take a job.
    pub fn rejected_by_worker(&self) {
        self.attempts.with_label_values(&["rejected"]).inc();
    }

    /// Notes how many jobs wait.
    pub fn jobs_waiting(&self, waiting: u64) {
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Counts a job in flight until the guard is dropped.
    #[must_use]
    pub fn job_in_flight(&self) -> Raised {
        Raised::new(&self.in_flight)
    }

    /// Counts a listener until the guard is dropped.
    #[must_use]
    pub fn listener(&self) -> Raised {
        Raised::new(&self.listeners)
    }

    /// Notes a try at a callback.
    pub fn callback(&self, delivery: Delivery) {
        let label = match delivery {
            Delivery::Delivered => "delivered",
            Delivery::Gone => "gone",
            Delivery::Failed => "failed",
            Delivery::GivenUp => "given_up",
        };
        self.callbacks.with_label_values(&[label]).inc();
    }

    /// Measures a selection until the timer is dropped.
    pub fn selection(&self) -> prometheus::HistogramTimer {
        self.selection.start_timer()
    }

    /// Notes what a worker answered; `None` when it did not.
    pub fn worker_answered(&self, worker: &Address, status: Option<&WorkerStatus>) {
        let worker = worker.to_string();
        self.worker_up.with_label_values(&[worker.as_str()]).set(i64::from(status.is_some()));
        let (busy, free) = status.map_or((0, 0), |status| {
            (status.current_jobs, status.max_concurrent_jobs.saturating_sub(status.current_jobs))
        });
        for (state, slots) in [("busy", busy), ("free", free)] {
            self.worker_slots.with_label_values(&[worker.as_str(), state]).set(i64::from(slots));
        }
    }

    /// Every metric in Prometheus' text format.
    ///
    /// # Panics
    /// Never: a `Vec` takes every write.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        self.runtime_tasks.set(i64::try_from(service::alive_tasks()).unwrap_or(i64::MAX));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("a Vec takes every write");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A gauge that is one higher while this lives, so that no way out of a function can leave it wrong.
#[derive(Debug)]
pub struct Raised(IntGauge);

impl Raised {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn outcome(status: Status) -> &'static str {
    match status {
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        Status::Queued | Status::Processing | Status::Uploading => "unfinished",
    }
}

/// Makes metrics and registers them.
struct Adder<'a>(&'a Registry);

impl Adder<'_> {
    fn collector<C: Collector + 'static>(&self, collector: C) {
        self.0.register(Box::new(collector)).expect("each name is registered once");
    }

    fn add<C: Collector + Clone + 'static>(&self, metric: prometheus::Result<C>) -> C {
        let metric = metric.expect("names and labels are constant and valid");
        self.collector(metric.clone());
        metric
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn histogram(&self, options: HistogramOpts) -> Histogram {
        self.add(Histogram::with_opts(options))
    }

    fn histograms(&self, options: HistogramOpts, labels: &[&str]) -> HistogramVec {
        self.add(HistogramVec::new(options, labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render()).expect("Prometheus' format is UTF-8")
    }

    #[test]
    fn a_guard_cannot_leave_a_gauge_raised() {
        let metrics = Metrics::new();
        let guard = metrics.job_in_flight();
        assert!(text(&metrics).contains("\nflux_jobs_in_flight 1\n"));
        drop(guard);
        assert!(text(&metrics).contains("\nflux_jobs_in_flight 0\n"));
    }

    #[test]
    fn a_worker_that_stops_answering_has_no_slots() {
        let metrics = Metrics::new();
        let worker: Address = "w:1".parse().expect("an address");
        let status = WorkerStatus {
            worker_id: "w".to_owned(),
            version: "1".to_owned(),
            current_jobs: 1,
            max_concurrent_jobs: 3,
            active_job_ids: Vec::new(),
            lease: None,
            clock: 0,
            splits: false,
        };
        metrics.worker_answered(&worker, Some(&status));
        let up = text(&metrics);
        for line in [
            "flux_worker_up{worker=\"w:1\"} 1",
            "flux_worker_slots{state=\"busy\",worker=\"w:1\"} 1",
            "flux_worker_slots{state=\"free\",worker=\"w:1\"} 2",
        ] {
            assert!(up.contains(line), "{line} in {up}");
        }
        metrics.worker_answered(&worker, None);
        let down = text(&metrics);
        assert!(down.contains("flux_worker_up{worker=\"w:1\"} 0"), "{down}");
        assert!(down.contains("flux_worker_slots{state=\"free\",worker=\"w:1\"} 0"), "{down}");
    }

    #[test]
    fn the_version_and_the_process_are_there() {
        let text = text(&Metrics::new());
        assert!(text.contains("flux_build_info{version="), "{text}");
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
    }
}
