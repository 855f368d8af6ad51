//! Finds the files of an output: what its playlists or manifest name must be there, and not be empty.

use std::{
    io,
    path::{Path, PathBuf},
};

use preset::{Packaging, Size};
use tokio::{fs::File, io::AsyncReadExt as _};

use crate::{playlist::Reel, proof};

use super::{
    Error, Subject, dash,
    expectation::Expectation,
    hls::{self, Segment},
    report::{Code, Finding},
};

/// A day of two-second segments is far below.
const MAX_PLAYLIST: u64 = 16 * 1024 * 1024;

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    /// The picture, and the sound in the same files.
    Both,
    /// The picture; the sound has files of its own.
    Video,
    /// The sound.
    Audio,
}

/// Files that are played one after the other as one stream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Track {
    /// What people call it; empty when there is only one.
    pub(super) name: String,
    /// What it carries.
    pub(super) carries: Carries,
    /// Place in the ladder.
    pub(super) rendition: usize,
    /// The part that each segment needs in front (fragmented MP4).
    pub(super) init: Option<PathBuf>,
    /// The files, in order; never empty.
    pub(super) pieces: Vec<PathBuf>,
    /// Length in seconds, as a playlist or manifest tells it.
    pub(super) declared_length: Option<f64>,
    /// Picture size, as a master playlist or manifest tells it.
    pub(super) declared_size: Option<Size>,
    /// Size of `init` in bytes, or 0.
    pub(super) init_size: u64,
    /// Size of each file.
    pub(super) sizes: Vec<u64>,
}

impl Track {
    /// A track without files yet.
    pub(super) fn new(name: String, carries: Carries, rendition: usize) -> Self {
        Self {
            name,
            carries,
            rendition,
            init: None,
            pieces: Vec::new(),
            declared_length: None,
            declared_size: None,
            init_size: 0,
            sizes: Vec::new(),
        }
    }

    /// As it is read from start to end.
    pub(super) fn into_read(self, has_sound: bool) -> proof::Track {
        let (video, audio) = match self.carries {
            Carries::Both => (true, has_sound),
            Carries::Video => (true, false),
            Carries::Audio => (false, has_sound),
        };
        proof::Track { init: self.init, pieces: self.pieces, rendition: video.then_some(self.rendition), audio }
    }

    /// Its file, if it is not one of segments.
    pub(super) fn single_file(&self) -> Option<&Path> {
        match self.pieces.as_slice() {
            [file] if self.declared_length.is_none() => Some(file),
            _ => None,
        }
    }

    /// Size of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.init_size.saturating_add(self.sizes.iter().sum())
    }

    /// Which segments are looked at: the first, the middle and the last.
    pub(super) fn samples(&self) -> Vec<usize> {
        let last = self.pieces.len().saturating_sub(1);
        let mut samples = vec![0, last / 2, last];
        samples.dedup();
        samples
    }

    /// These, one after the other.
    pub(super) fn reel(&self) -> Reel<'_> {
        let pieces = self.samples().into_iter().filter_map(|number| Some(self.pieces.get(number)?.as_path()));
        Reel { init: self.init.as_deref(), pieces: pieces.collect() }
    }
}

/// The files of an output.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// What can be looked at.
    pub(super) tracks: Vec<Track>,
    /// What is missing or broken.
    pub(super) findings: Vec<Finding>,
}

/// Finds the files.
///
/// # Errors
/// When a file is there and cannot be read.
pub(super) async fn read(subject: &Subject<'_>, expected: &Expectation) -> Result<Layout, Error> {
    let mut reader = Reader { root: subject.output, layout: Layout::default() };
    match subject.preset.packaging {
        Packaging::Mp4 => reader.mp4().await?,
        Packaging::Hls { ladder: false, .. } => {
            reader.media_playlist(Path::new("playlist.m3u8"), 0, None).await?;
        }
        Packaging::Hls { ladder: true, .. } => reader.master_playlist(expected).await?,
        Packaging::Dash { .. } => reader.manifest(expected).await?,
    }
    Ok(reader.layout)
}

struct Reader<'a> {
    root: &'a Path,
    layout: Layout,
}

