//! How far the turns are.
//!
//! What a control plane has claimed itself it knows. What the others have is among the rows that somebody drives; to look
//! at all of them for each new job would make a large fleet slow, so one look serves for a moment.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use tokio::time::Instant;

/// How long a look at what others drive serves. New jobs of that time may pass tasks that should have been before them.
const FRESH: Duration = Duration::from_millis(250);

/// The latest turn that was claimed, by priority, as far as this control plane knows.
#[derive(Debug, Default)]
pub(super) struct Turns {
    claimed: Mutex<BTreeMap<i64, i64>>,
    /// When the server was asked last.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

impl Turns {
    /// The latest; `None` before the first.
    pub(super) async fn last(&self, pool: &PgPool, priority: i64) -> sqlx::Result<Option<i64>> {
        // Held while asking, so that many who come at once cause one question.
        let mut asked = self.asked.lock().await;
        if asked.is_none_or(|asked| asked.elapsed() >= FRESH) {
            let now = Instant::now();
            let query =
                sqlx::query_as("SELECT priority, max(turn) FROM jobs WHERE owner IS NOT NULL GROUP BY priority");
            let driven: Vec<(i64, i64)> = query.fetch_all(pool).await?;
            for (priority, turn) in driven {
                self.claimed(priority, turn);
            }
            *asked = Some(now);
        }
        Ok(self.turns().get(&priority).copied())
    }

    /// Notes the turn of a row that was claimed. One that comes back, and is claimed again, does not turn it back.
    pub(super) fn claimed(&self, priority: i64, turn: i64) {
        let mut turns = self.turns();
        let last = turns.entry(priority).or_insert(turn);
        *last = turn.max(*last);
    }

    fn turns(&self) -> MutexGuard<'_, BTreeMap<i64, i64>> {
        // No code that can panic runs under this lock.
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
