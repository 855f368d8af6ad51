//! Lets in who knows the API key.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header::AUTHORIZATION},
    middleware::Next,
    response::Response,
};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use super::{Api, Error};

/// Refuses requests without the key, before anything else is looked at.
pub(super) async fn require_key(State(api): State<Arc<Api>>, request: Request, next: Next) -> Result<Response, Error> {
    if let Some(key) = &api.api_key {
        check(request.headers(), key)?;
    }
    Ok(next.run(request).await)
}

fn check(headers: &HeaderMap, key: &SecretString) -> Result<(), Error> {
    let header = headers.get(AUTHORIZATION).ok_or(Error::MissingAuthorization)?;
    let (scheme, given) = split(header.as_bytes()).ok_or(Error::InvalidAuthorization)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(Error::InvalidAuthorization);
    }
    // The time tells the length of the key, and nothing else.
    if given.ct_eq(key.expose_secret().as_bytes()).into() { Ok(()) } else { Err(Error::InvalidKey) }
}

fn split(header: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = header.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = header.split_at(space);
    let key = rest.trim_ascii();
    (!key.is_empty() && !key.contains(&b' ')).then_some((scheme, key))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(None, "missing authorization header")]
    #[case(Some("secret"), "invalid authorization header format")]
    #[case(Some(""), "invalid authorization header format")]
    #[case(Some("Bearer"), "invalid authorization header format")]
    #[case(Some("Bearer "), "invalid authorization header format")]
    #[case(Some("Bearer secret secret"), "invalid authorization header format")]
    #[case(Some("Basic secret"), "invalid authorization header format")]
    #[case(Some("Bearer wrong"), "invalid api key")]
    #[case(Some("Bearer secre"), "invalid api key")]
    #[case(Some("Bearer secret1"), "invalid api key")]
    #[case(Some("Bearer SECRET"), "invalid api key")]
    fn who_does_not_know_the_key_is_refused(#[case] header: Option<&'static str>, #[case] text: &str) {
        let error = check(&headers(header), &"secret".into()).expect_err("not the key");
        assert_eq!(error.to_string(), text);
    }

    #[rstest]
    #[case("Bearer secret")]
    #[case("bearer secret")]
    #[case("BEARER  secret ")]
    fn who_knows_the_key_is_let_in(#[case] header: &'static str) {
        assert!(check(&headers(Some(header)), &"secret".into()).is_ok());
    }

    fn headers(authorization: Option<&'static str>) -> HeaderMap {
        authorization.map(|value| (AUTHORIZATION, HeaderValue::from_static(value))).into_iter().collect()
    }
}
