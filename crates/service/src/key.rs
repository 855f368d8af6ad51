//! The rules for `output.path`, which is a key (a single file) or a prefix (a directory output).
//!
//! Pure. The control plane and the worker both ask it, so that neither trusts the other: a path that passes stays
//! below the root it is joined to and means the same on a disk and in S3.

/// Longest path in bytes; also the limit of an S3 key.
pub const MAX_BYTES: usize = 1024;

/// Longest segment in bytes; also the limit of a file name on common file systems.
pub const MAX_SEGMENT_BYTES: usize = 255;

/// Start of the names that the service itself uses beside an output while it publishes.
pub const RESERVED_PREFIX: &str = ".flux-";

/// Why a path cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing was given.
    #[error("is empty")]
    Empty,
    /// More than [`MAX_BYTES`].
    #[error("is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// It starts with a slash.
    #[error("must be relative")]
    Absolute,
    /// NUL, a line end or another control character.
    #[error("holds a control character")]
    ControlCharacter,
    /// A separator on other systems.
    #[error("holds a backslash")]
    Backslash,
    /// Two slashes in a row.
    #[error("holds an empty segment")]
    EmptySegment,
    /// `.` or `..`.
    #[error("holds a segment `.` or `..`")]
    DotSegment,
    /// More than [`MAX_SEGMENT_BYTES`].
    #[error("holds a segment longer than {MAX_SEGMENT_BYTES} bytes")]
    SegmentTooLong,
    /// A name that the service itself uses.
    #[error("holds a segment that starts with `{RESERVED_PREFIX}`")]
    Reserved,
    /// A file's key ends with a slash.
    #[error("must not end with `/`: the output is a single file")]
    TrailingSlash,
}

/// Checks the key of a single file.
///
/// # Errors
/// The first rule that the path breaks.
pub fn check(path: &str) -> Result<(), Error> {
    check_prefix(path)?;
    if path.ends_with('/') { Err(Error::TrailingSlash) } else { Ok(()) }
}

/// Checks the prefix of a directory output: a key that may end with one slash.
///
/// # Errors
/// The first rule that the path breaks.
pub fn check_prefix(path: &str) -> Result<(), Error> {
    if path.is_empty() {
        return Err(Error::Empty);
    }
    if path.len() > MAX_BYTES {
        return Err(Error::TooLong);
    }
    if path.starts_with('/') {
        return Err(Error::Absolute);
    }
    if path.contains(char::is_control) {
        return Err(Error::ControlCharacter);
    }
    if path.contains('\\') {
        return Err(Error::Backslash);
    }
    path.strip_suffix('/').unwrap_or(path).split('/').try_for_each(check_segment)
}

fn check_segment(segment: &str) -> Result<(), Error> {
    match segment {
        "" => Err(Error::EmptySegment),
        "." | ".." => Err(Error::DotSegment),
        _ if segment.len() > MAX_SEGMENT_BYTES => Err(Error::SegmentTooLong),
        _ if segment.starts_with(RESERVED_PREFIX) => Err(Error::Reserved),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_paths_pass() {
        for path in ["a", "out/video.mp4", "a/b/c.mp4", "日本/動画.mp4", "..a/b..", ".hidden", "a b", "a/.flux"] {
            assert_eq!(check(path), Ok(()), "{path:?}");
        }
        assert_eq!(check_prefix("hls/movie/"), Ok(()));
    }

    #[test]
    fn each_rule_has_a_path_that_breaks_it() {
        let long = "a/".repeat(513);
        let long_segment = "a".repeat(256);
        for (path, error) in [
            ("", Error::Empty),
            (long.as_str(), Error::TooLong),
            ("/etc/passwd", Error::Absolute),
            ("a\0b", Error::ControlCharacter),
            ("a\nb", Error::ControlCharacter),
            ("a\u{85}b", Error::ControlCharacter),
            ("a\\b", Error::Backslash),
            ("a//b", Error::EmptySegment),
            ("a//", Error::EmptySegment),
            ("../a", Error::DotSegment),
            ("a/../b", Error::DotSegment),
            ("a/..", Error::DotSegment),
            ("./a", Error::DotSegment),
            (long_segment.as_str(), Error::SegmentTooLong),
            ("a/.flux-tmp", Error::Reserved),
            ("a/b/", Error::TrailingSlash),
        ] {
            assert_eq!(check(path), Err(error), "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_passes_stays_inside(path in r"[a./\\\x00 é-]{0,24}") {
            if check_prefix(&path).is_ok() {
                let components: Vec<_> = Path::new(&path).components().collect();
                prop_assert!(components.iter().all(|part| matches!(part, Component::Normal(_))));
                // Nothing is normalised away: the path names one place, on a disk and in S3.
                prop_assert_eq!(components.len(), path.trim_end_matches('/').split('/').count());
            }
        }

        #[test]
        fn a_file_key_is_always_a_valid_prefix(path in r"\PC{0,40}") {
            if check(&path).is_ok() {
                prop_assert!(check_prefix(&path).is_ok());
            }
        }
    }
}
