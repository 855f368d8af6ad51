//! The header `Idempotency-Key`: a client's own name for a request, so that sending it twice makes one job.

use axum::{extract::FromRequestParts, http::request::Parts};

use super::Error;
use crate::job::spec::Invalid;

/// The header, as errors name it.
pub(super) const NAME: &str = "Idempotency-Key";

/// Longest key in bytes.
const MAX_BYTES: usize = 255;

/// The key of a request; `None` where the client gave none.
#[derive(Debug)]
pub(super) struct IdempotencyKey(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let mut keys = parts.headers.get_all(NAME).iter();
        let Some(key) = keys.next() else { return Ok(Self(None)) };
        match (check(key.as_bytes()), keys.next()) {
            (Some(key), None) => Ok(Self(Some(key))),
            (_, Some(_)) => Err(invalid("must be given once")),
            (None, None) => Err(invalid("must be 1 to 255 visible ASCII characters")),
        }
    }
}

fn check(key: &[u8]) -> Option<String> {
    let fits = (1..=MAX_BYTES).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    fits.then(|| String::from_utf8(key.to_vec()).ok())?
}

fn invalid(reason: &str) -> Error {
    Invalid { field: NAME, reason: reason.to_owned() }.into()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, Request};
    use rstest::rstest;

    use super::*;

    async fn read(keys: &[&[u8]]) -> Result<Option<String>, String> {
        let mut request = Request::new(());
        for key in keys {
            request.headers_mut().append(NAME, HeaderValue::from_bytes(key).expect("a header"));
        }
        let (mut parts, ()) = request.into_parts();
        let key = IdempotencyKey::from_request_parts(&mut parts, &()).await;
        key.map(|key| key.0).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_key_is_visible_ascii() {
        let longest = "x".repeat(255);
        for key in ["a", "8e03978e-40d5-43dd-bc93-6894a57f9324", "\"quoted\"", &longest] {
            assert_eq!(read(&[key.as_bytes()]).await, Ok(Some(key.to_owned())));
        }
        assert_eq!(read(&[]).await, Ok(None));
    }

    #[rstest]
    #[case::empty(&[&b""[..]], "Idempotency-Key: must be 1 to 255 visible ASCII characters")]
    #[case::too_long(&[&[b'x'; 256][..]], "Idempotency-Key: must be 1 to 255 visible ASCII characters")]
    #[case::a_space(&[&b"a b"[..]], "Idempotency-Key: must be 1 to 255 visible ASCII characters")]
    #[case::not_ascii(&["é".as_bytes()], "Idempotency-Key: must be 1 to 255 visible ASCII characters")]
    #[case::twice(&[&b"a"[..], &b"a"[..]], "Idempotency-Key: must be given once")]
    #[tokio::test]
    async fn anything_else_is_refused(#[case] keys: &[&[u8]], #[case] text: &str) {
        assert_eq!(read(keys).await, Err(text.to_owned()));
    }
}
