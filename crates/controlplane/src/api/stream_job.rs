//! `GET /api/v1/jobs/{id}/stream`

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::header::{CACHE_CONTROL, HeaderName},
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::Stream;
use service::{feed::Subscription, lifecycle::Lifecycle};

use super::{Api, Error, error::ErrorBody, job_id::JobIdPath};
use crate::event::JobEvent;

/// Time between comments that keep proxies from closing a quiet stream.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Tells nginx not to hold events back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Follow a job
///
/// Every status change since the job was accepted, the latest progress, and what follows. The stream ends after
/// `JOB_STATUS_COMPLETED`, `JOB_STATUS_FAILED` or `JOB_STATUS_CANCELLED`.
#[utoipa::path(
    get,
    path = "/jobs/{id}/stream",
    tag = "jobs",
    security(("api_key" = [])),
    params(("id" = String, Path, format = "uuid", description = "Name of the job")),
    responses(
        (
            status = 200,
            description = "Server-sent events; each `data:` line holds one event",
            content_type = "text/event-stream",
            body = JobEvent,
        ),
        (status = 401, description = "No API key, or a wrong one", body = ErrorBody),
        (status = 404, description = "No such job", body = ErrorBody),
    )
)]
pub(super) async fn stream_job(State(api): State<Api>, JobIdPath(id): JobIdPath) -> Result<impl IntoResponse, Error> {
    let events = api.dispatcher.subscribe(id, service::feed::Position::default()).await?.ok_or(Error::UnknownJob)?;
    let listener = api.metrics.listener();
    let stream = async_stream::stream! {
        let _listener = listener;
        for await event in until_stop(events, api.lifecycle) {
            yield Ok(Event::default().data(&*event));
        }
    };
    Ok(respond(stream))
}

/// The events until the service stops: an open stream would keep the server from stopping.
fn until_stop<T: Clone>(mut events: Subscription<T>, lifecycle: Lifecycle) -> impl Stream<Item = T> {
    async_stream::stream! {
        loop {
            let event = tokio::select! {
                // What is already there comes first, or a stop could hide how the job ended.
                biased;
                event = events.next() => event,
                () = lifecycle.stopping() => None,
            };
            let Some(event) = event else { return };
            yield event;
        }
    }
}

fn respond(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> impl IntoResponse {
    let stream = Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    ([(CACHE_CONTROL, "no-cache"), (X_ACCEL_BUFFERING, "no")], stream)
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use service::feed::Feed;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_has_a_heartbeat() {
        let start = Instant::now();
        let mut body = respond(stream::pending()).into_response().into_body().into_data_stream();
        let comment = body.next().await.expect("a stream without an end").expect("no error");
        assert_eq!((&comment[..], start.elapsed()), (&b":\n\n"[..], HEARTBEAT));
    }

    #[tokio::test]
    async fn a_stop_does_not_hide_how_the_job_ended() {
        // Often enough to notice a choice that is left to chance.
        for _ in 0..64 {
            let (feed, lifecycle) = (Feed::new(), Lifecycle::new());
            feed.milestone("running");
            feed.finish("completed");
            lifecycle.stop();
            let events: Vec<_> = until_stop(feed.subscribe(), lifecycle).collect().await;
            assert_eq!(events, ["running", "completed"]);
        }
    }

    #[tokio::test]
    async fn a_stop_ends_the_stream_of_a_running_job() {
        let (feed, lifecycle) = (Feed::new(), Lifecycle::new());
        feed.milestone("running");
        lifecycle.stop();
        let events: Vec<_> = until_stop(feed.subscribe(), lifecycle).collect().await;
        assert_eq!(events, ["running"]);
    }
}
