//! Proves an output whole before it is published.
//!
//! Four questions, cheapest first: are the files there (`layout`), do the playlists keep their rules (`hls`,
//! `dash`), are the streams what the preset and the source promise (`probe`, `expectation`, `comparison`), and
//! can they be decoded (`decode`)? The answer is a `Report` of findings; an `Error` means that the question
//! could not be asked. The output is not trusted: ffmpeg and ffprobe open local files only, and a playlist may name
//! nothing outside its folder.

use std::{io, path::Path, str::FromStr, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use preset::Preset;
use tokio_util::sync::CancellationToken;

use crate::{failure::Blame, media::Media, proof, tool::Tools};

use self::{
    expectation::{Expectation, Sound},
    layout::{Layout, Track},
    probe::Observed,
};
pub(crate) use report::{Finding, Report};

mod comparison;
mod dash;
mod decode;
mod expectation;
mod hls;
mod layout;
mod probe;
mod report;
#[cfg(test)]
mod tests;
mod timeline;
pub(crate) mod uri;

/// How many renditions are looked at side by side. Each takes two processes.
const AT_ONCE: usize = 2;

/// How thoroughly outputs are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Files, playlists and what ffprobe tells.
    Minimal,
    /// As minimal, and samples from the start, middle and end are decoded.
    Standard,
    /// As minimal, and everything is decoded.
    Strict,
}

/// A text that names no level.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("must be minimal, standard or strict")]
pub struct UnknownLevel;

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        match text {
            "minimal" => Ok(Self::Minimal),
            "standard" => Ok(Self::Standard),
            "strict" => Ok(Self::Strict),
            _ => Err(UnknownLevel),
        }
    }
}

/// Looks at outputs.
#[derive(Debug, Clone)]
pub(crate) struct Validator {
    /// Where ffmpeg and ffprobe are.
    pub(crate) tools: Tools,
    /// How thoroughly.
    pub(crate) level: Level,
    /// Bound of each step; a complete decode may take the output's length on top.
    pub(crate) timeout: Duration,
}

/// What is to be proved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// How it was encoded.
    pub(crate) preset: &'a Preset,
    /// From what.
    pub(crate) source: &'a Media,
    /// The MP4 file, or the folder of a directory output.
    pub(crate) output: &'a Path,
}

