//! Whether the store takes writes: asked for at most so long, and not by every request.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::store;

/// How long the store may take. Less than whoever asks for the health waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long an answer holds.
const FRESH: Duration = Duration::from_secs(1);

/// The latest answer of the store.
#[derive(Debug, Default)]
pub struct StoreHealth(Mutex<Option<(Instant, Trouble)>>);

/// What is wrong with a store, in words that tell nothing of the inside.
type Trouble = Option<&'static str>;

impl StoreHealth {
    /// What is wrong with the store, if something is. Whoever comes while it is asked gets the same answer.
    pub(super) async fn trouble(&self, check: impl Future<Output = Result<(), store::Error>>) -> Trouble {
        let mut latest = self.0.lock().await;
        if let Some((at, trouble)) = *latest
            && at.elapsed() < FRESH
        {
            return trouble;
        }
        let trouble = match timeout(PATIENCE, check).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the job store does not take writes");
                Some("does not take writes")
            }
            Err(_) => {
                tracing::warn!(patience_s = PATIENCE.as_secs(), "the job store does not answer");
                Some("does not answer")
            }
        };
        *latest = Some((Instant::now(), trouble));
        trouble
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::sleep;

    use super::*;

    fn broken() -> Result<(), store::Error> {
        Err(store::Error::Unavailable("/var/lib/flux.db: disk full".to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_holds_for_a_second() {
        let health = StoreHealth::default();
        assert_eq!(health.trouble(ready(broken())).await, Some("does not take writes"));
        assert_eq!(health.trouble(ready(Ok(()))).await, Some("does not take writes"));
        sleep(FRESH).await;
        assert_eq!(health.trouble(ready(Ok(()))).await, None);
        assert_eq!(health.trouble(ready(broken())).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_is_in_trouble() {
        let health = StoreHealth::default();
        assert_eq!(health.trouble(pending()).await, Some("does not answer"));
    }
}
