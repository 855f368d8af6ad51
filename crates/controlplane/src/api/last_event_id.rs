//! Where a listener left off: the header `Last-Event-ID`, which browsers send when they reconnect, or the parameter
//! `last_event_id` for clients that cannot set headers.

use axum::{extract::FromRequestParts, http::request::Parts};
use service::feed::Position;

use super::{Error, query::Query};

/// The header, as errors name it.
const HEADER: &str = "Last-Event-ID";

/// The parameter.
const PARAMETER: &str = "last_event_id";

/// The last event that a listener has seen; `None` where it has seen none.
#[derive(Debug)]
pub(super) struct LastEventId(pub(super) Option<Position>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        // A browser that reconnects repeats the URL and adds the header: the header is the later one.
        if let Some(header) = parts.headers.get(HEADER).filter(|header| !header.is_empty()) {
            let text = header.to_str().unwrap_or_default();
            let wrong = |reason: service::feed::NoPosition| Error::Parameter {
                name: HEADER.to_owned(),
                reason: reason.to_string(),
            };
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
        seen.map(|seen| seen.0.map(|seen| seen.to_string())).map_err(|error| error.to_string())
    }

    #[rstest]
    #[case::nothing("", "", None)]
    #[case::header("3.17", "", Some("3.17"))]
    #[case::parameter("", "?last_event_id=2.0", Some("2.0"))]
    #[case::the_header_is_later("3.17", "?last_event_id=2.0", Some("3.17"))]
    #[tokio::test]
    async fn header_or_parameter(#[case] header: &str, #[case] query: &str, #[case] seen: Option<&str>) {
        assert_eq!(read(header, query).await, Ok(seen.map(str::to_owned)));
    }

    #[rstest]
    #[case("three", "", "Last-Event-ID: must be an event's id, such as 3.17")]
    #[case("", "?last_event_id=3", "last_event_id: must be an event's id, such as 3.17")]
    #[case("", "?last_event=3.17", "last_event: is not known; give last_event_id")]
    #[tokio::test]
    async fn what_is_no_id_is_refused(#[case] header: &str, #[case] query: &str, #[case] text: &str) {
        assert_eq!(read(header, query).await, Err(text.to_owned()));
    }
}
