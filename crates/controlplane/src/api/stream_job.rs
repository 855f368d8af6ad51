//! `GET /api/v1/jobs/{id}/stream`

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, HeaderName},
    },
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use service::{
    feed::{Position, Subscription},
    lifecycle::Lifecycle,
};

use super::{
    Api, Error,
    error::ErrorBody,
    job_id::JobIdPath,
    last_event_id::{LastEventId, id},
};
use crate::{
    event::{JobEvent, at_least},
    metrics::Raised,
};

/// Time between comments that keep proxies from closing a quiet stream.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// When listeners of a service that stops should try again.
const RETRY: Duration = Duration::from_secs(2);

/// Tells nginx not to hold events back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Follow a job
///
/// Every status change since the job was accepted, or since the event that the listener names, the latest progress, and
/// what follows. The stream ends after `JOB_STATUS_COMPLETED`, `JOB_STATUS_FAILED` or `JOB_STATUS_CANCELLED`.
#[utoipa::path(
    get,
    path = "/jobs/{id}/stream",
    tag = "jobs",
    security(("api_key" = [])),
    params(
        ("id" = String, Path, format = "uuid", description = "Name of the job"),
        ("Last-Event-ID" = Option<String>, Header, description = "The `id:` of the last event that the listener has"),
        ("last_event_id" = Option<String>, Query, description = "The same, for clients that cannot set the header"),
    ),
    responses(
        (
            status = 200,
            description = "Server-sent events; each `data:` line holds one event, its `id:` line the event's id",
            content_type = "text/event-stream",
            body = JobEvent,
        ),
        (status = 204, description = "The listener has every event, and no more will come"),
        (status = 400, description = "What is given is no event's id", body = ErrorBody),
        (status = 401, description = "No API key, or a wrong one", body = ErrorBody),
        (status = 404, description = "No such job", body = ErrorBody),
        (status = 500, description = "The job could not be read", body = ErrorBody),
        (status = 503, description = "The store is not available now", body = ErrorBody),
    )
)]
pub(super) async fn stream_job(
    State(api): State<Arc<Api>>,
    JobIdPath(job): JobIdPath,
    LastEventId(seen): LastEventId,
) -> Result<Response, Error> {
    let events = api.dispatcher.subscribe(job, seen.unwrap_or_default().position).await?.ok_or(Error::UnknownJob)?;
    // Browsers come back after the end of a stream for as long as they are answered with another one.
    if seen.is_some() && events.is_over() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let counted = api.metrics.listener();
    let floor = Floor(seen.unwrap_or_default().progress);
    let listener = Listener { events, floor, lifecycle: api.lifecycle.clone(), is_dismissed: false, _counted: counted };
    Ok(respond(listener.events()).into_response())
}

/// Who follows a job. There may be ten thousand of them.
struct Listener {
    events: Subscription<Arc<str>>,
    floor: Floor,
    lifecycle: Lifecycle,
    is_dismissed: bool,
    _counted: Raised,
}

impl Listener {
    /// The events until the service stops: an open stream would keep the server from stopping.
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        // What the block captures has room there once; a variable of its own would have it twice.
        stream::unfold(self, |mut listener| async move { Some((Ok(listener.next().await?), listener)) })
    }

    async fn next(&mut self) -> Option<Event> {
        if self.is_dismissed {
            return None;
        }
        tokio::select! {
            // What is already there comes first, or a stop could hide how the job ended.
            biased;
            next = self.events.next_at() => next.map(|(position, json)| self.floor.event(position, &json)),
            () = self.lifecycle.stopping() => {
                self.is_dismissed = true;
                Some(Event::default().retry(RETRY))
            }
        }
    }
}

/// How far the job was when the listener heard of it last. It must not be told less.
struct Floor(f64);

impl Floor {
    fn event(&mut self, position: Position, json: &str) -> Event {
        let raised = if self.0 > 0.0 { at_least(json, self.0) } else { None };
        if raised.is_none() {
            // From here on the job is ahead by itself.
            self.0 = 0.0;
        }
        let raised_to = raised.is_some().then_some(self.0);
        Event::default().id(id(position, raised_to)).data(raised.as_deref().unwrap_or(json))
    }
}

fn respond(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> impl IntoResponse {
    let stream = Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    ([(CACHE_CONTROL, "no-cache"), (X_ACCEL_BUFFERING, "no")], stream)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use service::feed::Feed;
    use tokio::time::Instant;

    use super::*;
    use crate::metrics::Metrics;

    fn feed() -> Feed<Arc<str>> {
        let feed = Feed::new();
        feed.milestone("running".into());
        feed
    }

    /// What a listener reads until the service, which is stopping, closes the stream.
    async fn read(feed: &Feed<Arc<str>>, seen: Position) -> String {
        let lifecycle = Lifecycle::new();
        lifecycle.stop();
        let (events, counted) = (feed.subscribe_after(seen), Metrics::new().listener());
        let listener = Listener { events, floor: Floor(0.0), lifecycle, is_dismissed: false, _counted: counted };
        let body = respond(listener.events()).into_response().into_body();
        let body = axum::body::to_bytes(body, 1024).await.expect("a short body");
        String::from_utf8(body.to_vec()).expect("text")
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_has_a_heartbeat() {
        let start = Instant::now();
        let mut body = respond(stream::pending()).into_response().into_body().into_data_stream();
        let comment = body.next().await.expect("a stream without an end").expect("no error");
        assert_eq!((&comment[..], start.elapsed()), (&b":\n\n"[..], HEARTBEAT));
    }

    #[tokio::test]
    async fn a_stop_does_not_hide_how_the_job_ended() {
        let feed = feed();
        feed.finish("completed".into());
        // Often enough to notice a choice that is left to chance.
        for _ in 0..64 {
            let text = read(&feed, Position::default()).await;
            assert_eq!(text, "id: 1.0\ndata: running\n\nid: 2.0\ndata: completed\n\n");
        }
    }

    #[test]
    fn what_a_listener_has_seen_outlives_several_streams() {
        let mut floor = Floor(45.2);
        let raised = format!("{:?}", floor.event(Position { milestone: 4, update: 0 }, r#"{"progress":40.0}"#));
        assert!(raised.contains("id: 4.0.452000") && raised.contains(r#"{\"progress\":45.2}"#), "{raised}");
        let ahead = format!("{:?}", floor.event(Position { milestone: 4, update: 460_000 }, r#"{"progress":46.0}"#));
        assert!(ahead.contains("id: 4.460000\\n"), "{ahead}");
    }

    #[tokio::test]
    async fn a_stop_ends_the_stream_of_a_running_job_and_says_when_to_come_back() {
        let feed = feed();
        feed.update("40 %".into());
        let text = read(&feed, Position::default()).await;
        assert_eq!(text, "id: 1.0\ndata: running\n\nid: 1.1\ndata: 40 %\n\nretry: 2000\n\n");
        let text = read(&feed, Position { milestone: 1, update: 1 }).await;
        assert_eq!(text, "retry: 2000\n\n");
    }
}
