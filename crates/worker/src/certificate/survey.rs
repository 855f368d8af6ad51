//! Counts and hashes segments while others are being encoded, so that little is left to do in the end.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::count::{Tally, tallies};
use crate::{
    folder::{Segments, Version},
    parts,
    permit::Permit,
    proof::Track,
    tool::Tools,
    uploader::inner::Sum,
};

/// How many segments one process counts: its start takes as long as to count a dozen.
const BATCH: usize = 16;

/// A directory output that is being encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growing<'a> {
    /// Its folder.
    pub(crate) root: &'a Path,
    /// Cancelled once nothing is added to it.
    pub(crate) over: &'a CancellationToken,
    /// Where playlists are made.
    pub(crate) scratch: &'a Path,
}

/// What is known of an output's segments.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    sums: HashMap<PathBuf, (Version, Sum)>,
    batches: Vec<Batch>,
}

/// Segments that were counted together.
#[derive(Debug)]
struct Batch {
    segments: Vec<(PathBuf, Version)>,
    tally: Tally,
}

impl Survey {
    /// Looks at the segments of an output as they are finished, until all of it is encoded. What cannot be looked at now
    /// is left for the end.
    pub(crate) async fn follow(tools: &Tools, output: Growing<'_>, limit: Duration, permit: &Permit) -> Self {
        let mut survey = Self::default();
        if let Err(error) = survey.look(tools, output, limit, permit).await {
            tracing::debug!(%error, "the other segments are counted in the end");
        }
        survey
    }

    async fn look(&mut self, tools: &Tools, output: Growing<'_>, limit: Duration, permit: &Permit) -> io::Result<()> {
        let Growing { root, over, scratch } = output;
        let (mut segments, mut waiting) = (Segments::new(root, over), BTreeMap::<_, Vec<_>>::new());
        loop {
            let new = segments.next().await?;
            if new.is_empty() {
                return Ok(());
            }
            for (path, version) in self.sum(root, new, permit).await? {
                // Fragments cannot be read without what is in front of them.
                if path.extension() != Some(OsStr::new("ts")) {
                    continue;
                }
                let batch = waiting.entry(path.parent().map(Path::to_owned)).or_default();
                batch.push((path, version));
                // Once all is encoded the job waits for this, and one process counts what is left.
                if batch.len() == BATCH && !over.is_cancelled() {
                    let batch = std::mem::take(batch);
                    self.count(tools, batch, scratch, limit, permit.token()).await?;
                }
            }
        }
    }

    /// Hashes segments. Answers where they are, and as what they were read.
    async fn sum(&mut self, root: &Path, names: Vec<PathBuf>, permit: &Permit) -> io::Result<Vec<(PathBuf, Version)>> {
        let (root, permit) = (root.to_owned(), permit.clone());
        let work = move || {
            let sum = |name: PathBuf| {
                let path = root.join(name);
                let version = Version::of(&path)?;
                let sum = parts::sum(&path, &permit).map_err(io::Error::other)?;
                Ok((path, version, sum))
            };
            names.into_iter().map(sum).collect::<io::Result<Vec<_>>>()
        };
        let mut read = Vec::new();
        for (path, version, sum) in tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?? {
            self.sums.insert(path.clone(), (version, sum));
            read.push((path, version));
        }
        Ok(read)
    }

    async fn count(
        &mut self,
        tools: &Tools,
        segments: Vec<(PathBuf, Version)>,
        scratch: &Path,
        limit: Duration,
        cancel: &CancellationToken,
    ) -> io::Result<()> {
        let pieces = segments.iter().map(|(path, _)| path.clone()).collect();
        let track = Track { init: None, pieces, rendition: None, audio: false };
        let counted = tallies(tools, &[&track], scratch, limit, cancel).await.map_err(io::Error::other)?;
        if let [Some(tally)] = counted[..] {
            self.batches.push(Batch { segments, tally });
        }
        Ok(())
    }

