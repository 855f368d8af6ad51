//! The way of one job: prepare, encode, validate, publish, clean up.
//!
//! - [`whole`]: everything of a job
//! - [`split`]: its plan, and its parts

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Instant,
};

use url::Url;

use super::{
    Order, Work, Workshop,
    failure::Failure,
    registry::{Kept, Slot},
    reporter::{Done, Reporter},
};
use crate::{
    encoder::{self, Progress},
    failure::Blame,
    input::Source,
    media::{self, Media, ProbeError, Video, known::Key},
    permit::Permit,
    scratch::Scratch,
};

mod split;
mod whole;

/// How many silences an input may have while it is looked at: opening takes several requests.
const PROBE_SILENCES: u32 = 4;

/// Runs a job to its terminal event. Before that event its folder is gone and its slot is free. Answers the result where
/// it is to be kept.
pub(super) async fn run(workshop: Arc<Workshop>, order: Order, slot: Slot, mut reporter: Reporter) -> Option<Kept> {
    let started = Instant::now();
    let (id, parent) = (order.job_id.as_str(), order.work.parent());
    tracing::info!(job.id = id, job.parent = parent, job.preset = order.preset.name, "job started");
    let control = slot.control().clone();
    let job = Job { workshop: &workshop, order: &order, permit: control.permit() };
    let outcome = job.run_while_leased(&mut reporter).await;
    let reason = control.reason();
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match &outcome {
        Ok(done) => tracing::info!(job.id = id, job.parent = parent, %done, duration_ms, "job completed"),
        Err(Failure::Stopped) => tracing::info!(job.id = id, job.parent = parent, ?reason, duration_ms, "job stopped"),
        Err(failure) => {
            tracing::info!(job.id = id, job.parent = parent, %failure, duration_ms, "job ended without a result");
        }
    }
    let kept = slot.end();
    reporter.finish(&outcome, reason);
    kept
}

struct Job<'a> {
    workshop: &'a Workshop,
    order: &'a Order,
    permit: &'a Permit,
}

