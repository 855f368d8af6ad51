//! What is to be done from time to time: progress is saved, memory is given back, old jobs are removed.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Shared;

/// How old saved progress may be.
const SAVE: Duration = Duration::from_secs(2);

/// Time between two looks for jobs that were kept long enough.
const EXPIRE: Duration = Duration::from_mins(1);

/// How many old jobs are removed at once: the store has other things to do.
const EXPIRED_AT_ONCE: u32 = 500;

/// Runs until the process stops; what is unsaved then is saved once more.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut ticks = interval(SAVE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut expire_at = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shared.lifecycle.stopping() => return save(&shared).await,
        }
        save(&shared).await;
        shared.live.prune();
        let stale = std::mem::take(&mut *shared.stale());
        for id in stale {
            shared.refresh_watched(id).await;
        }
        if Instant::now() >= expire_at {
            expire_at = Instant::now() + EXPIRE;
            expire(&shared).await;
        }
        if let Ok(waiting) = shared.store.waiting().await {
            shared.metrics.jobs_waiting(waiting);
        }
    }
}

async fn save(shared: &Shared) {
    let progress: Vec<_> = std::mem::take(&mut *shared.unsaved()).into_values().collect();
    if !progress.is_empty()
        && let Err(error) = shared.store.save_progress(progress).await
    {
        // The next percentages will be saved.
        tracing::debug!(%error, "progress is not saved");
    }
}

async fn expire(shared: &Shared) {
    let Ok(before) = Timestamp::now().checked_sub(shared.rules.retention) else { return };
    loop {
        match shared.store.expire(before, EXPIRED_AT_ONCE).await {
            Ok(removed) if removed < u64::from(EXPIRED_AT_ONCE) => return,
            Ok(_) if shared.lifecycle.is_stopping() => return,
            Ok(_) => {}
            Err(error) => return tracing::warn!(%error, "old jobs are not removed"),
        }
    }
}
