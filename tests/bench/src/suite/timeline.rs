//! When the phases of a job were, as a listener saw them.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use e2e::Plane;
use serde_json::Value;

/// When a job that has completed was in which phase.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeline {
    /// Publishing began.
    pub(super) uploading: SystemTime,
    /// It has completed.
    pub(super) completed: SystemTime,
}

impl Timeline {
    /// Runs a job that must complete.
    ///
    /// # Errors
    /// When it does not.
    pub(super) async fn of(plane: &Plane, job: &Value) -> Result<Self> {
        let id = plane.accepted(job).await;
        let mut events = plane.events(&id).await;
        let (mut uploading, mut last) = (None, None);
        // Encodes may say nothing for long on a machine that is busy; the harness bounds each wait.
        while let Some(event) = events.next().await {
            if event["status"] == "JOB_STATUS_UPLOADING" {
                uploading.get_or_insert_with(SystemTime::now);
            }
            last = Some((SystemTime::now(), event));
        }
        let (completed, event) = last.context("a stream has events")?;
        ensure!(event["status"] == "JOB_STATUS_COMPLETED", "{event}");
        Ok(Self { uploading: uploading.context("a job that completes is published")?, completed })
    }

    /// How long it was published.
    pub(super) fn publishing(&self) -> Duration {
        since(self.completed, self.uploading)
    }
}

/// Time between two moments; none when the clock was set back.
pub(super) fn since(later: SystemTime, earlier: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}