    /// Without what has changed since.
    pub(crate) async fn still_so(mut self) -> Self {
        let is_so = |path: &Path, version: &Version| Version::of(path).is_ok_and(|now| now == *version);
        let work = move || {
            self.sums.retain(|path, (version, _)| is_so(path, version));
            self.batches.retain(|batch| batch.segments.iter().all(|(path, version)| is_so(path, version)));
            self
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_default()
    }

    /// What was counted of a track, and what is left to count.
    pub(super) fn part(&self, track: &Track) -> (Vec<Tally>, Track) {
        let mut left: HashSet<&Path> = track.pieces.iter().map(PathBuf::as_path).collect();
        let mut counted = Vec::new();
        for Batch { segments, tally } in self.batches.iter().filter(|_| track.init.is_none()) {
            if segments.iter().all(|(path, _)| left.contains(path.as_path())) {
                counted.push(*tally);
                for (path, _) in segments {
                    left.remove(path.as_path());
                }
            }
        }
        let pieces = track.pieces.iter().filter(|piece| left.contains(piece.as_path())).cloned().collect();
        (counted, Track { pieces, ..track.clone() })
    }

    /// The length and hash of each file that is known.
    pub(crate) fn sums(&self) -> HashMap<PathBuf, Sum> {
        self.sums.iter().map(|(path, (_, sum))| (path.clone(), *sum)).collect()
    }
}

#[cfg(test)]
mod tests {
    use preset::Preset;

    use super::*;
    use crate::{
        certificate::count,
        proof::tests::fixture::{HLS, Job, LADDER, LIMITS, tools},
        validator::{Level, Subject, Validator},
    };

    const SEGMENTS: usize = BATCH + 2;

    /// Segments of two seconds.
    const FRAMES: u64 = 10 * SEGMENTS as u64;

    fn long(preset: &'static Preset) -> Job {
        Job::new(preset, (5, 1), 0, &[0, FRAMES])
    }

    /// An output of a few segments, and what is known of it when it is over while the first of them are counted.
    async fn surveyed(job: &Job, preset: &'static Preset) -> (Track, Survey) {
        let (root, source) = (job.whole().await, job.probe().await);
        let validator = Validator { tools: tools(), level: Level::Minimal, timeout: LIMITS.total };
        let (scratch, over, permit) = (job.at("lists"), CancellationToken::new(), Permit::unleased());
        let subject = Subject { preset, source: &source, output: &root, scratch: &scratch };
        let tracks = validator.tracks(&subject, &CancellationToken::new()).await.expect("are there");
        let (tools, output) = (tools(), Growing { root: &root, over: &over, scratch: &scratch });
        let follow = Survey::follow(&tools, output, LIMITS.total, &permit);
        let end = async {
            while !scratch.join("count0.m3u8").exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            over.cancel();
        };
        let (survey, ()) = tokio::join!(follow, end);
        (tracks[0].clone(), survey)
    }

    #[tokio::test]
    async fn what_is_known_is_not_looked_at_again() {
        let job = long(&HLS);
        let (track, survey) = surveyed(&job, &HLS).await;
        let survey = survey.still_so().await;
        let (counted, left) = survey.part(&track);
        assert_eq!((counted.len(), left.pieces.len()), (1, SEGMENTS - BATCH));
        let (folder, cancel) = (job.at("proof"), CancellationToken::new());
        let counts = async |survey: &Survey| {
            let tracks = [track.clone()];
            count(&tools(), 1, &tracks, survey, &folder, LIMITS.total, &cancel).await.expect("counts")
        };
        let (with, without) = (counts(&survey).await, counts(&Survey::default()).await);
        assert_eq!(with, without);
        assert_eq!(with.frames, [Some(FRAMES)]);
        let sums = survey.sums();
        // Nobody knows whether the last one is finished.
        assert_eq!(sums.len(), SEGMENTS - 1);
        for (path, sum) in sums {
            assert_eq!(parts::sum(&path, &Permit::unleased()).expect("is there"), sum, "{}", path.display());
        }
    }

    #[tokio::test]
    async fn nothing_more_is_counted_once_all_is_encoded() {
        let (_, survey) = surveyed(&long(&LADDER), &LADDER).await;
        assert_eq!(survey.batches.len(), 1, "the other rendition has as many segments");
    }

    #[tokio::test]
    async fn what_has_changed_is_not_known() {
        let job = long(&HLS);
        let (track, survey) = surveyed(&job, &HLS).await;
        std::fs::write(&track.pieces[5], "another").expect("writes");
        let survey = survey.still_so().await;
        assert_eq!(survey.part(&track), (Vec::new(), track.clone()));
        assert!(!survey.sums().contains_key(&track.pieces[5]));
    }
}
