//! A request that passed every check, and the checks.
//!
//! The worker repeats them: neither side trusts the other.

mod by_name;
mod kind_by_name;
mod metadata;
mod url;

use std::{collections::BTreeMap, str::FromStr};

use preset::{OutputType, Preset};
use serde::{Deserialize, Serialize};
use service::key;
use utoipa::ToSchema;

use super::Task;
use crate::object::Object;

/// For requests that name none.
const DEFAULT_PRIORITY: i64 = 50;

/// Starts before all others.
const MAX_PRIORITY: u8 = 100;

/// What a client sends to create a job. Fields that are not named here are ignored.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct JobRequest {
    /// Where the source is: an `http`, `https` or `s3` URL, or a `file` URL inside the worker's `INPUT_DIR`.
    #[schema(required, nullable = false, example = "https://example.com/video.mp4", max_length = 8192)]
    input_url: Option<String>,
    /// Name of a preset; `GET /api/v1/presets` lists them.
    #[schema(required, nullable = false, example = "720p_h264")]
    preset: Option<String>,
    /// Where the result goes.
    #[schema(required, nullable = false, value_type = OutputRequest)]
    output: Option<Object<OutputRequest>>,
    /// Told the outcome: an `http` or `https` URL.
    #[schema(nullable = false)]
    callback_url: Option<String>,
    /// Among jobs that wait, those with a higher priority start first: 0 to 100.
    #[schema(nullable = false, minimum = 0, maximum = 100, default = 50)]
    priority: Option<i64>,
    /// `auto`: a source that is worth it is encoded by several workers at a time, with the same result; `off`: by one.
    /// The default is the service's setting `SPLIT`.
    #[schema(nullable = false, example = "auto")]
    split: Option<String>,
}

/// Where a result goes.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct OutputRequest {
    /// `s3` or `local`.
    #[schema(required, nullable = false, example = "s3")]
    storage: Option<String>,
    /// Key of a single file, or prefix of a directory output (HLS, DASH): relative, without `.` and `..` segments.
    #[schema(required, nullable = false, example = "output/video.mp4", max_length = 1024)]
    path: Option<String>,
    /// Stored with each S3 object: header names to printable ASCII, 2 KiB in all.
    #[schema(nullable = false)]
    metadata: Option<BTreeMap<String, String>>,
    /// `single`, `hls` or `dash`; when given, it must be what the preset makes.
    #[schema(nullable = false, example = "single")]
    r#type: Option<String>,
}

/// What a job is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Where the source is, exactly as the client wrote it: a signed URL must not be rewritten.
    pub input_url: String,
    /// How to encode.
    #[serde(with = "by_name")]
    pub preset: &'static Preset,
    /// Where the result goes.
    pub output: Output,
    /// Told the outcome.
    pub callback_url: Option<String>,
    /// 0 to 100; the highest starts first.
    pub priority: u8,
    /// Whether it may be split; `None` leaves it to the setting `SPLIT`.
    #[serde(default)]
    pub split: Option<Split>,
    /// Which part of a split job it is; `None` for a job that a client asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
}

/// Whether a job may be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Where the source is worth it.
    Auto,
    /// Never.
    Off,
}

impl FromStr for Split {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => Err("must be auto or off"),
        }
    }
}

/// Where a result goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Which of the worker's storages.
    pub storage: Storage,
    /// Key or prefix in it.
    pub path: String,
    /// Stored with each S3 object.
    pub metadata: BTreeMap<String, String>,
    /// The kind of output, which is what the preset makes.
    #[serde(with = "kind_by_name")]
    pub kind: OutputType,
}

/// A kind of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// An S3-compatible bucket.
    S3,
    /// A folder of the worker's machine.
    Local,
}

impl Storage {
    /// As `output.storage` spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Local => "local",
        }
    }
}

/// A field of a request that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Invalid {
    /// Its path in the JSON document.
    pub field: &'static str,
    /// What is wrong and what is right.
    pub reason: String,
}

impl JobRequest {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn check(self) -> Result<JobSpec, Invalid> {
        let input_url = required("input_url", self.input_url)?;
        at("input_url", url::check_input(&input_url))?;
        let preset = find_preset(&required("preset", self.preset)?)?;
        let output = required("output", self.output)?.0.check(preset)?;
        if let Some(callback_url) = &self.callback_url {
            at("callback_url", url::check_callback(callback_url))?;
        }
        let priority = check_priority(self.priority)?;
        let split = self.split.map(|given| at("split", given.parse())).transpose()?;
        Ok(JobSpec { input_url, preset, output, callback_url: self.callback_url, priority, split, task: None })
    }
}

fn check_priority(given: Option<i64>) -> Result<u8, Invalid> {
    match u8::try_from(given.unwrap_or(DEFAULT_PRIORITY)) {
        Ok(priority) if priority <= MAX_PRIORITY => Ok(priority),
        Ok(_) | Err(_) => Err(invalid("priority", "must be from 0 to 100")),
    }
}

impl OutputRequest {
    fn check(self, preset: &Preset) -> Result<Output, Invalid> {
        let storage = match required("output.storage", self.storage)?.as_str() {
            "s3" => Storage::S3,
            "local" => Storage::Local,
            _ => return Err(invalid("output.storage", "must be s3 or local")),
        };
        let path = required("output.path", self.path)?;
        at("output.path", check_path(&path, preset.output_type()))?;
        let metadata = self.metadata.unwrap_or_default();
        at("output.metadata", metadata::check(&metadata))?;
        // The original service's clients may send an empty type.
        let given = self.r#type.filter(|given| !given.is_empty());
        // A request that leaves it out asks for the same.
        let kind = given.map_or(Ok(preset.output_type()), |given| check_type(&given, preset))?;
        Ok(Output { storage, path, metadata, kind })
    }
}

fn find_preset(name: &str) -> Result<&'static Preset, Invalid> {
    preset::find(name).ok_or_else(|| {
        let names: Vec<_> = preset::ALL.iter().map(|preset| preset.name).collect();
        invalid("preset", format!("must be one of {}", names.join(", ")))
    })
}

fn check_path(path: &str, kind: OutputType) -> Result<(), key::Error> {
    match kind {
        OutputType::Single => key::check(path),
        OutputType::Hls | OutputType::Dash => key::check_prefix(path),
    }
}

fn check_type(given: &str, preset: &Preset) -> Result<OutputType, Invalid> {
    let kind = preset.output_type();
    if given == kind.name() {
        Ok(kind)
    } else {
        Err(invalid("output.type", format!("must be {}, which is what preset {} makes", kind.name(), preset.name)))
    }
}

fn required<T>(field: &'static str, value: Option<T>) -> Result<T, Invalid> {
    value.ok_or_else(|| invalid(field, "is required"))
}

fn at<T, E: ToString>(field: &'static str, result: Result<T, E>) -> Result<T, Invalid> {
    result.map_err(|reason| invalid(field, reason.to_string()))
}

fn invalid(field: &'static str, reason: impl Into<String>) -> Invalid {
    Invalid { field, reason: reason.into() }
}

#[cfg(test)]
pub(crate) mod tests;
