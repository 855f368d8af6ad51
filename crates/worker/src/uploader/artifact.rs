//! What is published, and in which order.

use std::path::{Path, PathBuf};

/// A finished output on the worker's disk.
#[derive(Debug, Clone)]
pub(crate) enum Artifact {
    /// A single file.
    File(PathBuf),
    /// Several files.
    Directory {
        /// The folder they are in.
        root: PathBuf,
        /// Their paths below it, as [`publish_order`] puts them.
        groups: Vec<Vec<PathBuf>>,
    },
}

impl Artifact {
    /// A directory output. `files` and `entry` are relative to `root`.
    pub(crate) fn directory(root: PathBuf, files: Vec<PathBuf>, entry: &Path) -> Self {
        Self::Directory { root, groups: publish_order(files, entry) }
    }

    /// The files to publish: groups of (where it is, its path inside a directory output).
    pub(super) fn groups(&self) -> Vec<Vec<(PathBuf, Option<&Path>)>> {
        match self {
            Self::File(path) => vec![vec![(path.clone(), None)]],
            Self::Directory { root, groups } => {
                groups.iter().map(|group| group.iter().map(|file| (root.join(file), Some(&**file))).collect()).collect()
            }
        }
    }

    /// The path of the entry file inside a directory output; `None` for a single file.
    pub(super) fn entry(&self) -> Option<&Path> {
        match self {
            Self::File(_) => None,
            Self::Directory { groups, .. } => groups.last().and_then(|group| group.last()).map(|file| &**file),
        }
    }
}

/// Sorts the files of a directory output into groups: each may appear only when the groups before it are there
/// completely. Segments come first, then the playlists that name them, then `entry`, which names the playlists.
/// Within a group the order is that of the names.
pub(crate) fn publish_order(mut files: Vec<PathBuf>, entry: &Path) -> Vec<Vec<PathBuf>> {
    files.sort();
    files.dedup();
    let mut groups = vec![Vec::new(), Vec::new(), Vec::new()];
    for file in files {
        let group = match () {
            () if file == entry => 2,
            () if is_playlist(&file) => 1,
            () => 0,
        };
        groups[group].push(file);
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// Whether a file names others.
pub(super) fn is_playlist(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "m3u8" || extension == "mpd")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(files: &[&str], entry: &str) -> Vec<Vec<String>> {
        publish_order(files.iter().map(PathBuf::from).collect(), Path::new(entry))
            .into_iter()
            .map(|group| group.into_iter().map(|file| file.display().to_string()).collect())
            .collect()
    }

    #[test]
    fn segments_come_before_playlists_and_the_master_last() {
        let files =
            ["master.m3u8", "720p/playlist.m3u8", "720p/init.mp4", "720p/b.m4s", "480p/playlist.m3u8", "480p/a.ts"];
        assert_eq!(
            order(&files, "master.m3u8"),
            [
                vec!["480p/a.ts", "720p/b.m4s", "720p/init.mp4"],
                vec!["480p/playlist.m3u8", "720p/playlist.m3u8"],
                vec!["master.m3u8"],
            ]
        );
    }

    #[test]
    fn a_single_playlist_is_the_entry() {
        assert_eq!(order(&["playlist.m3u8", "0.ts"], "playlist.m3u8"), [vec!["0.ts"], vec!["playlist.m3u8"]]);
    }

    #[test]
    fn a_manifest_comes_after_playlists_over_the_same_segments() {
        assert_eq!(
            order(&["a.m3u8", "manifest.mpd", "a.m4s"], "manifest.mpd"),
            [vec!["a.m4s"], vec!["a.m3u8"], vec!["manifest.mpd"]]
        );
    }

    #[test]
    fn the_entry_of_a_directory_is_its_last_file() {
        let artifact = Artifact::directory("/r".into(), vec!["m.m3u8".into(), "0.ts".into()], Path::new("m.m3u8"));
        assert_eq!(artifact.entry(), Some(Path::new("m.m3u8")));
        assert_eq!(artifact.groups()[0], [(PathBuf::from("/r/0.ts"), Some(Path::new("0.ts")))]);
    }
}
