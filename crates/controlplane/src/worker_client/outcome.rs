//! Plans, parts and certificates as workers send them: numbers that are not trusted, and texts that are cleaned.

use proto::v1;

use crate::{
    job::{
        Certificate, Part, Plan,
        certificate::{Audio, Check, Command, File, Rendition, Source},
        part::{self, Sha256, StoredFile},
        plan::{self, Chunk, FrameGrid},
    },
    text,
};

/// Of each list in a certificate at most.
const MAX_ENTRIES: usize = 25_000;

/// Arguments of a command at most.
const MAX_ARGUMENTS: usize = 4096;

/// Why what a worker says cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Senseless {
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The plan.
    #[error(transparent)]
    Plan(#[from] plan::Senseless),
    /// The part.
    #[error(transparent)]
    Part(#[from] part::Senseless),
    /// A digest of another length.
    #[error("the digest of file {0} has not 32 bytes")]
    Digest(usize),
    /// A list that is too long.
    #[error("too many {0}")]
    TooMany(&'static str),
}

/// A plan.
pub(super) fn plan(plan: v1::Plan) -> Result<Plan, Senseless> {
    let grid = plan.grid.ok_or(Senseless::Missing("the grid"))?;
    let grid = FrameGrid {
        rate_numerator: grid.rate_numerator,
        rate_denominator: grid.rate_denominator,
        start_us: grid.start_us,
        frames: grid.frames,
        source_bytes: grid.source_bytes,
        source_tag: grid.source_tag,
    };
    if plan.chunks.len() > plan::MAX_CHUNKS {
        return Err(plan::Senseless::Chunks(plan.chunks.len()).into());
    }
    let chunk = |v1::Chunk { first_frame, frames, key_frame, encoder_threads }| Chunk {
        first_frame,
        frames,
        key_frame,
        encoder_threads,
    };
    let chunks = plan.chunks.into_iter().map(chunk).collect();
    Ok(Plan { grid, chunks, has_audio: plan.has_audio }.checked()?)
}

/// A part.
pub(super) fn part(part: v1::Part) -> Result<Part, Senseless> {
    if part.files.len() > part::MAX_FILES {
        return Err(part::Senseless::Files(part.files.len()).into());
    }
    let files = part.files.into_iter().enumerate().map(|(index, file)| {
        let sha256 = digest(index, &file.sha256)?;
        Ok(StoredFile { path: file.path, size: file.size, sha256 })
    });
    Ok(Part { files: files.collect::<Result<_, Senseless>>()? }.checked()?)
}

fn digest(index: usize, bytes: &[u8]) -> Result<Sha256, Senseless> {
    bytes.try_into().map(Sha256).map_err(|_| Senseless::Digest(index))
}

/// A certificate.
pub(super) fn certificate(told: v1::Certificate) -> Result<Certificate, Senseless> {
    let rendition = |told: v1::RenditionFacts| Rendition {
        width: told.width,
        height: told.height,
        frames_expected: told.frames_expected,
        frames_found: told.frames_found,
    };
    let check = |told: v1::Check| Check { name: text::clean(&told.name), detail: text::clean(&told.detail) };
    let files = bounded("files", told.files)?.into_iter().enumerate().map(|(index, file)| {
        let sha256 = digest(index, &file.sha256)?.to_string();
        Ok(File { path: text::clean(&file.path), size: file.size, sha256 })
    });
    let files = files.collect::<Result<_, Senseless>>()?;
    let commands = bounded("commands", told.commands)?;
    let commands = commands.iter().map(command);
    Ok(Certificate {
        source: told.source.as_ref().map(source),
        renditions: bounded("renditions", told.renditions)?.into_iter().map(rendition).collect(),
        audio: told.audio.map(|told| Audio {
            samples_expected: told.samples_expected,
            samples_found: told.samples_found,
            sample_rate: told.sample_rate,
        }),
        checks: bounded("checks", told.checks)?.into_iter().map(check).collect(),
        files,
        ffmpeg_version: text::clean(&told.ffmpeg_version),
        commands: commands.collect::<Result<_, _>>()?,
    })
}

fn source(told: &v1::SourceFacts) -> Source {
    let sane = |number: Option<f64>| number.filter(|number| number.is_finite() && *number >= 0.0);
    Source {
        duration_seconds: sane(told.duration_seconds),
        video_codec: text::clean(&told.video_codec),
        width: told.width,
        height: told.height,
        frame_rate: sane(told.frame_rate),
        audio_codec: text::clean(&told.audio_codec),
    }
}

fn command(told: &v1::Command) -> Result<Command, Senseless> {
    if told.arguments.len() > MAX_ARGUMENTS {
        return Err(Senseless::TooMany("arguments"));
    }
    Ok(Command { arguments: told.arguments.iter().map(|argument| text::clean(argument)).collect() })
}

fn bounded<T>(what: &'static str, list: Vec<T>) -> Result<Vec<T>, Senseless> {
    if list.len() > MAX_ENTRIES { Err(Senseless::TooMany(what)) } else { Ok(list) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: usize) -> v1::StoredFile {
        v1::StoredFile { path: "v0.mp4".to_owned(), size: 1, sha256: vec![7; bytes] }
    }

    #[test]
    fn what_is_missing_or_of_another_length_is_refused() {
        assert_eq!(plan(v1::Plan::default()), Err(Senseless::Missing("the grid")));
        let grid = Some(v1::FrameGrid::default());
        assert!(matches!(plan(v1::Plan { grid, ..v1::Plan::default() }), Err(Senseless::Plan(_))));
        assert!(part(v1::Part { files: vec![file(32)] }).is_ok());
        assert_eq!(part(v1::Part { files: vec![file(32), file(31)] }), Err(Senseless::Digest(1)));
        assert!(matches!(part(v1::Part { files: vec![file(32); 65] }), Err(Senseless::Part(_))));
    }

    #[test]
    fn a_certificate_is_cleaned_and_bounded() {
        let source = v1::SourceFacts {
            duration_seconds: Some(f64::NAN),
            video_codec: "h\n264".to_owned(),
            ..v1::SourceFacts::default()
        };
        let told = v1::Certificate { source: Some(source), files: vec![file(32)], ..v1::Certificate::default() };
        let kept = certificate(told.clone()).expect("a good certificate");
        let source = kept.source.expect("a source");
        assert_eq!((source.duration_seconds, source.video_codec.as_str()), (None, "h 264"));
        assert_eq!(kept.files[0].sha256, "07".repeat(32));
        let long = v1::Certificate { files: vec![file(32); MAX_ENTRIES + 1], ..told };
        assert_eq!(certificate(long), Err(Senseless::TooMany("files")));
    }
}
