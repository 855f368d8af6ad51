//! What proves an output whole, for clients: what was expected, what was found, what was looked at, and the hash of every
//! file.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use preset::Preset;
use proto::v1::{AudioFacts, Certificate, Check, Command, RenditionFacts, SourceFacts, StoredFile};
use tokio::sync::OnceCell;

use crate::{
    media::Media,
    parts,
    permit::Permit,
    tool::{self, Ended, Invocation, Tools},
    uploader::{Error, inner::Sum},
    validator::Level,
};

pub(crate) use count::{Counts, count};
pub(crate) use survey::{Growing, Survey};

mod checks;
mod count;
mod survey;
#[cfg(test)]
mod tests;

/// More files are not listed: a certificate has to fit into a message.
const MAX_FILES: usize = 20_000;

/// How many bytes of ffmpeg's answer are looked at.
const MAX_ANSWER: usize = 4096;

/// Everything that a certificate tells.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    /// How it was encoded.
    pub(crate) preset: &'a Preset,
    /// From what.
    pub(crate) source: &'a Media,
    /// How thoroughly it was looked at.
    pub(crate) level: Level,
    /// How many chunks it was made of; `None` where it was encoded whole.
    pub(crate) chunks: Option<usize>,
    /// Frames that each rendition must have, where that is known: the source's, or those that ffmpeg encoded of it.
    pub(crate) frames: Option<u64>,
    /// Samples that the sound must have, where that is known exactly.
    pub(crate) samples: Option<u64>,
    /// What is there.
    pub(crate) found: Counts,
    /// The files.
    pub(crate) files: Vec<StoredFile>,
    /// Which ffmpeg.
    pub(crate) ffmpeg_version: String,
    /// Its runs, without what is secret.
    pub(crate) commands: Vec<Vec<String>>,
}

impl Facts<'_> {
    /// The certificate.
    pub(crate) fn certify(self) -> Certificate {
        let checks = checks::made(self.preset, self.source, self.level, self.proof()).into_iter();
        Certificate {
            source: Some(source(self.source)),
            renditions: self.renditions(),
            audio: self.audio(),
            checks: checks.map(|(name, detail)| Check { name: name.to_owned(), detail }).collect(),
            ffmpeg_version: self.ffmpeg_version,
            commands: self.commands.into_iter().map(|arguments| Command { arguments }).collect(),
            files: self.files,
        }
    }

    /// How the frames were proved to be all there.
    fn proof(&self) -> Option<checks::Frames> {
        let is_counted = self.frames.is_some() && self.found.has_all_frames(self.preset.renditions.len());
        let counted = is_counted.then_some(checks::Frames::Counted);
        self.chunks.map(checks::Frames::OfChunks).or(counted)
    }

    fn renditions(&self) -> Vec<RenditionFacts> {
        let display = self.source.video.as_ref().map(|video| video.display);
        let facts = |(number, rendition): (usize, &preset::Rendition)| {
            let size = display.map(|display| rendition.fit.apply(display));
            RenditionFacts {
                width: size.map_or(0, |size| size.width),
                height: size.map_or(0, |size| size.height),
                frames_expected: self.frames,
                frames_found: self.found.frames.get(number).copied().flatten(),
            }
        };
        self.preset.renditions.iter().enumerate().map(facts).collect()
    }

    fn audio(&self) -> Option<AudioFacts> {
        let sample_rate = self.found.sample_rate?;
        Some(AudioFacts { samples_expected: self.samples, samples_found: self.found.samples, sample_rate })
    }
}

fn source(media: &Media) -> SourceFacts {
    let (video, audio) = (media.video.as_ref(), media.audio.as_ref());
    SourceFacts {
        duration_seconds: media.duration,
        video_codec: video.map(|video| video.codec.clone()).unwrap_or_default(),
        width: video.map_or(0, |video| video.coded.width),
        height: video.map_or(0, |video| video.coded.height),
        frame_rate: video.and_then(|video| video.frame_rate),
        audio_codec: audio.map(|audio| audio.codec.clone()).unwrap_or_default(),
    }
}

/// Length and SHA-256 of every file of an output: the file itself, or `names` in its folder, as far as they are not
/// `known`. Nothing, where these are too many.
///
/// # Errors
/// When one cannot be read, or `permit` is over.
pub(crate) async fn files(
    output: &Path,
    names: Option<Vec<PathBuf>>,
    known: HashMap<PathBuf, Sum>,
    permit: &Permit,
) -> Result<Vec<StoredFile>, Error> {
    let (output, permit) = (output.to_owned(), permit.clone());
    let work = move || {
        let file = |path: &Path, name: String| {
            let sum = known.get(path).copied().map_or_else(|| parts::sum(path, &permit), Ok)?;
            Ok(StoredFile { path: name, size: sum.size, sha256: sum.sha256.to_vec() })
        };
        match names {
            None => Ok(vec![file(&output, String::new())?]),
            Some(names) if names.len() > MAX_FILES => Ok(Vec::new()),
            Some(mut names) => {
                names.sort();
                names.iter().map(|name| file(&output.join(name), name.display().to_string())).collect()
            }
        }
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Crashed)?
}

/// The version of ffmpeg, asked for once.
#[derive(Debug, Default)]
pub(crate) struct Version(OnceCell<String>);

impl Version {
    /// Such as `5.1.6-0+deb12u1`; `unknown` where it does not tell, for which no output is worth less.
    pub(crate) async fn of(&self, tools: &Tools) -> String {
        self.0.get_or_try_init(|| ask(tools)).await.cloned().unwrap_or_else(|error| {
            tracing::warn!(%error, "the certificate cannot name ffmpeg's version");
            "unknown".to_owned()
        })
    }
}

async fn ask(tools: &Tools) -> io::Result<String> {
    let folder = std::env::temp_dir();
    let ffmpeg = Invocation::new(&tools.ffmpeg, vec!["-version".into()]).in_directory(&folder);
    let mut answer = Vec::new();
    let collect = |bytes: &[u8]| {
        if answer.len() < MAX_ANSWER {
            answer.extend_from_slice(bytes);
        }
    };
    let limit = tokio::time::sleep(std::time::Duration::from_secs(10));
    match tool::run(&ffmpeg, collect, limit).await? {
        (Ended::Exited(status), _) if status.success() => {
            let answer = String::from_utf8_lossy(&answer);
            let version = answer.lines().next().and_then(|line| line.split_whitespace().nth(2));
            Ok(version.unwrap_or("unknown").to_owned())
        }
        (Ended::Exited(_) | Ended::Stopped(()), _) => Err(io::Error::other("ffmpeg does not tell its version")),
    }
}
