//! The files of a directory output: all of them, or those that are finished while others are being encoded.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs::Metadata,
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Pause between two looks at what is finished.
const PAUSE: Duration = Duration::from_secs(1);

/// How the names of DASH's initialization segments begin. ffmpeg may write them again.
const INIT: &str = "init";

/// Which file a path names: another one may be put in its place, or it may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    /// Its length.
    bytes: u64,
    /// Its last change.
    modified: SystemTime,
}

impl Version {
    /// Of a file that was looked at.
    ///
    /// # Errors
    /// Where files have no such time.
    pub(crate) fn new(metadata: &Metadata) -> io::Result<Self> {
        Ok(Self { bytes: metadata.len(), modified: metadata.modified()? })
    }

    /// Of the file that is there now. Blocks.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub(crate) fn of(file: &Path) -> io::Result<Self> {
        std::fs::metadata(file).and_then(|metadata| Self::new(&metadata))
    }
}

/// The files below `root`, relative to it. Blocks.
///
/// # Errors
/// When a folder cannot be read.
pub(crate) fn files_below(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if let Ok(relative) = entry.path().strip_prefix(root) {
                files.push(relative.to_owned());
            }
        }
    }
    Ok(files)
}

/// The segments of an output that is being encoded, as they are finished.
#[derive(Debug)]
pub(crate) struct Segments<'a> {
    root: &'a Path,
    encoded: &'a CancellationToken,
    told: HashSet<PathBuf>,
}

impl<'a> Segments<'a> {
    /// Of the output below `root`, until `encoded` is cancelled.
    pub(crate) fn new(root: &'a Path, encoded: &'a CancellationToken) -> Self {
        Self { root, encoded, told: HashSet::new() }
    }

    /// Waits for such as are new, by their paths below the root, in the order of their names. Nothing, once all is
    /// encoded.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) async fn next(&mut self) -> io::Result<Vec<PathBuf>> {
        while self.encoded.run_until_cancelled(sleep(PAUSE)).await.is_some() {
            let root = self.root.to_owned();
            let files = tokio::task::spawn_blocking(move || files_below(&root)).await.map_err(io::Error::other)??;
            let mut new = finished(&files);
            new.retain(|file| self.told.insert(file.clone()));
            if !new.is_empty() {
                return Ok(new);
            }
        }
        Ok(Vec::new())
    }
}

/// Of the files of an output that is being written, the segments that are finished: those after which another one was
/// begun.
fn finished(files: &[PathBuf]) -> Vec<PathBuf> {
    let mut last = HashMap::new();
    for (series, number) in files.iter().filter_map(|file| series(file)) {
        let last = last.entry(series).or_insert(number);
        *last = number.max(*last);
    }
    let is_finished = |file: &PathBuf| series(file).is_some_and(|(series, number)| last[&series] > number);
    let mut finished: Vec<_> = files.iter().filter(|file| is_finished(file)).cloned().collect();
    finished.sort();
    finished
}

/// What segments that follow each other have in common: their folder, how their names begin, and their extension.
pub(crate) type Series<'a> = (&'a Path, &'a str, &'a OsStr);

/// Which segments a file belongs to, and its number among them.
pub(crate) fn series(file: &Path) -> Option<(Series<'_>, u64)> {
    let stem = file.file_stem()?.to_str()?;
    let name = stem.trim_end_matches(|character: char| character.is_ascii_digit());
    let number = stem[name.len()..].parse().ok()?;
    (!name.starts_with(INIT)).then_some(((file.parent()?, name, file.extension()?), number))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::hls(
        &["a/s_00009.ts", "a/s_00010.ts", "b/s_00009.ts", "a/playlist.m3u8", "master.m3u8", "a/s_00011.ts.tmp"],
        &["a/s_00009.ts"]
    )]
    #[case::dash(
        &["init_0.m4s", "init_1.m4s", "chunk_0_00001.m4s", "chunk_0_00002.m4s", "chunk_1_00001.m4s", "manifest.mpd"],
        &["chunk_0_00001.m4s"]
    )]
    fn a_segment_is_finished_when_another_has_begun(#[case] files: &[&str], #[case] expected: &[&str]) {
        let files: Vec<_> = files.iter().map(PathBuf::from).collect();
        assert_eq!(finished(&files), expected.iter().map(PathBuf::from).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn each_segment_is_told_once_and_nothing_when_all_is_encoded() {
        let folder = tempfile::tempdir().expect("a folder");
        let encoded = CancellationToken::new();
        let mut segments = Segments::new(folder.path(), &encoded);
        let write = |number: u32| std::fs::write(folder.path().join(format!("s_{number}.ts")), "x").expect("writes");
        write(0);
        write(1);
        assert_eq!(segments.next().await.expect("reads"), [PathBuf::from("s_0.ts")]);
        write(2);
        assert_eq!(segments.next().await.expect("reads"), [PathBuf::from("s_1.ts")]);
        encoded.cancel();
        write(3);
        assert!(segments.next().await.expect("reads").is_empty());
    }
}
