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
    let mut events = api.dispatcher.subscribe(id).ok_or(Error::UnknownJob)?;
    let listener = api.metrics.listener();
    let stream = async_stream::stream! {
        let _listener = listener;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                // An open stream would keep the server from stopping.
                () = api.lifecycle.stopping() => None,
            };
            let Some(event) = event else { return };
            yield Ok(Event::default().data(&event.json));
        }
    };
    Ok(respond(stream))
}

fn respond(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> impl IntoResponse {
    let stream = Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    ([(CACHE_CONTROL, "no-cache"), (X_ACCEL_BUFFERING, "no")], stream)
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_has_a_heartbeat() {
        let start = Instant::now();
        let mut body = respond(stream::pending()).into_response().into_body().into_data_stream();
        let comment = body.next().await.expect("a stream without an end").expect("no error");
        assert_eq!((&comment[..], start.elapsed()), (&b":\n\n"[..], HEARTBEAT));
    }
}
