//! Where a listener left off: the header `Last-Event-ID`, which browsers send when they reconnect, or the parameter
//! `last_event_id` for clients that cannot set headers.

use std::str::FromStr;

use axum::{extract::FromRequestParts, http::request::Parts};
use service::feed::{NoPosition, Position};

use super::{Error, query::Query};
use crate::event::{number_of, progress_at};

/// The header, as errors name it.
const HEADER: &str = "Last-Event-ID";

/// The parameter.
const PARAMETER: &str = "last_event_id";

/// The last event that a listener has seen; `None` where it has seen none.
#[derive(Debug)]
pub(super) struct LastEventId(pub(super) Option<Seen>);

/// What a listener has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Seen {
    /// Up to which event.
    pub(super) position: Position,
    /// How far the job was then, 0 to 100: it must not be told less. The process that told it may be dead, and the store
    /// a little behind.
    pub(super) progress: f64,
}

/// The id of an event: its place, and the progress that it was raised to, if it was: `3.17` or `4.0.452000`.
pub(super) fn id(position: Position, raised_to: Option<f64>) -> String {
    match raised_to {
        Some(progress) => format!("{position}.{}", number_of(progress)),
        None => position.to_string(),
    }
}

impl FromStr for Seen {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (position, raised) = match text.match_indices('.').nth(1) {
            Some((dot, _)) => (&text[..dot], text[dot + 1..].parse().map_err(|_| NoPosition)?),
            None => (text, 0),
        };
        let position: Position = position.parse()?;
        Ok(Self { position, progress: progress_at(position.update.max(raised)) })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        // A browser that reconnects repeats the URL and adds the header: the header is the later one.
        if let Some(header) = parts.headers.get(HEADER).filter(|header| !header.is_empty()) {
            let text = header.to_str().unwrap_or_default();
            let wrong = |reason: NoPosition| Error::Parameter { name: HEADER.to_owned(), reason: reason.to_string() };
            return text.parse().map(Some).map(Self).map_err(wrong);
        }
        let query = Query::parse(parts.uri.query().unwrap_or_default(), &[PARAMETER])?;
        query.get(PARAMETER, str::parse).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use rstest::rstest;

    use super::*;

    async fn read(header: &str, query: &str) -> Result<Option<String>, String> {
        let request = Request::builder().uri(format!("/stream{query}")).header(HEADER, header).body(());
        let (mut parts, ()) = request.expect("a request").into_parts();
        let seen = LastEventId::from_request_parts(&mut parts, &()).await;
        seen.map(|seen| seen.0.map(|seen| format!("{} {}", seen.position, seen.progress)))
            .map_err(|error| error.to_string())
    }

    #[rstest]
    #[case::nothing("", "", None)]
    #[case::header("3.17", "", Some("3.17 0.0017"))]
    #[case::parameter("", "?last_event_id=2.0", Some("2.0 0"))]
    #[case::the_header_is_later("3.17", "?last_event_id=2.0", Some("3.17 0.0017"))]
    #[case::raised("4.0.452000", "", Some("4.0 45.2"))]
    #[tokio::test]
    async fn header_or_parameter(#[case] header: &str, #[case] query: &str, #[case] seen: Option<&str>) {
        assert_eq!(read(header, query).await, Ok(seen.map(str::to_owned)));
    }

    #[rstest]
    #[case("1.2.x", "", "Last-Event-ID: must be an event's id, such as 3.17")]
    #[case("1.2.3.4", "", "Last-Event-ID: must be an event's id, such as 3.17")]
    #[case("three", "", "Last-Event-ID: must be an event's id, such as 3.17")]
    #[case("", "?last_event_id=3", "last_event_id: must be an event's id, such as 3.17")]
    #[case("", "?last_event=3.17", "last_event: is not known; give last_event_id")]
    #[tokio::test]
    async fn what_is_no_id_is_refused(#[case] header: &str, #[case] query: &str, #[case] text: &str) {
        assert_eq!(read(header, query).await, Err(text.to_owned()));
    }
}
