//! Room in the queue.
//!
//! Counting all that wait for each new job would make a long queue slow. So one count serves for a moment; what this
//! control plane adds meanwhile is added to it, and before anybody is refused the queue is counted again.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use sqlx::PgPool;
use tokio::{sync::Mutex, time::Instant};

use crate::store::Error;

/// How long a count serves. So much more than the limit may get in as others write in that time.
const FRESH: Duration = Duration::from_millis(250);

/// How many jobs wait, as far as this control plane knows.
#[derive(Debug, Default)]
pub(super) struct Room {
    count: Mutex<Option<Count>>,
    /// Jobs that have room and are being written.
    seats: AtomicI64,
}

#[derive(Debug)]
struct Count {
    at: Instant,
    waiting: i64,
}

/// Room for a job that is being written.
#[derive(Debug)]
pub(super) struct Seat<'r>(&'r Room);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.seats.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Room {
    /// Takes room for one job, if there is any among `limit`. To be held until the job is written.
    pub(super) async fn take(&self, pool: &PgPool, limit: i64) -> Result<Option<Seat<'_>>, Error> {
        // Held while counting, so that many who ask at once cause one count.
        let mut count = self.count.lock().await;
        if let Some(count) = count.as_mut().filter(|count| count.at.elapsed() < FRESH && count.waiting < limit) {
            count.waiting += 1;
            return Ok(Some(self.seat()));
        }
        // Those that are being written may or may not be in the count. Rather refuse one too many.
        let (at, seats) = (Instant::now(), self.seats.load(Ordering::Acquire));
        // A job that has tasks left to begin counts like one that waits itself.
        let counted: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM jobs WHERE waiting AND parent IS NULL)
                  + (SELECT count(DISTINCT parent) FROM jobs WHERE waiting AND parent IS NOT NULL)",
        )
        .fetch_one(pool)
        .await?;
        let waiting = counted + seats;
        let is_room = waiting < limit;
        *count = Some(Count { at, waiting: waiting + i64::from(is_room) });
        Ok(is_room.then(|| self.seat()))
    }

    fn seat(&self) -> Seat<'_> {
        self.seats.fetch_add(1, Ordering::AcqRel);
        Seat(self)
    }
}
