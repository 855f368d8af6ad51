//! Whether an output is whole.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The frames of a video, all of them decoded; an error where anything is wrong with them.
///
/// # Errors
/// What ffprobe says.
pub fn frames(path: &Path) -> Result<u64, String> {
    let args = ["-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries", "stream=nb_read_frames"];
    let output = Command::new("ffprobe").args(args).args(["-of", "csv=p=0"]).arg(path).output();
    let output = output.map_err(|error| error.to_string())?;
    let (said, count) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    if !output.status.success() || !said.is_empty() {
        return Err(format!("{}: {said}", path.display()));
    }
    // HLS names a stream once a program as well.
    let count = count.lines().next().unwrap_or_default().trim().trim_end_matches(',');
    count.parse().map_err(|_| format!("{}: {count:?} frames", path.display()))
}

/// Looks at all of an output.
///
/// # Errors
/// What is missing or broken.
pub fn check(entry: &Path, expected: u64) -> Result<(), String> {
    if entry.extension().is_some_and(|extension| extension == "m3u8") {
        return playlist(entry, expected);
    }
    compare(entry, expected)
}

fn compare(path: &Path, expected: u64) -> Result<(), String> {
    let count = frames(path)?;
    if count == expected { Ok(()) } else { Err(format!("{}: {count} frames for {expected}", path.display())) }
}

fn playlist(path: &Path, expected: u64) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let folder = path.parent().unwrap_or(path);
    let named: Vec<PathBuf> =
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(|line| folder.join(line)).collect();
    if named.is_empty() {
        return Err(format!("{}: names nothing", path.display()));
    }
    if text.contains("#EXT-X-STREAM-INF") {
        return named.iter().try_for_each(|media| playlist(media, expected));
    }
    if !text.contains("#EXT-X-ENDLIST") {
        return Err(format!("{}: has no end", path.display()));
    }
    for segment in &named {
        let facts = fs::metadata(segment).map_err(|error| format!("{}: {error}", segment.display()))?;
        if facts.len() == 0 {
            return Err(format!("{}: is empty", segment.display()));
        }
    }
    compare(path, expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clips;

    #[test]
    fn a_whole_video_passes_and_another_does_not() {
        let clip = clips::talking("160x90", 1);
        assert_eq!(check(&clip, 25), Ok(()));
        assert!(check(&clip, 26).is_err());
        let folder = tempfile::tempdir().expect("a folder");
        let half = folder.path().join("half.mp4");
        let bytes = fs::read(&clip).expect("a clip");
        fs::write(&half, &bytes[..bytes.len() / 2]).expect("a file");
        assert!(check(&half, 25).is_err());
        assert!(check(&folder.path().join("none.mp4"), 25).is_err());
    }

    #[test]
    fn a_playlist_needs_its_segments() {
        let folder = tempfile::tempdir().expect("a folder");
        let (master, media) = (folder.path().join("master.m3u8"), folder.path().join("media.m3u8"));
        fs::write(&master, "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nmedia.m3u8\n").expect("a file");
        for text in ["#EXTM3U\n", "#EXTM3U\nsegment.ts\n", "#EXTM3U\nsegment.ts\n#EXT-X-ENDLIST\n"] {
            fs::write(&media, text).expect("a file");
            assert!(check(&master, 25).is_err(), "{text}");
        }
    }
}
