//! The way of a split job: its plan, and each of its parts.

use std::path::Path;

use proto::v1::Part;

use super::{Job, PROBE_SILENCES, Subject, describe, make_folder, unusable};
use crate::{
    encoder::{self, Cut, Files, Progress},
    media::{self, FrameRate, KeySearch, Measured, Patience},
    parts,
    plan::{self, Grid, Plan, Whole},
    task::{
        Order, Work, Workshop,
        failure::Failure,
        finish::{Bench, Finish, Origin, clean_up, storing},
        reporter::{Done, Reporter},
    },
};

/// What is shorter than so many chunks is not two, whatever its frames say.
const SURELY_SHORT: f64 = 1.9;

impl Job<'_> {
    /// A plan, or why the job is better not split.
    pub(super) async fn plan(&self, subject: &Subject<'_>, chunk_seconds: f64) -> Result<Result<Plan, Whole>, Failure> {
        let has_audio = self.order.preset.audio.is_some() && subject.media.audio.is_some();
        let (grid, keys) = tokio::join!(self.grid(subject, chunk_seconds), self.keys(subject, chunk_seconds));
        let grid = match grid? {
            Ok(grid) => grid.of_source(subject.bytes(), subject.tag),
            Err(whole) => return Ok(Err(whole)),
        };
        // A source that could not be read to its end is not known.
        if let Some(cause) = subject.source.unread() {
            return Err(unusable(&cause));
        }
        let plan = match plan::split(grid, self.order.preset, chunk_seconds, has_audio) {
            Ok(plan) => plan,
            Err(whole) => return Ok(Err(whole)),
        };
        let plan = plan.align(&keys, self.origin(subject), self.may_move_edges()).hurry_the_last(self.order.preset);
        let marked = parts::mark(&self.order.storage, &self.order.job_id, self.permit).await.map_err(storing)?;
        Ok(marked.map(|()| plan).map_err(Whole::Storage))
    }

    /// Key frames from which chunks can be decoded, on the source's clock. They are looked for while the frames are counted:
    /// whatever comes of that, a key frame stays one.
    async fn keys(&self, subject: &Subject<'_>, chunk_seconds: f64) -> Vec<f64> {
        let (media, tools) = (&subject.media, &self.workshop.tools);
        let Some(grid) = media::promised(media, self.origin(subject)) else { return Vec::new() };
        let Ok(plan) = plan::split(grid, self.order.preset, chunk_seconds, false) else { return Vec::new() };
        let search = KeySearch::new(tools, &subject.source.input, media, self.patience(), self.permit.token());
        let Some(search) = search else { return Vec::new() };
        search.wanted_by(&plan, self.origin(subject), self.may_move_edges()).await
    }

    /// Segments begin where they must.
    fn may_move_edges(&self) -> bool {
        plan::segment_seconds(self.order.preset.packaging).is_none()
    }

    /// The time on the source's clock that is zero in the output.
    fn origin(&self, subject: &Subject<'_>) -> f64 {
        subject.media.origin(self.order.preset.audio.is_some())
    }

    fn patience(&self) -> Patience {
        let Workshop { limits, inputs, .. } = self.workshop;
        Patience { silence: inputs.patience * PROBE_SILENCES, total: limits.total }
    }

    async fn grid(&self, subject: &Subject<'_>, chunk_seconds: f64) -> Result<Result<Grid, Whole>, Failure> {
        let (media, video) = (&subject.media, subject.video()?);
        // What is certainly short is not read to its end: a container's length is right but for a few frames.
        if video.duration.or(media.duration).is_some_and(|length| length < SURELY_SHORT * chunk_seconds) {
            return Ok(Err(Whole::Short(chunk_seconds)));
        }
        let (origin, cancel) = (self.origin(subject), self.permit.token());
        match media::measure(&self.workshop.tools, &subject.source.input, media, origin, self.patience(), cancel).await
        {
            Measured::Even(grid) => Ok(match encoder::steady_rate(self.order.preset, media) {
                // The whole run would make other frames than the source has.
                Some(steady) if !is_same(steady, grid.rate()) => Err(Whole::Uneven),
                Some(_) | None => Ok(grid),
            }),
            Measured::Uneven(whole) => Ok(Err(whole)),
            Measured::Cancelled => Err(Failure::Stopped),
        }
    }

    /// Encodes a range of the video and stores it.
    pub(super) async fn produce_chunk(
        &self,
        subject: &Subject<'_>,
        parent: &str,
        cut: &Cut,
        reporter: &mut Reporter,
    ) -> Result<Done, Failure> {
        let duration = Some(cut.grid.seconds(cut.chunk.frames));
        let report = |progress: Progress| reporter.progress(progress, duration, &describe(progress));
        let directory = make_folder(subject.scratch, "output").await?;
        let order = self.encoder_order(subject, &directory)?;
        let Workshop { tools, limits, .. } = self.workshop;
        let encoded = encoder::encode_chunk(tools, &order, cut, limits, report, self.permit.token()).await;
        self.store(subject, parent, subject.judge(encoded)?, reporter).await
    }

    /// Encodes the audio and stores it.
    pub(super) async fn produce_audio(
        &self,
        subject: &Subject<'_>,
        parent: &str,
        reporter: &mut Reporter,
    ) -> Result<Done, Failure> {
        let audio = subject.media.audio.as_ref();
        let duration = audio.and_then(|audio| audio.duration).or(subject.media.duration);
        let report = |progress: Progress| reporter.progress(progress, duration, &describe(progress));
        let directory = make_folder(subject.scratch, "output").await?;
        let order = self.encoder_order(subject, &directory)?;
        let Workshop { tools, limits, .. } = self.workshop;
        let encoded = encoder::encode_audio(tools, &order, limits, report, self.permit.token()).await;
        let files = subject.judge(encoded)?.ok_or_else(|| unusable("has no audio any more"))?;
        self.store(subject, parent, files, reporter).await
    }

    /// Joins the parts, looks at the source meanwhile, proves the result and publishes it.
    pub(super) async fn finish(
        &self,
        (parent, plan): (&str, &Plan),
        (chunks, audio): (&[Part], Option<&Part>),
        subject: impl Future<Output = Result<Subject<'_>, Failure>>,
        scratch: &Path,
        reporter: &mut Reporter,
    ) -> Result<Done, Failure> {
        let Order { preset, storage, destination, .. } = self.order;
        let wire = plan.into();
        let order = Finish { preset, storage, destination, parent, plan: &wire, chunks, audio };
        let bench = Bench { workshop: self.workshop, finish: order, scratch, permit: self.permit };
        // Parts of another source are none: then nothing need be joined.
        let (joined, subject) = tokio::try_join!(bench.assemble(reporter), subject)?;
        let encoded = self.encoder_order(&subject, scratch)?;
        let first = Cut { index: 0, grid: plan.grid, chunk: plan.chunks[0] };
        let commands = [Some(encoder::chunk_arguments(&encoded, &first)), encoder::audio_arguments(&encoded)];
        let commands = commands.iter().flatten().map(|args| subject.shown(args)).collect();
        let origin = Origin { source: &subject.media, commands };
        let (url, certificate) = bench.publish(joined, origin, reporter).await?;
        Ok(Done::Published { url, earlier: false, certificate: Some(Box::new(certificate)) })
    }

    /// What an earlier attempt has stored, though nobody heard of it.
    pub(super) async fn stored(&self, parent: &str) -> Result<Option<Part>, Failure> {
        if self.order.attempt < 2 {
            return Ok(None);
        }
        let Order { storage, destination, .. } = self.order;
        let name = self.part_name();
        let stored = parts::stored(storage, parent, &name, destination.author.as_ref(), self.permit);
        tokio::select! {
            stored = stored => stored.map_err(storing),
            () = self.permit.token().cancelled() => Err(Failure::Stopped),
        }
    }

    /// Removes the parts.
    pub(super) async fn clean_up(&self, parent: &str) -> Result<Done, Failure> {
        clean_up(&self.order.storage, parent, self.permit).await.map(|()| Done::Removed)
    }

    async fn store(
        &self,
        subject: &Subject<'_>,
        parent: &str,
        files: Files,
        reporter: &mut Reporter,
    ) -> Result<Done, Failure> {
        reporter.uploading();
        let Order { storage, destination, .. } = self.order;
        let (name, author) = (self.part_name(), destination.author.as_ref());
        let stored = parts::store(storage, parent, &name, files, author, subject.scratch, self.permit).await;
        stored.map(|part| Done::Stored { part, earlier: false }).map_err(storing)
    }

    /// Name of the folder of this part.
    fn part_name(&self) -> String {
        match &self.order.work {
            Work::Chunk { cut, .. } => parts::chunk_name(cut.index as usize),
            Work::Audio { .. } => parts::AUDIO.to_owned(),
            Work::Whole | Work::Plan { .. } | Work::Finish { .. } | Work::Cleanup { .. } => String::new(),
        }
    }
}

fn is_same(one: FrameRate, other: FrameRate) -> bool {
    u64::from(one.numerator) * u64::from(other.denominator) == u64::from(other.numerator) * u64::from(one.denominator)
}
