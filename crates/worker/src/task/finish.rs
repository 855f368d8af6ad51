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
    output::{list, make, publish, publishing, validate},
    reporter::Reporter,
};
use crate::{
    certificate::{self, Counts, Facts},
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
    /// From what.
    pub(crate) source: &'a Media,
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
    /// The runs of ffmpeg that made the parts, for the certificate; nothing secret in them.
    pub(crate) commands: Vec<Vec<String>>,
}

/// Joins, proves and publishes. Answers where the output is, and what proves it.
pub(super) async fn finish(
    workshop: &Workshop,
    finish: Finish<'_>,
    scratch: &Path,
    reporter: &mut Reporter,
    permit: &Permit,
) -> Result<(Url, Certificate), Failure> {
    let bench = Bench { workshop, finish: &finish, scratch, permit };
    bench.check()?;
    bench.fetch().await?;
    let (output, command) = bench.join(reporter).await?;
    let Finish { preset, source, .. } = finish;
    let subject = validator::Subject { preset, source, output: &output, scratch };
    let publication = finish.storage.begin(finish.destination, scratch).map_err(publishing)?;
    let work = async {
        let (validated, found, files) =
            tokio::join!(validate(workshop, &subject, permit), bench.prove(&subject), bench.hash(&output));
        // What the validator says of a bad output is clearer.
        let (found, files) = validated.and(found).and_then(|found| Ok((found, files?)))?;
        bench.certify(found, files, command).await
    };
    let joined = CancellationToken::new();
    joined.cancel();
    let certificate = make(&publication, finish.preset, (&output, &joined), permit, work).await?;
    reporter.uploading();
    let url = publish(&publication, finish.preset, output, permit).await?;
    Ok((url, certificate))
}

/// Removes the parts of a job; there may be none.
pub(super) async fn clean_up(storage: &Storage, parent: &str, permit: &Permit) -> Result<(), Failure> {
    parts::remove(storage, parent, permit).await.map_err(storing)
}

struct Bench<'a> {
    workshop: &'a Workshop,
    finish: &'a Finish<'a>,
    scratch: &'a Path,
    permit: &'a Permit,
}

impl Bench<'_> {
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
        let names = (0..chunks.len()).map(parts::chunk_name).zip(*chunks);
        let all: Vec<_> = names.chain(audio.map(|part| (parts::AUDIO.to_owned(), part))).collect();
        let fetch = |(name, part): (String, &Part)| {
            let (part, into) = (part.clone(), self.folder(&name));
            async move { parts::fetch(storage, parent, &name, &part, &into, self.permit).await }
        };
        let fetches: Vec<_> = all.into_iter().map(fetch).collect();
        stream::iter(fetches).buffer_unordered(PARTS_AT_ONCE).try_collect::<()>().await.map_err(storing)
    }

    async fn join(&self, reporter: &mut Reporter) -> Result<(PathBuf, Vec<String>), Failure> {
        let (lists, directory) = (self.make("lists").await?, self.make("output").await?);
        let video = self.files("mp4");
        let audio = self.finish.audio.map(|_| self.folder(parts::AUDIO).join("a.mp4"));
        let Finish { preset, plan, source, .. } = self.finish;
        let order =
            join::Order { preset, plan, video: &video, audio: audio.as_deref(), lists: &lists, directory: &directory };
        let report = |progress: Progress| reporter.progress(progress, source.duration, "joining the parts");
        let Workshop { tools, limits, .. } = self.workshop;
        match join::join(tools, &order, limits, report, self.permit.token()).await {
            Ok((output, args)) => Ok((output, self.shown(args))),
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

    async fn hash(&self, output: &Path) -> Result<Vec<StoredFile>, Failure> {
        let names = match self.finish.preset.entry_file() {
            None => None,
            Some(_) => Some(list(output).await?),
        };
        certificate::files(output, names, HashMap::new(), self.permit).await.map_err(storing)
    }

    async fn certify(&self, found: Counts, files: Vec<StoredFile>, join: Vec<String>) -> Result<Certificate, Failure> {
        let Finish { preset, source, plan, chunks, commands, .. } = self.finish;
        let ffmpeg_version = self.workshop.ffmpeg.of(&self.workshop.tools).await;
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
            commands: commands.iter().cloned().chain([join]).collect(),
        };
        Ok(facts.certify())
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

/// Parts are stored and fetched while the job is encoded.
pub(super) fn storing(error: uploader::Error) -> Failure {
    match error {
        uploader::Error::Cancelled => Failure::Stopped,
        error => Failure::encoding(&error, error.blame()),
    }
}

#[cfg(test)]
pub(super) mod tests;
