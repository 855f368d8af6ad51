//! The last task of a split job: joins the parts, proves the result, publishes it; and the one after it, which removes the
//! parts.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use preset::Preset;
use proto::v1::{Certificate, Part, Plan, StoredFile};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    Workshop,
    failure::Failure,
    output::{hash, make, publish, publishing, validate},
    reporter::Reporter,
};
use crate::{
    certificate::{Counts, Facts},
    encoder::{self, Progress, join},
    failure::Blame,
    media::Media,
    parts,
    permit::Permit,
    proof::{self, Parts},
    uploader::{self, Destination, Storage},
    validator,
};

/// How many parts are fetched at once; each has a few files.
const PARTS_AT_ONCE: usize = 2;

/// What is to be finished.
#[derive(Debug)]
pub(crate) struct Finish<'a> {
    /// How it was encoded.
    pub(crate) preset: &'static Preset,
    /// Where the parts are, and the output goes.
    pub(crate) storage: &'a Storage,
    /// Where in it.
    pub(crate) destination: &'a Destination,
    /// Whose parts they are.
    pub(crate) parent: &'a str,
    /// How it was split.
    pub(crate) plan: &'a Plan,
    /// The chunks, in order.
    pub(crate) chunks: &'a [Part],
    /// The sound.
    pub(crate) audio: Option<&'a Part>,
}

/// What the parts have become.
pub(super) struct Joined {
    output: PathBuf,
    /// By which command.
    command: Vec<String>,
}

/// What the parts were made of.
pub(super) struct Origin<'a> {
    /// The source.
    pub(super) source: &'a Media,
    /// The runs of ffmpeg that made them, for the certificate; nothing secret in them.
    pub(super) commands: Vec<Vec<String>>,
}

/// Removes the parts of a job; there may be none.
pub(super) async fn clean_up(storage: &Storage, parent: &str, permit: &Permit) -> Result<(), Failure> {
    parts::remove(storage, parent, permit).await.map_err(storing)
}

/// Where a job is finished, and with what.
pub(super) struct Bench<'a> {
    pub(super) workshop: &'a Workshop,
    pub(super) finish: Finish<'a>,
    pub(super) scratch: &'a Path,
    pub(super) permit: &'a Permit,
}

