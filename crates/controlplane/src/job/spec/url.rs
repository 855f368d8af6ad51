//! What URLs a request may name. Whether an address may be reached is decided by who looks it up: the worker, or the sender
//! of callbacks. What could never be reached is told at once.

use service::address::{self, Forbidden};
use url::Url;

/// Longest URL in bytes.
const MAX_BYTES: usize = 8 * 1024;

/// Why a URL cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("is empty")]
    Empty,
    #[error("is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("holds a space or a control character")]
    Unprintable,
    #[error("must be an absolute URL")]
    NotAbsolute,
    #[error("must be an http, https, s3 or file URL")]
    InputScheme,
    #[error("must be an http or https URL")]
    CallbackScheme,
    #[error("must name a host")]
    NoHost,
    #[error("names a host; a file is file:///path")]
    FileHost,
    #[error("the host is {0}, which callbacks may not use")]
    Forbidden(Forbidden),
}

/// Checks `input_url`.
pub(super) fn check_input(text: &str) -> Result<(), Error> {
    let url = parse(text)?;
    match url.scheme() {
        "http" | "https" | "s3" => check_host(&url),
        // Without that of localhost, which the parser drops.
        "file" if url.has_host() => Err(Error::FileHost),
        "file" => Ok(()),
        _ => Err(Error::InputScheme),
    }
}

/// Checks `callback_url`.
pub(super) fn check_callback(text: &str) -> Result<(), Error> {
    let url = parse(text)?;
    match url.scheme() {
        "http" | "https" => check_host(&url)?,
        _ => return Err(Error::CallbackScheme),
    }
    // Loopback is the operator's choice; the rest is nobody's.
    address::literal(&url).map_or(Ok(()), |address| address::check(address, true).map_err(Error::Forbidden))
}

fn parse(text: &str) -> Result<Url, Error> {
    if text.is_empty() {
        return Err(Error::Empty);
    }
    if text.len() > MAX_BYTES {
        return Err(Error::TooLong);
    }
    // The parser would drop some of these silently, and then two readers could see two URLs.
    if text.contains(|c: char| c.is_control()) || text.trim() != text {
        return Err(Error::Unprintable);
    }
    Url::parse(text)
        .map_err(|error| if error == url::ParseError::EmptyHost { Error::NoHost } else { Error::NotAbsolute })
}

fn check_host(url: &Url) -> Result<(), Error> {
    if url.host_str().is_some_and(|host| !host.is_empty()) { Ok(()) } else { Err(Error::NoHost) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn inputs_have_a_scheme_that_a_worker_can_read() {
        for url in [
            "https://example.com/a b.mp4?sig=%2F",
            "http://[::1]:8080/a",
            "HTTP://example.com",
            "s3://bucket/key",
            "file:///data/a.mp4",
            "file://localhost/data/a.mp4",
        ] {
            assert_eq!(check_input(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn each_rule_has_a_url_that_breaks_it() {
        let long = format!("http://h/{}", "a".repeat(MAX_BYTES));
        for (url, error) in [
            ("", Error::Empty),
            (long.as_str(), Error::TooLong),
            ("http://h/\na", Error::Unprintable),
            (" http://h/", Error::Unprintable),
            ("video.mp4", Error::NotAbsolute),
            ("//h/video.mp4", Error::NotAbsolute),
            ("ftp://h/a", Error::InputScheme),
            ("concat:a|b", Error::InputScheme),
            ("data:video/mp4;base64,AA", Error::InputScheme),
            ("s3:///key", Error::NoHost),
            ("http://", Error::NoHost),
            ("file://etc/passwd", Error::FileHost),
        ] {
            assert_eq!(check_input(url), Err(error), "{url:?}");
        }
    }

    #[test]
    fn callbacks_are_http() {
        assert_eq!(check_callback("https://example.com/hook"), Ok(()));
        assert_eq!(check_callback("s3://bucket/key"), Err(Error::CallbackScheme));
    }

    #[test]
    fn callbacks_that_could_never_be_sent_are_refused() {
        for (url, why) in [
            ("http://169.254.169.254/latest", Forbidden::LinkLocal),
            ("http://[fd00:ec2::254]/", Forbidden::Metadata),
            ("https://255.255.255.255/", Forbidden::NotAHost),
        ] {
            assert_eq!(check_callback(url), Err(Error::Forbidden(why)), "{url}");
        }
        assert_eq!(check_callback("http://127.0.0.1:9000/hook"), Ok(()), "the operator may allow it");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,64}") {
            let _ = check_input(&text);
        }
    }
}
