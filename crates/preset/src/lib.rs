//! Encoding presets as typed data: what to encode, and what the output must look like.
//!
//! One description serves three readers: the control plane (which names exist, what kind of output they make), the
//! encoder (ffmpeg's arguments) and the validator (what to expect). No I/O, and no raw ffmpeg text from a client.
//!
//! - [`catalogue`] – the presets by name
//! - [`frame`] – which picture size a rendition has for a given source

pub mod catalogue;
pub mod frame;

pub use catalogue::{ALL, find};
pub use frame::{Fit, Size};

/// A named set of encoding settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// What a client asks for, such as `720p_h264`.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Container and layout of the output.
    pub packaging: Packaging,
    /// x264's own preset: encoding effort.
    pub effort: Effort,
    /// The ladder, best first; never empty.
    pub renditions: &'static [Rendition],
    /// Audio of every rendition; `None` drops the source's audio.
    pub audio: Option<Audio>,
}

/// Container and layout of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packaging {
    /// One MP4 file with its index in front, so that it plays while it loads.
    Mp4,
    /// HLS (RFC 8216), video on demand, MPEG-TS segments.
    Hls {
        /// Length of a segment in seconds; every rendition has a key frame at each boundary.
        segment_seconds: u32,
        /// With a ladder: one folder a rendition and a master playlist above them. Without: one media playlist.
        ladder: bool,
    },
    /// MPEG-DASH (ISO/IEC 23009-1), video on demand, fragmented MP4 segments.
    Dash {
        /// Length of a segment in seconds.
        segment_seconds: u32,
    },
}

/// Kind of output, as `output.type` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputType {
    /// One file.
    Single,
    /// A folder with playlists.
    Hls,
    /// A folder with a manifest.
    Dash,
}

/// One video size and rate of a ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rendition {
    /// Picture size.
    pub fit: Fit,
    /// How bits are spent.
    pub rate: Rate,
}

/// How an encoder spends its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Constant rate factor: the same quality throughout.
    Quality {
        /// x264's crf, 0 (best) to 51.
        crf: u8,
    },
    /// A target on average, with an optional ceiling.
    Bitrate {
        /// Average in kbit/s.
        average_kbps: u32,
        /// Ceiling, if any.
        ceiling: Option<Ceiling>,
    },
}

/// The decoder buffer model (VBV) that bounds a stream's peaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// Fill rate of the buffer in kbit/s.
    pub max_kbps: u32,
    /// Size of the buffer in kbit.
    pub buffer_kbit: u32,
}

/// x264's own presets that are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// x264 `fast`.
    Fast,
    /// x264 `medium`.
    Medium,
}

/// AAC-LC audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audio {
    /// Average in kbit/s.
    pub kbps: u32,
    /// How many channels come out.
    pub channels: Channels,
}

/// How many audio channels come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// As many as the source has.
    Source,
    /// Two, mixed down where the source has more.
    Stereo,
}

impl Preset {
    /// Kind of output.
    #[must_use]
    pub fn output_type(&self) -> OutputType {
        match self.packaging {
            Packaging::Mp4 => OutputType::Single,
            Packaging::Hls { .. } => OutputType::Hls,
            Packaging::Dash { .. } => OutputType::Dash,
        }
    }

    /// What a player opens, relative to a directory output; `None` for a single file.
    #[must_use]
    pub fn entry_file(&self) -> Option<&'static str> {
        match self.packaging {
            Packaging::Mp4 => None,
            Packaging::Hls { ladder: false, .. } => Some("playlist.m3u8"),
            Packaging::Hls { ladder: true, .. } => Some("master.m3u8"),
            Packaging::Dash { .. } => Some("manifest.mpd"),
        }
    }
}

impl OutputType {
    /// As `output.type` spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Hls => "hls",
            Self::Dash => "dash",
        }
    }
}

impl Effort {
    /// As x264 spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Medium => "medium",
        }
    }
}
