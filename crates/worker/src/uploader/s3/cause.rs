//! Says in one sentence why S3 did not do something.

use std::iter::successors;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use hyper_util::client::legacy;

use super::Error;
use crate::failure::Blame;

/// Longest cause in characters: some servers answer with pages.
const MAX_CHARS: usize = 300;

/// Codes that every try with the same request ends with.
const REQUEST_CODES: [&str; 4] = ["EntityTooLarge", "InvalidStorageClass", "KeyTooLongError", "MetadataTooLarge"];

/// The error of an operation.
pub(super) fn error<E>(operation: &'static str, bucket: &str, key: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let blame = match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some(code) if REQUEST_CODES.contains(&code) => Blame::Job,
        Some(_) | None => Blame::Infrastructure,
    };
    Error::S3 { operation, bucket: bucket.to_owned(), key: key.to_owned(), cause: sentence(error), blame }
}

/// Whether a connection stood and broke before an answer was read, by neither our time limits nor our body.
pub(super) fn broke_off<E>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::DispatchFailure(failure) = error else { return false };
    if failure.is_timeout() || failure.is_user() {
        return false;
    }
    // A failure without an HTTP client's error, such as that of finding credentials, has not come to a connection.
    let first = failure.as_connector_error().map(|error| -> &(dyn std::error::Error + 'static) { error });
    successors(first, |error| error.source())
        .filter_map(|error| error.downcast_ref::<legacy::Error>())
        .any(|error| !error.is_connect())
}

/// What the SDK says of a machine's metadata service that gives no credentials today, and none tomorrow.
const NO_ROLE: [&str; 2] = ["IMDS disabled by", "received 404 from IMDS"];

/// Whether it is certain that nobody gives credentials: neither the environment, nor a profile, nor the machine. Where its
/// metadata service only does not answer now, it is not.
pub(super) fn lacks_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut sources = successors(Some(error), |error| error.source());
    match sources.find_map(|error| error.downcast_ref()) {
        Some(error @ CredentialsError::CredentialsNotLoaded(_)) => {
            let text = chain(error);
            NO_ROLE.iter().any(|said| text.contains(said))
        }
        Some(_) | None => false,
    }
}

/// Messages of the SDK that tell nothing.
const WRAPPERS: [&str; 3] = ["dispatch failure", "io error", "other"];

fn sentence<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let text = match (error.as_service_error(), error.raw_response()) {
        (Some(service), response) => {
            let status = response.map(|response| response.status().as_u16());
            answer(service.code(), service.message(), status)
        }
        (None, Some(response)) => format!("{} (HTTP {})", chain(error), response.status().as_u16()),
        (None, None) => chain(error),
    };
    one_line(&text)
}

/// What the server said, with a word for the codes that an operator meets.
fn answer(code: Option<&str>, message: Option<&str>, status: Option<u16>) -> String {
    let status = status.map(|status| format!("HTTP {status}")).unwrap_or_default();
    let hint = match code {
        Some("AccessDenied" | "AllAccessDisabled") => "access denied: ",
        Some("SignatureDoesNotMatch" | "InvalidAccessKeyId" | "NotSignedUp") => "wrong credentials: ",
        Some("ExpiredToken" | "TokenRefreshRequired") => "expired credentials: ",
        Some("NoSuchBucket") => "no such bucket: ",
        Some(_) | None => "",
    };
    match (code, message) {
        (Some(code), Some(message)) => format!("{hint}{code}: {message} ({status})"),
        (Some(code), None) => format!("{hint}{code} ({status})"),
        (None, Some(message)) => format!("{message} ({status})"),
        (None, None) => format!("the server answered {status}"),
    }
}

/// The messages of an error and its sources, each once.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        // Many wrappers repeat what they wrap, and some name only their kind.
        if !WRAPPERS.contains(&&*text) && !texts.iter().any(|before| before.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn answers_name_code_message_and_status() {
        assert_eq!(
            answer(Some("NoSuchBucket"), Some("It is not there"), Some(404)),
            "no such bucket: NoSuchBucket: It is not there (HTTP 404)"
        );
        assert_eq!(answer(Some("SlowDown"), None, Some(503)), "SlowDown (HTTP 503)");
        assert_eq!(answer(None, None, Some(502)), "the server answered HTTP 502");
    }

    #[test]
    fn only_what_stays_so_is_a_lack_of_credentials() {
        let none = |said: &str| CredentialsError::not_loaded(said.to_owned());
        assert!(lacks_credentials(&none("Environment: not set Ec2: IMDS disabled by AWS_EC2_METADATA_DISABLED")));
        assert!(lacks_credentials(&none("received 404 from IMDS")));
        assert!(!lacks_credentials(&none("could not communicate with IMDS")));
        assert!(!lacks_credentials(&CredentialsError::provider_error(none("received 404 from IMDS"))));
        assert!(!lacks_credentials(&io::Error::other("received 404 from IMDS")));
    }

    #[test]
    fn wrappers_that_repeat_are_left_out() {
        let error = io::Error::other(io::Error::other("connection refused"));
        assert_eq!(chain(&error), "connection refused");
    }

    #[test]
    fn long_and_broken_text_becomes_one_short_line() {
        assert_eq!(one_line("a\n  b"), "a b");
        assert_eq!(one_line(&"é".repeat(1000)).chars().count(), MAX_CHARS + 1);
    }
}