/// Why an output could not be judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A program cannot be started.
    #[error("{0}")]
    Start(#[source] io::Error),
    /// A program was killed by something else.
    #[error("{program} was killed by signal {signal}")]
    Killed {
        /// Which one.
        program: &'static str,
        /// By what.
        signal: i32,
    },
    /// A file of the output is there and cannot be read.
    #[error("{path}: cannot be read")]
    Read {
        /// Which one, inside the output.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A step took too long.
    #[error("no result within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The caller gave up.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Who can mend it: never the job, its output is as good or bad as it was.
    pub(crate) fn blame(&self) -> Blame {
        match self {
            Self::Start(_) | Self::Killed { .. } | Self::Read { .. } | Self::TimedOut(_) | Self::Cancelled => {
                Blame::Infrastructure
            }
        }
    }
}

impl Validator {
    /// Looks at an output.
    ///
    /// # Errors
    /// When it could not be judged. What is wrong with the output is in the report.
    pub(crate) async fn validate(&self, subject: &Subject<'_>, cancel: &CancellationToken) -> Result<Report, Error> {
        let expected = Expectation::new(subject.preset, subject.source);
        let Layout { tracks, mut findings } = self.within(layout::read(subject, &expected), cancel).await?;
        // What ffprobe says of a broken set of files is not worth its time: the files are the cause.
        if !findings.is_empty() {
            return Ok(Report { findings });
        }
        let looks: Vec<_> = tracks.iter().map(|track| self.look(track, &expected, cancel)).collect();
        let (mut observed, found): (Vec<_>, Vec<_>) =
            stream::iter(looks).buffered(AT_ONCE).try_collect::<Vec<_>>().await?.into_iter().unzip();
        findings.extend(found.into_iter().flatten());
        findings.extend(self.sample(&tracks, &observed, cancel).await?);
        probe::lend_audio(&tracks, &mut observed);
        for (track, observed) in tracks.iter().zip(&observed) {
            if let Some(observed) = observed {
                findings.extend(comparison::compare(track, observed, &expected));
            }
        }
        findings.extend(expected.warnings());
        Ok(Report { findings })
    }

    /// The tracks of an output that was proved whole.
    ///
    /// # Errors
    /// When they cannot be read any more.
    pub(crate) async fn tracks(
        &self,
        subject: &Subject<'_>,
        cancel: &CancellationToken,
    ) -> Result<Vec<proof::Track>, Error> {
        let expected = Expectation::new(subject.preset, subject.source);
        let Layout { tracks, .. } = self.within(layout::read(subject, &expected), cancel).await?;
        let has_sound = expected.sound == Sound::Kept;
        Ok(tracks.into_iter().map(|track| track.into_read(has_sound)).collect())
    }

    /// What one track is, and what is wrong with it alone. A track that ffprobe cannot read has no facts.
    async fn look(
        &self,
        track: &Track,
        expected: &Expectation,
        cancel: &CancellationToken,
    ) -> Result<(Option<Observed>, Vec<Finding>), Error> {
        let probe = probe::observe(&self.tools, track, self.timeout, cancel);
        let (observed, decoded) = match (self.level, track.single_file()) {
            (Level::Standard, Some(file)) => {
                let samples = decode::file_samples(file, expected.length());
                tokio::try_join!(probe, self.decode(samples, self.timeout, cancel))?
            }
            (Level::Strict, _) => {
                let observed = probe.await?;
                let decoded = match &observed {
                    Ok(observed) => self.decode_everything(track, observed, cancel).await?,
                    Err(_) => None,
                };
                (observed, decoded)
            }
            // Of segments, samples of all tracks are decoded together.
            (Level::Minimal | Level::Standard, _) => (probe.await?, None),
        };
        let (observed, unreadable) = match observed {
            Ok(observed) => (Some(observed), None),
            Err(finding) => (None, Some(finding)),
        };
        let findings = unreadable.into_iter().chain(decoded).map(|finding| finding.about(&track.name)).collect();
        Ok((observed, findings))
    }

    /// Decodes samples of segments, of all tracks in one process: its start takes as long as a few samples. Which track it
    /// complains about is asked only then.
    async fn sample(
        &self,
        tracks: &[Track],
        observed: &[Option<Observed>],
        cancel: &CancellationToken,
    ) -> Result<Vec<Finding>, Error> {
        let in_segments = |(track, observed): (&'_ Track, &Option<Observed>)| {
            let samples = decode::segment_samples(track, observed.as_ref()?);
            track.single_file().is_none().then(|| (track.name.clone(), samples))
        };
        let samples: Vec<_> = match self.level {
            Level::Standard => tracks.iter().zip(observed).filter_map(in_segments).collect(),
            Level::Minimal | Level::Strict => Vec::new(),
        };
        let all: Vec<_> = samples.iter().flat_map(|(_, samples)| samples.clone()).collect();
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let Some(finding) = self.decode(all, self.timeout, cancel).await? else { return Ok(Vec::new()) };
        let mut findings = Vec::new();
        for (name, samples) in samples {
            findings.extend(self.decode(samples, self.timeout, cancel).await?.map(|finding| finding.about(&name)));
        }
        Ok(if findings.is_empty() { vec![finding] } else { findings })
    }

    async fn decode_everything(
        &self,
        track: &Track,
        observed: &Observed,
        cancel: &CancellationToken,
    ) -> Result<Option<Finding>, Error> {
        let length = Duration::try_from_secs_f64(observed.length().unwrap_or_default()).unwrap_or_default();
        self.decode(decode::everything(track), self.timeout.saturating_add(length), cancel).await
    }

    async fn decode(
        &self,
        inputs: Vec<decode::Input>,
        limit: Duration,
        cancel: &CancellationToken,
    ) -> Result<Option<Finding>, Error> {
        decode::run(&self.tools, &inputs, limit, cancel).await
    }

    async fn within<T>(
        &self,
        step: impl Future<Output = Result<T, Error>>,
        cancel: &CancellationToken,
    ) -> Result<T, Error> {
        tokio::select! {
            result = step => result,
            error = give_up(self.timeout, cancel) => Err(error),
        }
    }
}

/// Ends with the reason why not to wait any longer.
pub(crate) async fn give_up(limit: Duration, cancel: &CancellationToken) -> Error {
    tokio::select! {
        () = cancel.cancelled() => Error::Cancelled,
        () = tokio::time::sleep(limit) => Error::TimedOut(limit),
    }
}
