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
    observed::Observed,
};
pub(crate) use report::{Finding, Report};

mod comparison;
mod dash;
mod decode;
mod expectation;
mod hls;
mod layout;
mod observed;
mod probe;
mod report;
#[cfg(test)]
mod tests;
mod timeline;
pub(crate) mod uri;

/// How many decodes run side by side.
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
    /// Where playlists are made.
    pub(crate) scratch: &'a Path,
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
            return Ok(Report { findings, index: None });
        }
        let observe = probe::observe(&self.tools, &tracks, subject.scratch, self.timeout, cancel);
        let (observed, decoded) = match self.level {
            Level::Minimal | Level::Strict => (observe.await?, None),
            Level::Standard => tokio::try_join!(observe, self.sample(&tracks, &expected, cancel))?,
        };
        let mut observed: Vec<_> =
            observed.into_iter().map(|one| one.map_err(|finding| findings.push(finding)).ok()).collect();
        let index = observed.first().and_then(|file| file.as_ref()?.index);
        findings.extend(match (self.level, decoded) {
            (Level::Minimal | Level::Standard, None) => Vec::new(),
            (Level::Minimal | Level::Standard, Some(_)) => {
                self.sample_each(&tracks, &observed, &expected, cancel).await?
            }
            (Level::Strict, _) => self.decode_each(&tracks, &observed, cancel).await?,
        });
        observed::lend_audio(&tracks, &mut observed);
        for (track, observed) in tracks.iter().zip(&observed) {
            if let Some(observed) = observed {
                findings.extend(comparison::compare(track, observed, &expected));
            }
        }
        findings.extend(expected.warnings());
        Ok(Report { findings, index })
    }

    /// Compares the frames that each rendition was given with those that were `found` in it. What is not known is not
    /// compared.
    pub(crate) fn count(preset: &Preset, encoded: Option<u64>, found: &[Option<u64>]) -> Vec<Finding> {
        comparison::compare_frames(preset.renditions, encoded, found)
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

    /// Decodes samples of all tracks in two processes: the start of one takes as long as a few samples.
    async fn sample(
        &self,
        tracks: &[Track],
        expected: &Expectation,
        cancel: &CancellationToken,
    ) -> Result<Option<Finding>, Error> {
        let samples = tracks.iter().flat_map(|track| decode::samples(track, None, expected.length())).collect();
        let halves: Vec<_> =
            decode::halves(samples).into_iter().map(|half| self.decode(half, self.timeout, cancel)).collect();
        let findings: Vec<_> = stream::iter(halves).buffered(AT_ONCE).try_collect().await?;
        Ok(findings.into_iter().flatten().next())
    }

    /// Which tracks [`Self::sample`] complained about, if any: ffmpeg also does when a segment has nothing of a stream.
    async fn sample_each(
        &self,
        tracks: &[Track],
        observed: &[Option<Observed>],
        expected: &Expectation,
        cancel: &CancellationToken,
    ) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        let is_readable =
            |(track, observed): &(&Track, &Option<_>)| observed.is_some() || track.single_file().is_some();
        for (track, observed) in tracks.iter().zip(observed).filter(is_readable) {
            let samples = decode::samples(track, observed.as_ref(), expected.length());
            findings
                .extend(self.decode(samples, self.timeout, cancel).await?.map(|finding| finding.about(&track.name)));
        }
        Ok(findings)
    }

    async fn decode_each(
        &self,
        tracks: &[Track],
        observed: &[Option<Observed>],
        cancel: &CancellationToken,
    ) -> Result<Vec<Finding>, Error> {
        let readable = tracks.iter().zip(observed).filter_map(|(track, observed)| Some((track, observed.as_ref()?)));
        let decodes: Vec<_> =
            readable.map(|(track, observed)| self.decode_everything(track, observed, cancel)).collect();
        let findings: Vec<_> = stream::iter(decodes).buffered(AT_ONCE).try_collect().await?;
        Ok(findings.into_iter().flatten().collect())
    }

    async fn decode_everything(
        &self,
        track: &Track,
        observed: &Observed,
        cancel: &CancellationToken,
    ) -> Result<Option<Finding>, Error> {
        let length = Duration::try_from_secs_f64(observed.length().unwrap_or_default()).unwrap_or_default();
        let limit = self.timeout.saturating_add(length);
        Ok(self.decode(decode::everything(track), limit, cancel).await?.map(|finding| finding.about(&track.name)))
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
