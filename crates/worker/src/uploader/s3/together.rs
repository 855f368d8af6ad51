//! Runs requests side by side, and ends them in an orderly way.

use std::{future::Future, pin::pin, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Error;

/// Runs `work` to its end, at most `limit` at a time. After the first failure `stop` is cancelled and the rest is
/// waited for, so that nothing is under way when this returns.
///
/// # Errors
/// The first failure.
pub(super) async fn together<T, W>(
    work: impl IntoIterator<Item = W>,
    limit: usize,
    stop: &CancellationToken,
) -> Result<Vec<T>, Error>
where
    W: Future<Output = Result<T, Error>>,
{
    let mut results = stream::iter(work).buffer_unordered(limit);
    let (mut done, mut failure) = (Vec::new(), None);
    while let Some(result) = results.next().await {
        match result {
            Ok(value) => done.push(value),
            Err(error) => {
                stop.cancel();
                failure.get_or_insert(error);
            }
        }
    }
    failure.map_or(Ok(done), Err)
}

/// Waits for a request, but only `grace` longer once `stop` is cancelled; then the request is dropped, and whether S3
/// did it is unknown. The grace keeps that rare: a request that is nearly through ends well and can be undone.
pub(super) async fn unless_stopped<T>(
    stop: &CancellationToken,
    grace: Duration,
    request: impl Future<Output = T>,
) -> Option<T> {
    let give_up = async {
        stop.cancelled().await;
        sleep(grace).await;
    };
    let mut request = pin!(request);
    tokio::select! {
        biased;
        result = &mut request => Some(result),
        () = give_up => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    const GRACE: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn a_request_that_ends_within_the_grace_counts() {
        let stop = CancellationToken::new();
        stop.cancel();
        assert_eq!(unless_stopped(&stop, GRACE, sleep(GRACE / 2)).await, Some(()));
        assert_eq!(unless_stopped(&stop, GRACE, pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn after_a_failure_the_rest_ends_before_the_answer() {
        let stop = CancellationToken::new();
        let ended = AtomicUsize::new(0);
        let work = (0..4).map(|number| {
            let (stop, ended) = (&stop, &ended);
            async move {
                if number == 1 {
                    return Err(Error::Crashed);
                }
                stop.cancelled().await;
                ended.fetch_add(1, Ordering::Relaxed);
                Err::<(), _>(Error::Cancelled)
            }
        });
        assert!(matches!(together(work, 4, &stop).await, Err(Error::Crashed)));
        assert_eq!(ended.into_inner(), 3);
    }

    #[tokio::test]
    async fn what_succeeds_comes_back() {
        let work = (0..3).map(|number| ready(Ok(number)));
        let mut done = together(work, 2, &CancellationToken::new()).await.expect("all succeed");
        done.sort_unstable();
        assert_eq!(done, [0, 1, 2]);
    }
}
