//! The list of a part's files, as it is stored. Pure.

use std::fmt::Write as _;

use proto::v1::{Part, StoredFile};
use serde::{Deserialize, Serialize};

use crate::uploader::inner::Sum;

#[derive(Serialize, Deserialize)]
struct Text {
    files: Vec<File>,
}

#[derive(Serialize, Deserialize)]
struct File {
    path: String,
    size: u64,
    /// In hexadecimal digits.
    sha256: String,
}

/// The list as it is stored: the same bytes for the same files.
pub(super) fn write(part: &Part) -> Vec<u8> {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes every write");
            text
        })
    };
    let file = |file: &StoredFile| File { path: file.path.clone(), size: file.size, sha256: hex(&file.sha256) };
    let text = Text { files: part.files.iter().map(file).collect() };
    serde_json::to_vec(&text).expect("strings and numbers can be written")
}

/// `None` where it cannot be understood.
pub(super) fn read(list: &[u8]) -> Option<Part> {
    let text: Text = serde_json::from_slice(list).ok()?;
    let file = |file: File| {
        let digits = file.sha256.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
        let sha256: Vec<_> =
            digits.map(|pair| pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())).collect::<Option<_>>()?;
        let file = StoredFile { path: file.path, size: file.size, sha256 };
        sum(&file).is_some().then_some(file)
    };
    Some(Part { files: text.files.into_iter().map(file).collect::<Option<_>>()? })
}

/// Length and hash, if it is one.
pub(super) fn sum(file: &StoredFile) -> Option<Sum> {
    Some(Sum { size: file.size, sha256: file.sha256.as_slice().try_into().ok()? })
}

/// Whether it can be the name of a file in a part.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_can_be_read_back() {
        let file = StoredFile { path: "v0.mp4".into(), size: 5, sha256: (0..32).collect() };
        let part = Part { files: vec![file] };
        assert_eq!(read(&write(&part)), Some(part));
        assert_eq!(read(br#"{"files":[{"path":"a","size":1,"sha256":"00"}]}"#), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(list: Vec<u8>, hash in ".*") {
            let _ = read(&list);
            let _ = read(serde_json::json!({"files": [{"path": "", "size": 0, "sha256": hash}]}).to_string().as_bytes());
        }
    }
}