impl Job<'_> {
    /// The end of the lease stops the job; it is waited for all the same.
    async fn run_while_leased(&self, reporter: &mut Reporter) -> Result<Done, Failure> {
        let mut run = pin!(self.run(reporter));
        tokio::select! {
            outcome = &mut run => return outcome,
            () = self.permit.lapsed() => self.permit.token().cancel(),
        }
        run.await
    }

    async fn run(&self, reporter: &mut Reporter) -> Result<Done, Failure> {
        reporter.processing();
        match &self.order.work {
            Work::Whole | Work::Plan { .. } | Work::Finish { .. } => {
                if let Some(url) = self.published().await? {
                    return Ok(Done::Published { url, earlier: true, certificate: None });
                }
            }
            Work::Chunk { parent, .. } | Work::Audio { parent } => {
                if let Some(part) = self.stored(parent).await? {
                    return Ok(Done::Stored { part, earlier: true });
                }
            }
            Work::Cleanup { parent } => return self.clean_up(parent).await,
        }
        let (root, name) = (self.workshop.work_dir.clone(), self.order.folder());
        let scratch = blocking(move || Scratch::create(&root, &name)).await;
        let scratch = scratch.map_err(|error| Failure::encoding(&error, Blame::Infrastructure))?;
        let result = self.produce(scratch.path(), reporter).await;
        if let Err(error) = scratch.remove().await {
            // The next start sweeps it.
            tracing::warn!(job.id = self.order.job_id, %error, "cannot remove the job's work folder");
        }
        result
    }

    async fn produce(&self, scratch: &Path, reporter: &mut Reporter) -> Result<Done, Failure> {
        let source = self.open().await?;
        // In a box, or each branch had room for it.
        let subject = Box::pin(self.subject(&source, scratch));
        match &self.order.work {
            Work::Whole => self.produce_whole(&subject.await?, reporter).await,
            Work::Plan { chunk_seconds } => {
                let subject = subject.await?;
                match self.plan(&subject, *chunk_seconds).await? {
                    Ok(plan) => Ok(Done::Planned(plan)),
                    Err(whole) => {
                        reporter.whole(source.cause(&whole.to_string()));
                        self.produce_whole(&subject, reporter).await
                    }
                }
            }
            Work::Chunk { parent, cut } => self.produce_chunk(&subject.await?, parent, cut, reporter).await,
            Work::Audio { parent } => self.produce_audio(&subject.await?, parent, reporter).await,
            Work::Finish { parent, plan, chunks, audio } => {
                self.finish((parent, plan), (chunks, audio.as_ref()), subject, scratch, reporter).await
            }
            // It needs no source.
            Work::Cleanup { parent } => self.clean_up(parent).await,
        }
    }

    /// The source, if it is the one that was planned.
    async fn subject<'b>(&self, source: &'b Source, scratch: &'b Path) -> Result<Subject<'b>, Failure> {
        // Before the rest: a source that is replaced meanwhile is another one when the job is finished.
        let tag = self.tag(source).await;
        let media = self.look_at(source).await?;
        // Of a source that cannot be read at all the probe knows more.
        let subject = Subject { source, media, scratch, tag: tag? };
        self.recognize(&subject)?;
        Ok(subject)
    }

    /// What tells versions of the source apart, where a job may be made of several.
    async fn tag(&self, source: &Source) -> Result<u64, Failure> {
        match self.order.work {
            Work::Plan { .. } | Work::Chunk { .. } | Work::Finish { .. } => {}
            Work::Whole | Work::Audio { .. } | Work::Cleanup { .. } => return Ok(0),
        }
        let Workshop { inputs, s3, .. } = self.workshop;
        tokio::select! {
            tag = source.tag(inputs, s3) => tag.map_err(|error| Failure::encoding(&error, error.blame())),
            () = self.permit.token().cancelled() => Err(Failure::Stopped),
        }
    }

    /// A part of another version of the source would fit to no other part.
    fn recognize(&self, subject: &Subject<'_>) -> Result<(), Failure> {
        let grid = match &self.order.work {
            Work::Chunk { cut, .. } => cut.grid,
            // It comes last: whatever came in between is seen here.
            Work::Finish { plan, .. } => plan.grid,
            Work::Whole | Work::Plan { .. } | Work::Audio { .. } | Work::Cleanup { .. } => return Ok(()),
        };
        if grid.may_be_of(subject.bytes(), subject.tag) {
            return Ok(());
        }
        let why = "split: the source was replaced: it is another than when the job was planned".to_owned();
        Err(Failure::encoding(why, Blame::Job))
    }

    /// Where an earlier attempt has published whole, though nobody heard of it.
    async fn published(&self) -> Result<Option<Url>, Failure> {
        let Order { attempt, storage, destination, preset, .. } = self.order;
        if *attempt < 2 {
            return Ok(None);
        }
        tokio::select! {
            published = storage.published(destination, preset.entry_file().map(Path::new)) => {
                published.map_err(|error| Failure::upload(&error, error.blame()))
            }
            () = self.permit.token().cancelled() => Err(Failure::Stopped),
        }
    }

    async fn open(&self) -> Result<Source, Failure> {
        let Workshop { inputs, s3, .. } = self.workshop;
        let Order { storage, destination, location, .. } = self.order;
        let open = async {
            storage.check(destination).await.map_err(|error| Failure::encoding(&error, error.blame()))?;
            Source::open(location, inputs, s3).await.map_err(|error| Failure::encoding(&error, error.blame()))
        };
        tokio::select! {
            source = open => source,
            () = self.permit.token().cancelled() => Err(Failure::Stopped),
        }
    }

    /// What the source is. The parts of a job are many; what one has found of a file, the others on this worker know. The
    /// plan and the finish look for themselves: the one begins, and the other sees whatever came in between.
    async fn look_at(&self, source: &Source) -> Result<Media, Failure> {
        let (job_id, is_part) = match &self.order.work {
            Work::Plan { .. } => (&self.order.job_id, false),
            Work::Chunk { parent, .. } | Work::Audio { parent } => (parent, true),
            Work::Whole | Work::Finish { .. } | Work::Cleanup { .. } => return self.probe(source).await,
        };
        let Some(version) = source.version else { return self.probe(source).await };
        let (known, location) = (&self.workshop.known, self.order.location.clone());
        let key = Key { job_id: job_id.clone(), location, version };
        if let Some(media) = known.get(&key).filter(|_| is_part) {
            return Ok(media);
        }
        let media = self.probe(source).await?;
        known.keep(key, media.clone());
        Ok(media)
    }

    async fn probe(&self, source: &Source) -> Result<Media, Failure> {
        let limit = self.workshop.inputs.patience * PROBE_SILENCES;
        match media::probe(&self.workshop.tools, &source.input, limit, self.permit.token()).await {
            Ok(media) => Ok(media),
            Err(ProbeError::Cancelled) => Err(Failure::Stopped),
            Err(error) if error.blame() == Blame::Job => {
                let cause = source.cause(&error.to_string());
                Err(Failure::encoding(format!("input_url: cannot be read: {cause}"), Blame::Job))
            }
            Err(error) => Err(Failure::encoding(&error, error.blame())),
        }
    }

    fn encoder_order<'b>(&self, subject: &'b Subject<'_>, directory: &'b Path) -> Result<encoder::Order<'b>, Failure> {
        Ok(encoder::Order {
            preset: self.order.preset,
            input: &subject.source.input,
            source: &subject.media,
            video: subject.video()?,
            directory,
        })
    }
}

