//! Playlists over the worker's own files, by which ffmpeg reads segments one after the other, and several tracks at once
//! (RFC 8216).

use std::{
    ffi::OsString,
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

use tokio::fs::write;

use crate::validator::uri;

/// Files that are read one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Reel<'a> {
    /// What each needs in front.
    pub(crate) init: Option<&'a Path>,
    /// The files.
    pub(crate) pieces: Vec<&'a Path>,
}

/// Writes a media playlist to `path`: the files are opened one by one.
///
/// # Errors
/// When it cannot be written.
pub(crate) async fn media(reel: &Reel<'_>, path: &Path) -> io::Result<()> {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:60\n#EXT-X-PLAYLIST-TYPE:VOD\n".to_owned();
    let mut add = |line: String| writeln!(text, "{line}").expect("a String takes every write");
    if let Some(init) = &reel.init {
        add(format!("#EXT-X-MAP:URI=\"file:{}\"", init.display()));
    }
    for piece in &reel.pieces {
        add(format!("#EXTINF:6,\nfile:{}", piece.display()));
    }
    add("#EXT-X-ENDLIST".to_owned());
    write(path, text).await
}

/// Writes a master playlist `name.m3u8` into `folder`, and one for each reel beside it. ffprobe then reads all of them at
/// once, and tells of each stream in which variant it is: 1 for the first reel.
///
/// # Errors
/// When one cannot be written.
pub(crate) async fn master(reels: &[Reel<'_>], folder: &Path, name: &str) -> io::Result<PathBuf> {
    let mut text = "#EXTM3U\n".to_owned();
    for (variant, reel) in (1..).zip(reels) {
        let file = folder.join(format!("{name}-{variant}.m3u8"));
        media(reel, &file).await?;
        // A relative name is added to what ffmpeg takes for the folder: what is in front of a `#` or `?`.
        writeln!(text, "#EXT-X-STREAM-INF:BANDWIDTH={variant}\nfile:{}", file.display())
            .expect("a String takes every write");
    }
    let path = folder.join(format!("{name}.m3u8"));
    write(&path, text).await?;
    Ok(path)
}

/// ffmpeg's and ffprobe's options for a playlist of the worker's own, then `-i` and its operand.
pub(crate) fn input(playlist: &Path) -> Vec<OsString> {
    let options = ["-protocol_whitelist", "file", "-f", "hls", "-i"].map(OsString::from);
    options.into_iter().chain([uri::file(playlist)]).collect()
}
