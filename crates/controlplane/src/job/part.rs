//! What a task has left in the storage of its job.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use service::key;

/// Files of a part at most.
pub const MAX_FILES: usize = 64;

/// What a chunk or audio task has left in the storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Never empty.
    pub files: Vec<StoredFile>,
}

/// A file as it was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Relative.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// What is in it.
    pub sha256: Sha256,
}

/// A SHA-256, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sha256(pub [u8; 32]);

/// A part that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Senseless {
    /// None, or too many.
    #[error("{0} files, where 1 to {MAX_FILES} are allowed")]
    Files(usize),
    /// A path that could lead elsewhere.
    #[error("the path of file {0} is not a plain name")]
    Path(usize),
}

/// A text that is no SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 has 64 hexadecimal digits")]
pub struct NoDigest;

impl Part {
    /// The part, if it is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn checked(self) -> Result<Self, Senseless> {
        if self.files.is_empty() || self.files.len() > MAX_FILES {
            return Err(Senseless::Files(self.files.len()));
        }
        let is_plain = |file: &StoredFile| key::check(&file.path).is_ok() && !file.path.contains('/');
        match self.files.iter().position(|file| !is_plain(file)) {
            Some(index) => Err(Senseless::Path(index)),
            None => Ok(self),
        }
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Sha256 {
    type Error = NoDigest;

    fn try_from(text: String) -> Result<Self, NoDigest> {
        text.parse()
    }
}

impl FromStr for Sha256 {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoDigest);
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).map_err(|_| NoDigest)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rstest::rstest;

    use super::*;

    /// A part of one file.
    pub(crate) fn part(path: &str) -> Part {
        Part { files: vec![StoredFile { path: path.to_owned(), size: 7, sha256: Sha256([0xa5; 32]) }] }
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = Sha256(std::array::from_fn(|index| u8::try_from(index * 8).expect("small")));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for text in ["", "a5", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(text.parse::<Sha256>(), Err(NoDigest));
        }
    }

    #[rstest]
    #[case("v0.mp4", true)]
    #[case("", false)]
    #[case("../v0.mp4", false)]
    #[case("a/v0.mp4", false)]
    #[case("/v0.mp4", false)]
    #[case("..", false)]
    #[case("a\nb", false)]
    fn only_plain_names_are_paths_of_a_part(#[case] path: &str, #[case] is_good: bool) {
        assert_eq!(part(path).checked().is_ok(), is_good);
    }

    #[test]
    fn a_part_has_files_but_not_too_many() {
        let file = part("v0.mp4").files.remove(0);
        for (count, is_good) in [(0, false), (1, true), (MAX_FILES, true), (MAX_FILES + 1, false)] {
            assert_eq!(Part { files: vec![file.clone(); count] }.checked().is_ok(), is_good, "{count}");
        }
    }
}