impl Bench<'_> {
    /// Brings the parts here and joins them. It needs nothing of the source.
    pub(super) async fn assemble(&self, reporter: &mut Reporter) -> Result<Joined, Failure> {
        self.check()?;
        self.fetch().await?;
        self.join(reporter).await
    }

    /// Proves and publishes what was joined. Answers where the output is, and what proves it.
    pub(super) async fn publish(
        &self,
        joined: Joined,
        origin: Origin<'_>,
        reporter: &mut Reporter,
    ) -> Result<(Url, Certificate), Failure> {
        let Self { workshop, finish, scratch, permit } = self;
        let Joined { output, command } = joined;
        let Finish { preset, storage, destination, .. } = finish;
        let subject = validator::Subject { preset, source: origin.source, output: &output, scratch };
        let publication = storage.begin(destination, scratch).map_err(publishing)?;
        let work = async {
            let (validated, found, files, ffmpeg_version) = tokio::join!(
                validate(workshop, &subject, permit),
                self.prove(&subject),
                hash(preset, &output, HashMap::new(), permit),
                workshop.ffmpeg.of(&workshop.tools),
            );
            // What the validator says of a bad output is clearer.
            let (found, files) = validated.and(found).and_then(|found| Ok((found, files?)))?;
            Ok(self.certify(origin, found, files, (ffmpeg_version, command)))
        };
        let joined = CancellationToken::new();
        joined.cancel();
        let certificate = make(&publication, preset, (&output, &joined), permit, work).await?;
        reporter.uploading();
        let url = publish(&publication, preset, output, permit).await?;
        Ok((url, certificate))
    }

    /// Whether the parts are those of the plan. What comes from the wire was checked; nothing here may divide by zero.
    fn check(&self) -> Result<(), Failure> {
        let Finish { plan, chunks, audio, .. } = self.finish;
        let grid = plan.grid.unwrap_or_default();
        let has_rate = grid.rate_numerator > 0 && grid.rate_denominator > 0;
        if has_rate && plan.chunks.len() == chunks.len() && plan.has_audio == audio.is_some() {
            return Ok(());
        }
        Err(Failure::encoding("split: the parts are not those of the plan", Blame::Job))
    }

    /// Brings all parts here. The storage must be the one that they were put into.
    async fn fetch(&self) -> Result<(), Failure> {
        let Finish { storage, parent, chunks, audio, .. } = self.finish;
        if !parts::is_shared(storage, parent).await.map_err(storing)? {
            let why = "the parts are not in this worker's storage: workers of split jobs must share it";
            return Err(Failure::encoding(why, Blame::Infrastructure));
        }
        let names = (0..chunks.len()).map(parts::chunk_name).zip(chunks);
        let all: Vec<_> = names.chain(audio.map(|part| (parts::AUDIO.to_owned(), part))).collect();
        let fetch = |(name, part): (String, &Part)| {
            let (part, into) = (part.clone(), self.folder(&name));
            async move { parts::fetch(storage, parent, &name, &part, &into, self.permit).await }
        };
        let fetches: Vec<_> = all.into_iter().map(fetch).collect();
        stream::iter(fetches).buffer_unordered(PARTS_AT_ONCE).try_collect::<()>().await.map_err(storing)
    }

    async fn join(&self, reporter: &mut Reporter) -> Result<Joined, Failure> {
        let (lists, directory) = (self.make("lists").await?, self.make("output").await?);
        let video = self.files("mp4");
        let audio = self.finish.audio.map(|_| self.folder(parts::AUDIO).join("a.mp4"));
        let Finish { preset, plan, .. } = self.finish;
        let order =
            join::Order { preset, plan, video: &video, audio: audio.as_deref(), lists: &lists, directory: &directory };
        let report = |progress: Progress| reporter.progress(progress, length(plan), "joining the parts");
        let Workshop { tools, limits, .. } = self.workshop;
        match join::join(tools, &order, limits, report, self.permit.token()).await {
            Ok((output, args)) => Ok(Joined { output, command: self.shown(args) }),
            Err(encoder::Error::Cancelled) => Err(Failure::Stopped),
            Err(error) if error.blame() == Blame::Job => {
                Err(Failure::encoding(format!("split: cannot be joined: {error}"), Blame::Job))
            }
            Err(error) => Err(Failure::encoding(&error, error.blame())),
        }
    }

    /// Compares the output with the marks of its parts, and says what is in it.
    async fn prove(&self, subject: &validator::Subject<'_>) -> Result<Counts, Failure> {
        let Workshop { tools, limits, validator, .. } = self.workshop;
        let tracks = match validator.tracks(subject, self.permit.token()).await {
            Ok(tracks) => tracks,
            Err(validator::Error::Cancelled) => return Err(Failure::Stopped),
            Err(error) => return Err(Failure::validation(&error, error.blame())),
        };
        let audio = self.finish.audio.map(|_| self.folder(parts::AUDIO).join("a.marks"));
        let lists = Parts { plan: self.finish.plan.clone(), video: self.files("marks"), audio: audio.clone() };
        let (folder, packaging) = (self.make("proof").await?, self.finish.preset.packaging);
        let proved = proof::prove(tools, packaging, &lists, &tracks, &folder, limits, self.permit).await;
        let rate = audio.map(|list| proof::sample_rate(&list)).transpose();
        match proved.and_then(|proved| Ok((proved, rate?))) {
            Ok((proved, sample_rate)) => {
                let frames = proved.frames.into_iter().map(Some).collect();
                Ok(Counts { frames, samples: proved.samples, sample_rate })
            }
            Err(proof::Error::Cancelled) => Err(Failure::Stopped),
            Err(error) => Err(Failure::validation(&error, error.blame())),
        }
    }

    fn certify(
        &self,
        Origin { source, commands }: Origin<'_>,
        found: Counts,
        files: Vec<StoredFile>,
        (ffmpeg_version, join): (String, Vec<String>),
    ) -> Certificate {
        let Finish { preset, plan, chunks, .. } = self.finish;
        let facts = Facts {
            preset,
            source,
            level: self.workshop.validator.level,
            chunks: Some(chunks.len()),
            frames: plan.grid.map(|grid| grid.frames),
            // The proof has found each packet of the part, and no other.
            samples: found.samples,
            found,
            files,
            ffmpeg_version,
            commands: commands.into_iter().chain([join]).collect(),
        };
        facts.certify()
    }

    fn folder(&self, part: &str) -> PathBuf {
        self.scratch.join("parts").join(part)
    }

    /// For each rendition its files of all chunks.
    fn files(&self, extension: &str) -> Vec<Vec<PathBuf>> {
        let chunks = self.finish.chunks.len();
        let of = |rendition: usize| {
            let file = |chunk| self.folder(&parts::chunk_name(chunk)).join(format!("v{rendition}.{extension}"));
            (0..chunks).map(file).collect()
        };
        (0..self.finish.preset.renditions.len()).map(of).collect()
    }

    async fn make(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.scratch.join(name);
        let made = tokio::fs::create_dir(&path).await;
        made.map(|()| path).map_err(|error| Failure::encoding(&error, Blame::Infrastructure))
    }

    /// A command without this worker's folders.
    fn shown(&self, args: Vec<std::ffi::OsString>) -> Vec<String> {
        let scratch = format!("{}/", self.scratch.display());
        let shown = args.into_iter().map(|arg| arg.to_string_lossy().replace(&scratch, ""));
        ["ffmpeg".to_owned()].into_iter().chain(shown).collect()
    }
}

/// Length of the video in seconds.
fn length(plan: &Plan) -> Option<f64> {
    let grid = plan.grid?;
    #[expect(clippy::cast_precision_loss, reason = "far below the 53 bits of a float")]
    let frames = grid.frames as f64;
    Some(frames * f64::from(grid.rate_denominator) / f64::from(grid.rate_numerator))
}

/// Parts are stored and fetched while the job is encoded.
pub(super) fn storing(error: uploader::Error) -> Failure {
    match error {
        uploader::Error::Cancelled => Failure::Stopped,
        error => Failure::encoding(&error, error.blame()),
    }
}

#[cfg(test)]
pub(super) mod tests;
