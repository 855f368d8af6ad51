//! Which names a playlist or manifest may use for its files. Pure.

use std::path::{Path, PathBuf};

/// A path inside the folder of the playlist. Only plain names are taken, letters, digits, `_`, `-` and `.`: the
/// presets use no others, and none of these can mean a scheme, a query, an escape, or a way out of the folder.
pub(super) fn local(uri: &str) -> Option<PathBuf> {
    uri.split('/').all(is_plain).then(|| PathBuf::from(uri))
}

/// `file:` and the path: what follows is never read as an option or another protocol.
pub(crate) fn file(path: &Path) -> std::ffi::OsString {
    let mut url = std::ffi::OsString::from("file:");
    url.push(path);
    url
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::segment("segment_00000.ts", true)]
    #[case::folder("720p/playlist.m3u8", true)]
    #[case::climbs("../other.ts", false)]
    #[case::climbs_inside("720p/../../other.ts", false)]
    #[case::absolute("/etc/passwd", false)]
    #[case::scheme("http://host/a.ts", false)]
    #[case::ffmpeg_protocol("concat:a.ts|b.ts", false)]
    #[case::query("a.ts?b", false)]
    #[case::escape("%2e%2e/a.ts", false)]
    #[case::backslash("..\\a.ts", false)]
    #[case::hidden(".part", false)]
    #[case::no_name("", false)]
    #[case::folder_only("720p/", false)]
    fn only_plain_names_inside_the_folder_are_taken(#[case] uri: &str, #[case] taken: bool) {
        assert_eq!(local(uri).is_some(), taken);
    }

    proptest! {
        #[test]
        fn no_name_leaves_the_folder(uri in "[a./:%]{0,12}|.*") {
            if let Some(path) = local(&uri) {
                prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }
}
