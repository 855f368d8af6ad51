//! What a validation found: codes, findings, and the text that a client reads.

use std::fmt;

use crate::{failure::Blame, media::Index};

/// What is wrong, by the names that clients know. They do not change.
///
/// The `Hls*` codes speak of playlists; a DASH manifest is reported with the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Code {
    /// The output, or its playlist or manifest, is not there.
    FileNotFound,
    /// A file has no content.
    FileEmpty,
    /// ffprobe cannot read it.
    FfprobeFailed,
    /// Another codec than the preset's, or an expected audio stream that is not there.
    CodecMismatch,
    /// Another picture size or shape than the preset and the source give.
    ResolutionMismatch,
    /// Another frame rate than the source's.
    FrameRateMismatch,
    /// Other frames than were encoded.
    FrameCountMismatch,
    /// It ends before the source does.
    DurationTooShort,
    /// It ends after the source does.
    DurationTooLong,
    /// Far more or fewer bits than the preset asks for.
    BitrateAbnormal,
    /// There is no picture.
    NoVideoStream,
    /// The preset has audio, and the source has none.
    NoAudioStream,
    /// A playlist or manifest that breaks its rules, or names what is not its own.
    HlsPlaylistSyntaxError,
    /// A segment that a playlist or manifest names is not there.
    HlsSegmentMissing,
    /// Segments do not add up, or differ between renditions.
    HlsDurationMismatch,
    /// It cannot be decoded without errors.
    DecodeError,
    /// Sound and picture are shifted against each other, or the sound ends early.
    AvSyncError,
}

/// What a finding means for the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// It must not be published.
    Error,
    /// It is worth a line in the log.
    Warning,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What is wrong.
    pub(crate) code: Code,
    /// Whether it may be published nevertheless.
    pub(crate) severity: Severity,
    /// What was expected and what was found, for people.
    pub(crate) detail: String,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Report {
    /// In the order of the checks.
    pub(crate) findings: Vec<Finding>,
    /// What is in the output, where it is a single file.
    pub(crate) index: Option<Index>,
}

impl Code {
    /// As clients know it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::FileNotFound => "FILE_NOT_FOUND",
            Self::FileEmpty => "FILE_EMPTY",
            Self::FfprobeFailed => "FFPROBE_FAILED",
            Self::CodecMismatch => "CODEC_MISMATCH",
            Self::ResolutionMismatch => "RESOLUTION_MISMATCH",
            Self::FrameRateMismatch => "FRAME_RATE_MISMATCH",
            Self::FrameCountMismatch => "FRAME_COUNT_MISMATCH",
            Self::DurationTooShort => "DURATION_TOO_SHORT",
            Self::DurationTooLong => "DURATION_TOO_LONG",
            Self::BitrateAbnormal => "BITRATE_ABNORMAL",
            Self::NoVideoStream => "NO_VIDEO_STREAM",
            Self::NoAudioStream => "NO_AUDIO_STREAM",
            Self::HlsPlaylistSyntaxError => "HLS_PLAYLIST_SYNTAX_ERROR",
            Self::HlsSegmentMissing => "HLS_SEGMENT_MISSING",
            Self::HlsDurationMismatch => "HLS_DURATION_MISMATCH",
            Self::DecodeError => "DECODE_ERROR",
            Self::AvSyncError => "AV_SYNC_ERROR",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Finding {
    /// A finding that forbids publishing.
    pub(super) fn error(code: Code, detail: impl Into<String>) -> Self {
        Self { code, severity: Severity::Error, detail: detail.into() }
    }

    /// A finding that is only told.
    pub(super) fn warning(code: Code, detail: impl Into<String>) -> Self {
        Self { code, severity: Severity::Warning, detail: detail.into() }
    }

    /// Says which part of the output it is about; an empty name adds nothing.
    pub(super) fn about(mut self, part: &str) -> Self {
        if !part.is_empty() {
            self.detail = format!("{part}: {}", self.detail);
        }
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl Code {
    /// True where files are missing or damaged, false where they are whole and not what was promised.
    fn is_damage(self) -> bool {
        match self {
            Self::FileNotFound
            | Self::FileEmpty
            | Self::FfprobeFailed
            | Self::FrameCountMismatch
            | Self::HlsPlaylistSyntaxError
            | Self::HlsSegmentMissing
            | Self::DecodeError => true,
            Self::CodecMismatch
            | Self::ResolutionMismatch
            | Self::FrameRateMismatch
            | Self::DurationTooShort
            | Self::DurationTooLong
            | Self::BitrateAbnormal
            | Self::NoVideoStream
            | Self::NoAudioStream
            | Self::HlsDurationMismatch
            | Self::AvSyncError => false,
        }
    }
}

impl Report {
    /// Whether it may be published: there are no errors.
    pub(crate) fn is_whole(&self) -> bool {
        self.errors().next().is_none()
    }

    /// Who can mend it. Files that are missing or damaged are the machine's doing: a full disk does not always make an
    /// encoder fail. Files that are whole and wrong come from the source.
    pub(crate) fn blame(&self) -> Blame {
        if self.errors().any(|finding| finding.code.is_damage()) { Blame::Infrastructure } else { Blame::Job }
    }

    /// What forbids publishing.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }
}

/// The errors, `CODE: detail; CODE: detail`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.errors().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_its_errors_and_not_its_warnings() {
        let report = Report {
            findings: vec![
                Finding::error(Code::FileEmpty, "a.ts").about("720p"),
                Finding::warning(Code::NoAudioStream, "the source has none").about(""),
                Finding::error(Code::AvSyncError, "late"),
            ],
            index: None,
        };
        assert_eq!(report.to_string(), "FILE_EMPTY: 720p: a.ts; AV_SYNC_ERROR: late");
        assert!(!report.is_whole());
    }

    #[test]
    fn damage_is_the_machines_fault_and_the_rest_the_jobs() {
        let report = |codes: &[Code]| Report {
            findings: codes.iter().map(|code| Finding::error(*code, "")).collect(),
            index: None,
        };
        assert_eq!(report(&[Code::DurationTooShort]).blame(), Blame::Job);
        assert_eq!(report(&[Code::DurationTooShort, Code::FileEmpty]).blame(), Blame::Infrastructure);
        let warned = Report { findings: vec![Finding::warning(Code::DecodeError, "")], index: None };
        assert_eq!(warned.blame(), Blame::Job);
    }

    #[test]
    fn warnings_do_not_stop_an_output() {
        let report = Report { findings: vec![Finding::warning(Code::BitrateAbnormal, "low")], index: None };
        assert!(report.is_whole());
        assert_eq!(report.to_string(), "");
    }
}
