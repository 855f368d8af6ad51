//! What an input URL names.

use std::path::PathBuf;

use url::Url;

use super::{Error, Policy};

/// Longest URL in bytes.
const MAX_URL: usize = 8 * 1024;

/// A well-formed input URL of a known scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// http or https.
    Http(Url),
    /// An S3 object.
    S3 {
        /// Name of the bucket.
        bucket: String,
        /// Key of the object.
        key: String,
    },
    /// A file below `INPUT_DIR`.
    File(PathBuf),
}

impl Location {
    /// Reads an input URL.
    ///
    /// # Errors
    /// What is wrong with it, whichever worker is asked, or that this one reads no files.
    pub(crate) fn parse(text: &str, policy: &Policy) -> Result<Self, Error> {
        let malformed = |reason: &str| Err(Error::Malformed(reason.to_owned()));
        if text.len() > MAX_URL {
            return malformed("is longer than 8 KiB");
        }
        if text.chars().any(char::is_control) {
            return malformed("holds control characters");
        }
        let url = Url::parse(text).map_err(|error| Error::Malformed(format!("is not a URL: {error}")))?;
        match url.scheme() {
            "http" | "https" => Ok(Self::Http(url)),
            "s3" => {
                let decoded = percent_decode(url.path().trim_start_matches('/'));
                match (url.host_str(), decoded) {
                    (Some(bucket), Some(key)) if !key.is_empty() => Ok(Self::S3 { bucket: bucket.to_owned(), key }),
                    (_, _) => malformed("must be s3://bucket/key"),
                }
            }
            "file" if policy.directory.is_none() => Err(Error::NoDirectory),
            "file" => url.to_file_path().map(Self::File).or_else(|()| malformed("must be file:///path")),
            other => malformed(&format!("scheme {other:?} cannot be read: give http, https, s3 or file")),
        }
    }
}

fn percent_decode(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;

    fn policy() -> Policy {
        Policy { allow_loopback: false, directory: None, patience: Duration::from_secs(1) }
    }

    #[rstest]
    #[case("s3://media/a%20b/c.mp4", "media", "a b/c.mp4")]
    #[case("s3://media/a?b", "media", "a")]
    fn an_s3_url_names_a_bucket_and_a_key(#[case] url: &str, #[case] bucket: &str, #[case] key: &str) {
        let location = Location::parse(url, &policy()).expect("an S3 URL");
        assert_eq!(location, Location::S3 { bucket: bucket.into(), key: key.into() });
    }

    #[rstest]
    #[case("video.mp4", "is not a URL")]
    #[case("ftp://example.org/a", "scheme \"ftp\" cannot be read")]
    #[case("concat:/etc/passwd", "scheme \"concat\" cannot be read")]
    #[case("s3://bucket", "must be s3://bucket/key")]
    #[case("file:///etc/passwd", "file URLs need INPUT_DIR")]
    #[case("http://a/\n", "holds control characters")]
    fn what_is_wrong_with_a_url_is_said(#[case] url: &str, #[case] why: &str) {
        let error = Location::parse(url, &policy()).expect_err("refused").to_string();
        assert!(error.starts_with("input_url: ") && error.contains(why), "{error}");
    }

    #[test]
    fn a_long_url_is_refused() {
        let url = format!("http://example.org/{}", "a".repeat(MAX_URL));
        assert!(Location::parse(&url, &policy()).is_err());
    }
}