/// What a job is made of.
struct Subject<'a> {
    source: &'a Source,
    media: Media,
    scratch: &'a Path,
    /// What tells versions of the source of one length apart; 0 where it is not known.
    tag: u64,
}

impl Subject<'_> {
    /// Length of the source; 0 where it is not known.
    fn bytes(&self) -> u64 {
        self.media.bytes.unwrap_or_default()
    }

    fn video(&self) -> Result<&Video, Failure> {
        let no_video = || self.source.unread().unwrap_or_else(|| "has no video stream".to_owned());
        self.media.video.as_ref().ok_or_else(|| unusable(&no_video()))
    }

    /// A command of ffmpeg for clients: without what is secret, and without this worker's folders.
    fn shown(&self, args: &[OsString]) -> Vec<String> {
        let scratch = format!("{}/", self.scratch.display());
        let shown = self.source.shown("ffmpeg", args).into_iter();
        shown.map(|arg| arg.replace(&scratch, "")).collect()
    }

    /// What an encode made, unless it is not of all of the input.
    fn judge<T>(&self, encoded: Result<T, encoder::Error>) -> Result<T, Failure> {
        if let (Ok(_) | Err(encoder::Error::Failed(_)), Some(cause)) = (&encoded, self.source.unread()) {
            return Err(unusable(&cause));
        }
        encoded.map_err(|error| match error {
            encoder::Error::Cancelled => Failure::Stopped,
            encoder::Error::Failed(said) => Failure::encoding(self.source.cause(&said), Blame::Job),
            error => Failure::encoding(&error, error.blame()),
        })
    }
}

async fn make_folder(scratch: &Path, name: &str) -> Result<PathBuf, Failure> {
    let folder = scratch.join(name);
    let made = tokio::fs::create_dir(&folder).await;
    made.map(|()| folder).map_err(|error| Failure::encoding(&error, Blame::Infrastructure))
}

/// The input is to blame.
fn unusable(cause: &str) -> Failure {
    Failure::encoding(format!("input_url: {cause}"), Blame::Job)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn describe(progress: Progress) -> String {
    let frames = progress.frames.map(|frames| format!("frame {frames}"));
    let speed = progress.speed.map(|speed| format!("{speed:.2}x"));
    let known: Vec<_> = frames.into_iter().chain(speed).collect();
    format!("encoding {}", known.join(", ")).trim_end().to_owned()
}
