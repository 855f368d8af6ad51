//! Waiting on conditions instead of on the clock.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longer than anything that works takes, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Time between two looks at something outside this process.
pub(crate) const INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds, and fails the test naming `what` when it does not within [`PATIENCE`].
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "waited too long until {what}");
        sleep(INTERVAL).await;
    }
}
