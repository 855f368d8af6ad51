//! The `Content-Type` of an object.

use std::path::Path;

/// The media type for a key, told by its extension; a key without a known one gets its local file's.
pub(super) fn of(key: &str, source: &Path) -> &'static str {
    by_extension(Path::new(key)).or_else(|| by_extension(source)).unwrap_or("application/octet-stream")
}

fn by_extension(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "mp4" => Some("video/mp4"),
        "m3u8" => Some("application/vnd.apple.mpegurl"),
        "ts" => Some("video/mp2t"),
        "mpd" => Some("application/dash+xml"),
        "m4s" => Some("video/iso.segment"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_file_has_its_type() {
        for (key, expected) in [
            ("a/film.mp4", "video/mp4"),
            ("a/FILM.MP4", "video/mp4"),
            ("master.m3u8", "application/vnd.apple.mpegurl"),
            ("0.ts", "video/mp2t"),
            ("manifest.mpd", "application/dash+xml"),
            ("0.m4s", "video/iso.segment"),
            ("notes.txt", "application/octet-stream"),
        ] {
            assert_eq!(of(key, Path::new("/w/file")), expected, "{key}");
        }
        assert_eq!(of("film", Path::new("/w/out.mp4")), "video/mp4");
    }
}
