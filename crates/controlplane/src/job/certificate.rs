//! What proves an output whole, as the worker that published it says.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What proves an output whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Certificate {
    /// What is known of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub source: Option<Source>,
    /// One for each picture size.
    pub renditions: Vec<Rendition>,
    /// Absent without audio.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub audio: Option<Audio>,
    /// Each check that the output passed.
    pub checks: Vec<Check>,
    /// Each file of the output.
    pub files: Vec<File>,
    /// As ffmpeg tells it.
    pub ffmpeg_version: String,
    /// Each run of ffmpeg that made the output, without what may be secret.
    pub commands: Vec<Command>,
}

/// What is known of a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Source {
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub duration_seconds: Option<f64>,
    /// Such as `h264`; empty without video.
    pub video_codec: String,
    /// Of the picture.
    pub width: u32,
    /// Of the picture.
    pub height: u32,
    /// Frames a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub frame_rate: Option<f64>,
    /// Such as `aac`; empty without audio.
    pub audio_codec: String,
}

/// One rendition of an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rendition {
    /// Of the picture.
    pub width: u32,
    /// Of the picture.
    pub height: u32,
    /// Where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub frames_expected: Option<u64>,
    /// Where they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub frames_found: Option<u64>,
}

/// The audio of an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Audio {
    /// Where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub samples_expected: Option<u64>,
    /// Where they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub samples_found: Option<u64>,
    /// Samples a second.
    pub sample_rate: u32,
}

/// One check that an output passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// Such as `layout`, `streams`, `decode`, `seams`.
    pub name: String,
    /// What was looked at.
    pub detail: String,
}

/// A file of an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CertifiedFile)]
pub struct File {
    /// Relative to the job's output; empty for a single file.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

/// The arguments of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Command {
    /// In order.
    pub arguments: Vec<String>,
}
