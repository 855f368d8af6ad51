//! When to stop waiting for ffmpeg.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio_util::sync::CancellationToken;

use super::{Error, Limits, OUTPUT_FILE};

/// When ffmpeg last came further.
pub(super) struct Activity(Mutex<Instant>);

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl Activity {
    /// It did, just now.
    pub(super) fn touch(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn quiet(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Decides when to stop waiting for ffmpeg.
pub(super) struct Watchdog<'a> {
    pub(super) limits: &'a Limits,
    pub(super) activity: &'a Activity,
    /// Where it writes.
    pub(super) directory: &'a Path,
}

impl Watchdog<'_> {
    /// Answers why, once it is time.
    pub(super) async fn give_up(&self, cancel: &CancellationToken) -> Error {
        tokio::select! {
            () = cancel.cancelled() => Error::Cancelled,
            () = tokio::time::sleep(self.limits.total) => Error::TimedOut(self.limits.total),
            () = self.stall() => Error::Stalled(self.limits.stall),
        }
    }

    async fn stall(&self) {
        loop {
            let quiet = self.activity.quiet();
            match self.limits.stall.checked_sub(quiet) {
                Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
                // Moving an MP4's index to the front of a large file reports nothing, but writes.
                Some(_) | None if self.wrote_lately() => self.activity.touch(),
                Some(_) | None => return,
            }
        }
    }

    fn wrote_lately(&self) -> bool {
        let modified = std::fs::metadata(self.directory.join(OUTPUT_FILE)).and_then(|file| file.modified());
        let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        age.is_ok_and(|age| age < self.limits.stall)
    }
}
