//! A request that was checked: everything that can be known without I/O is right.

use preset::{OutputType, Preset};
use proto::v1::{JobRequest, OutputConfig, PlanRequest};

use super::Workshop;
use crate::{
    input::{self, Location},
    parts,
    plan::Invalid,
    uploader::{self, Author, Content, Destination, Storage},
};

pub(crate) use work::Work;

mod work;

/// Longest job id in bytes.
const MAX_JOB_ID: usize = 128;

/// S3's limit for an object's own metadata, in bytes.
const MAX_METADATA: usize = 2048;

/// Shorter chunks would be mostly overhead, longer ones are none, in seconds.
const CHUNK_SECONDS: std::ops::RangeInclusive<f64> = 0.1..=86_400.0;

/// A job to run.
#[derive(Debug)]
pub(crate) struct Order {
    /// What of the job is to be done.
    pub(crate) work: Work,
    pub(crate) job_id: String,
    /// Which try at the job; 0 where the task belongs to its stream.
    pub(crate) attempt: u32,
    /// The worker's clock as the caller has seen it.
    pub(crate) seen: u64,
    pub(crate) preset: &'static Preset,
    pub(crate) location: Location,
    pub(crate) storage: Storage,
    pub(crate) destination: Destination,
}

/// Why a request is not taken. Each names the field.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Rejection {
    /// The id becomes a folder's name.
    #[error("job_id: give 1 to 128 letters, digits, `-`, `_` or `.`, not beginning with `.`")]
    JobId,
    /// No such preset.
    #[error("preset: {0:?} is not known")]
    Preset(String),
    /// No output.
    #[error("output: is required")]
    NoOutput,
    /// The preset makes something else.
    #[error("output.type: preset {preset} makes {makes:?}, not {asked:?}")]
    OutputType {
        /// Name of the preset.
        preset: &'static str,
        /// What it makes.
        makes: &'static str,
        /// What was asked for.
        asked: String,
    },
    /// S3 could not store it.
    #[error("output.metadata: keys must be HTTP tokens, values printable ASCII, all together at most 2 KiB")]
    Metadata,
    /// No such length.
    #[error("chunk_seconds: give 0.1 to 86400")]
    ChunkSeconds,
    /// A part cannot be split again.
    #[error("job.task: a part of a split job is not planned")]
    PlannedPart,
    /// The part of a split job.
    #[error("task.{0}")]
    Task(&'static str),
    /// Its frames.
    #[error("task: {0}")]
    Frames(#[from] Invalid),
    /// The input.
    #[error(transparent)]
    Input(#[from] input::Error),
    /// The storage.
    #[error(transparent)]
    Storage(#[from] uploader::Error),
}

impl Order {
    /// Checks a request against what this worker can do.
    pub(crate) fn check(mut request: JobRequest, workshop: &Workshop) -> Result<Self, Rejection> {
        let task = request.task.take();
        let mut order = Self::check_whole(request, workshop)?;
        if let Some(task) = task {
            order.work = Work::check(task, order.preset)?;
        }
        Ok(order)
    }

    /// Checks a request for a job that may be split.
    pub(crate) fn check_plan(request: PlanRequest, workshop: &Workshop) -> Result<Self, Rejection> {
        let PlanRequest { job, chunk_seconds } = request;
        let job = job.ok_or(Rejection::JobId)?;
        if job.task.is_some() {
            return Err(Rejection::PlannedPart);
        }
        if !CHUNK_SECONDS.contains(&chunk_seconds) {
            return Err(Rejection::ChunkSeconds);
        }
        let order = Self::check_whole(job, workshop)?;
        Ok(Self { work: Work::Plan { chunk_seconds }, ..order })
    }

    /// Name of the work folder: an attempt that is lost, but lives, may still hold the one of its own.
    pub(crate) fn folder(&self) -> String {
        match self.attempt {
            0 => self.job_id.clone(),
            attempt => format!("{}.{attempt}", self.job_id),
        }
    }

    /// Whether the job needs S3, for its source or its output.
    pub(crate) fn needs_s3(&self) -> bool {
        let reads = !matches!(self.work, Work::Cleanup { .. }) && matches!(self.location, Location::S3 { .. });
        reads || self.storage.is_s3()
    }

    /// Whether the parts of the job, if it is split, are where this worker can see them. A cleanup that is tried again may
    /// have none left.
    pub(crate) async fn is_reachable(&self) -> bool {
        match (&self.work, self.work.parent()) {
            (Work::Cleanup { .. }, _) if self.attempt > 1 => true,
            (_, Some(parent)) => parts::may_be_shared(&self.storage, parent).await,
            (_, None) => true,
        }
    }

    fn check_whole(request: JobRequest, workshop: &Workshop) -> Result<Self, Rejection> {
        if !is_job_id(&request.job_id) {
            return Err(Rejection::JobId);
        }
        let preset = preset::find(&request.preset).ok_or(Rejection::Preset(request.preset))?;
        let OutputConfig { storage, path, metadata, r#type } = request.output.ok_or(Rejection::NoOutput)?;
        let makes = preset.output_type();
        if !r#type.is_empty() && r#type != makes.name() {
            return Err(Rejection::OutputType { preset: preset.name, makes: makes.name(), asked: r#type });
        }
        if !metadata.iter().all(|(key, value)| is_token(key) && is_printable(value))
            || metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_METADATA
        {
            return Err(Rejection::Metadata);
        }
        let content = match makes {
            OutputType::Single => Content::File,
            OutputType::Hls | OutputType::Dash => Content::Directory,
        };
        let attempt = request.attempt;
        let author = (attempt > 0).then(|| Author { job_id: request.job_id.clone(), attempt });
        let destination = Destination { path, metadata: metadata.into_iter().collect(), content, author };
        destination.check_path()?;
        let storage = workshop.storages.get(&storage)?.clone();
        let location = Location::parse(&request.input_url, &workshop.inputs)?;
        let work = Work::Whole;
        Ok(Self {
            work,
            job_id: request.job_id,
            attempt,
            seen: request.clock_ms,
            preset,
            location,
            storage,
            destination,
        })
    }
}

/// Whether it can be the name of a file.
pub(crate) fn is_job_id(text: &str) -> bool {
    (1..=MAX_JOB_ID).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_is_a_safe_file_name() {
        for good in ["550e8400-e29b-41d4-a716-446655440000", "a", "job_1.mp4", &"x".repeat(128)] {
            assert!(is_job_id(good), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "../a", "a b", "a\0", "ü", &"x".repeat(129)] {
            assert!(!is_job_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn metadata_fits_into_headers() {
        assert!(is_token("x-title") && !is_token("") && !is_token("a b") && !is_token("a:b") && !is_token("ä"));
        assert!(is_printable("") && is_printable("a b~") && !is_printable("a\r\nb") && !is_printable("ü"));
    }
}
