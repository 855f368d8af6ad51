//! What metadata S3 can store with an object: it travels as HTTP headers.

use std::collections::BTreeMap;

/// S3's limit for the keys and values of one object together, in bytes.
const MAX_BYTES: usize = 2 * 1024;

/// Why metadata cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("keys must be letters, digits and !#$%&'*+-.^_`|~")]
    Key,
    #[error("values must be printable ASCII")]
    Value,
    #[error("is longer than {MAX_BYTES} bytes in all")]
    TooLong,
}

/// Checks every key and value, and their length together.
pub(super) fn check(metadata: &BTreeMap<String, String>) -> Result<(), Error> {
    let mut bytes = 0;
    for (key, value) in metadata {
        if key.is_empty() || !key.bytes().all(is_token) {
            return Err(Error::Key);
        }
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(Error::Value);
        }
        bytes += key.len() + value.len();
    }
    if bytes > MAX_BYTES { Err(Error::TooLong) } else { Ok(()) }
}

/// RFC 9110's `tchar`.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: &str) -> Result<(), Error> {
        check(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
    }

    #[test]
    fn each_rule_has_metadata_that_breaks_it() {
        assert_eq!(one("title", "A film, 2026 ~"), Ok(()));
        assert_eq!(one("", "x"), Err(Error::Key));
        assert_eq!(one("a b", "x"), Err(Error::Key));
        assert_eq!(one("a:b", "x"), Err(Error::Key));
        assert_eq!(one("título", "x"), Err(Error::Key));
        assert_eq!(one("a", "é"), Err(Error::Value));
        assert_eq!(one("a", "x\r\nb: c"), Err(Error::Value));
        assert_eq!(one("a", &"x".repeat(MAX_BYTES - 1)), Ok(()));
        assert_eq!(one("a", &"x".repeat(MAX_BYTES)), Err(Error::TooLong));
    }
}