impl Reader<'_> {
    async fn mp4(&mut self) -> Result<(), Error> {
        let path = self.root.to_path_buf();
        let name = path.file_name().map_or_else(|| "output".into(), |name| name.to_string_lossy().into_owned());
        match size(&path, &name).await? {
            Ok(bytes) => {
                let track = Track::new(String::new(), Carries::Both, 0);
                self.layout.tracks.push(Track { pieces: vec![path], sizes: vec![bytes], ..track });
            }
            Err(fault) => self.tell(fault.code(Code::FileNotFound), name),
        }
        Ok(())
    }

    async fn master_playlist(&mut self, expected: &Expectation) -> Result<(), Error> {
        let path = Path::new("master.m3u8");
        let Some(text) = self.text(path).await? else { return Ok(()) };
        let variants =
            hls::master(&text).and_then(|variants| count(variants.len(), expected.pictures.len()).map(|()| variants));
        let Some(variants) = self.accept(path, variants) else { return Ok(()) };
        let mut first: Option<Vec<Segment>> = None;
        for (rendition, variant) in variants.iter().enumerate() {
            let Some(segments) = self.media_playlist(&variant.path, rendition, Some(variant.size)).await? else {
                continue;
            };
            let first = first.get_or_insert_with(|| segments.clone());
            if let Err(reason) = hls::agree(&segments, first, expected.segment_tolerance()) {
                self.tell(Code::HlsDurationMismatch, format!("{}: {reason}", variant.path.display()));
            }
        }
        Ok(())
    }

    /// The segments of a playlist that is as it should be.
    async fn media_playlist(
        &mut self,
        path: &Path,
        rendition: usize,
        declared_size: Option<Size>,
    ) -> Result<Option<Vec<Segment>>, Error> {
        let Some(text) = self.text(path).await? else { return Ok(None) };
        let Some(mut segments) = self.accept(path, hls::media(&text)) else { return Ok(None) };
        let folder = path.parent().unwrap_or(Path::new(""));
        for segment in &mut segments {
            segment.path = folder.join(&segment.path);
        }
        let name = folder.to_string_lossy().into_owned();
        let track = Track { declared_size, ..Track::new(name, Carries::Both, rendition) };
        self.segments(track, None, &segments).await?;
        Ok(Some(segments))
    }

    async fn manifest(&mut self, expected: &Expectation) -> Result<(), Error> {
        let path = Path::new("manifest.mpd");
        let Some(text) = self.text(path).await? else { return Ok(()) };
        let Some(streams) = self.accept(path, dash::manifest(&text)) else { return Ok(()) };
        let (videos, sounds): (Vec<_>, Vec<_>) = streams.iter().partition(|stream| stream.size.is_some());
        if self.accept(path, count(videos.len(), expected.pictures.len())).is_none() {
            return Ok(());
        }
        for video in &videos {
            if let Err(reason) = hls::agree(&video.segments, &videos[0].segments, expected.segment_tolerance()) {
                self.tell(Code::HlsDurationMismatch, format!("representation {}: {reason}", video.id));
            }
        }
        for (carries, streams) in [(Carries::Video, videos), (Carries::Audio, sounds)] {
            for (rendition, stream) in streams.into_iter().enumerate() {
                let name = format!("representation {}", stream.id);
                let track = Track { declared_size: stream.size, ..Track::new(name, carries, rendition) };
                self.segments(track, Some(&stream.init), &stream.segments).await?;
            }
        }
        Ok(())
    }

    /// Takes a track if all its files are there, and tells the first that is not.
    async fn segments(&mut self, mut track: Track, init: Option<&Path>, segments: &[Segment]) -> Result<(), Error> {
        for file in init.into_iter().chain(segments.iter().map(|segment| segment.path.as_path())) {
            let path = self.root.join(file);
            let name = file.to_string_lossy();
            match size(&path, &name).await? {
                Ok(bytes) => track.sizes.push(bytes),
                Err(fault) => {
                    self.tell(fault.code(Code::HlsSegmentMissing), name);
                    return Ok(());
                }
            }
        }
        if let Some(init) = init {
            track.init = Some(self.root.join(init));
            track.init_size = track.sizes.remove(0);
        }
        track.pieces = segments.iter().map(|segment| self.root.join(&segment.path)).collect();
        track.declared_length = Some(hls::total(segments));
        self.layout.tracks.push(track);
        Ok(())
    }

    /// The content of a playlist, or nothing when there is none to read.
    async fn text(&mut self, file: &Path) -> Result<Option<Vec<u8>>, Error> {
        let path = self.root.join(file);
        let name = file.to_string_lossy();
        match size(&path, &name).await? {
            Ok(bytes) if bytes > MAX_PLAYLIST => self.refuse(file, "it is too large"),
            Ok(_) => return content(&path).await.map(Some).map_err(|source| cannot_read(&name, source)),
            Err(fault) => self.tell(fault.code(Code::FileNotFound), name),
        }
        Ok(None)
    }

    /// What a playlist says, unless it breaks its rules.
    fn accept<T>(&mut self, file: &Path, parsed: Result<T, String>) -> Option<T> {
        parsed.inspect_err(|reason| self.refuse(file, reason)).ok()
    }

    fn refuse(&mut self, file: &Path, reason: &str) {
        self.tell(Code::HlsPlaylistSyntaxError, format!("{}: {reason}", file.display()));
    }

    fn tell(&mut self, code: Code, detail: impl Into<String>) {
        self.layout.findings.push(Finding::error(code, detail));
    }
}

fn count(found: usize, expected: usize) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("it has {found} renditions, expected {expected}")) }
}

/// Why a file cannot be used.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Missing,
    Empty,
}

impl Fault {
    fn code(self, missing: Code) -> Code {
        match self {
            Self::Missing => missing,
            Self::Empty => Code::FileEmpty,
        }
    }
}

/// Size in bytes of a regular file with content. A link is not one: what it names could be anywhere.
async fn size(path: &Path, name: &str) -> Result<Result<u64, Fault>, Error> {
    match tokio::fs::symlink_metadata(path).await {
        Ok(metadata) if !metadata.is_file() => Ok(Err(Fault::Missing)),
        Ok(metadata) if metadata.len() == 0 => Ok(Err(Fault::Empty)),
        Ok(metadata) => Ok(Ok(metadata.len())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Err(Fault::Missing))
        }
        Err(error) => Err(cannot_read(name, error)),
    }
}

async fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path).await?.take(MAX_PLAYLIST).read_to_end(&mut content).await?;
    Ok(content)
}

fn cannot_read(name: &str, source: io::Error) -> Error {
    Error::Read { path: name.to_owned(), source }
}
