//! Hears what changes, and connects again when it cannot.

use std::time::Duration;

use sqlx::{PgPool, postgres::PgListener};
use tokio::{
    sync::broadcast,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::notice;
use crate::store::{Change, failure};

/// After so long without a word the connection is tried: one that was cut off says nothing.
const SILENCE: Duration = Duration::from_secs(15);

/// How long connecting, or an answer, may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Pauses between tries: the first, doubled until the last.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
    Duration::from_millis(3200),
];

/// Begins to listen: nothing is missed from now on.
pub(super) async fn start(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let connect = async {
        let mut listener = PgListener::connect_with(pool).await?;
        // We must know of a break, since what happened meanwhile was missed.
        listener.eager_reconnect(false);
        listener.listen(notice::CHANNEL).await?;
        Ok(listener)
    };
    timeout(ANSWER, connect).await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut))
}

/// Tells listeners what changes until `stop`.
pub(super) async fn run(
    listener: PgListener,
    pool: PgPool,
    listeners: broadcast::Sender<Change>,
    stop: CancellationToken,
) {
    // Ends at once, wherever it waits.
    let _ = stop.run_until_cancelled(listen(listener, &pool, &listeners)).await;
}

async fn listen(mut listener: PgListener, pool: &PgPool, listeners: &broadcast::Sender<Change>) {
    loop {
        let error = hear(&mut listener, listeners).await;
        tracing::warn!(error = failure::reason(&error), "lost the connection that tells of changes");
        listener = again(pool).await;
        tracing::info!("changes are told again");
        let _ = listeners.send(Change::Unknown);
    }
}

/// Passes on what it hears, until the connection breaks.
async fn hear(listener: &mut PgListener, listeners: &broadcast::Sender<Change>) -> sqlx::Error {
    loop {
        let Ok(heard) = timeout(SILENCE, listener.try_recv()).await else {
            if let Err(error) = is_there(listener).await {
                return error;
            }
            continue;
        };
        match heard {
            // Nobody may listen.
            Ok(Some(word)) => drop(listeners.send(notice::read(word.payload()))),
            Ok(None) => return sqlx::Error::Protocol("the server closed it".to_owned()),
            Err(error) => return error,
        }
    }
}

async fn is_there(listener: &mut PgListener) -> Result<(), sqlx::Error> {
    let answer = timeout(ANSWER, sqlx::query("SELECT 1").execute(listener)).await;
    answer.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut)).map(drop)
}

async fn again(pool: &PgPool) -> PgListener {
    let last = PAUSES[PAUSES.len() - 1];
    for pause in PAUSES.into_iter().chain(std::iter::repeat(last)) {
        sleep(pause).await;
        match start(pool).await {
            Ok(listener) => return listener,
            Err(error) => tracing::debug!(error = failure::reason(&error), "cannot listen for changes yet"),
        }
    }
    unreachable!("the pauses never end")
}
