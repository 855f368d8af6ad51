//! A request body as JSON, with errors that name the field.
//!
//! Whatever `Content-Type` says: `curl -d` without a header says form data, and the original read it all the same.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::Error;
use crate::object::Object;

/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// A body that is JSON of the right shape.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let body = timeout(ARRIVAL, Bytes::from_request(request, state)).await.map_err(|_| Error::Body)?;
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge,
            _ => Error::Body,
        })?;
        parse(&body).map(Self)
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let Object(value) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let (field, error) = (error.path().to_string(), error.into_inner());
        if error.is_data() && field != "." {
            Error::Type { field, reason: error.to_string() }
        } else {
            Error::Syntax(error.to_string())
        }
    })?;
    reader.end().map_err(|error| Error::Syntax(error.to_string()))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::job::spec::JobRequest;

    #[rstest]
    #[case("", "invalid JSON: EOF while parsing a value at line 1 column 0")]
    #[case("{", "invalid JSON: EOF while parsing an object at line 1 column 1")]
    #[case("{} {}", "invalid JSON: trailing characters at line 1 column 4")]
    #[case("7", "invalid JSON: invalid type: integer `7`, expected an object at line 1 column 1")]
    #[case(r#" ["file:///a.mp4"]"#, "invalid JSON: invalid type: sequence, expected an object at line 1 column 1")]
    #[case(r#"{"preset":7}"#, "preset: invalid type: integer `7`, expected a string at line 1 column 11")]
    #[case(r#"{"output":["s3"]}"#, "output: invalid type: sequence, expected an object at line 1 column 10")]
    #[case(r#"{"output":{"path":[]}}"#, "output.path: invalid type: sequence, expected a string at line 1 column 18")]
    fn what_is_wrong_is_named(#[case] body: &str, #[case] message: &str) {
        assert_eq!(parse::<JobRequest>(body.as_bytes()).expect_err("a wrong body").to_string(), message);
    }
}
