//! The presets by name. The first seven are the original service's: their names and meaning do not change.

use crate::{
    Audio, Ceiling, Channels, Effort, Packaging, Preset, Rate, Rendition,
    frame::{Fit, Size},
};

/// HLS and DASH segments of six seconds, as Apple's HLS authoring specification recommends.
const SEGMENT_SECONDS: u32 = 6;

const LADDER: &[Rendition] =
    &[rung(1280, 720, 2800, 3000, 6000), rung(854, 480, 1400, 1500, 3000), rung(640, 360, 800, 900, 1800)];

const HLS_720P: &[Rendition] =
    &[Rendition { fit: Fit::Height(720), rate: Rate::Bitrate { average_kbps: 2500, ceiling: None } }];

const HLS_SINGLE: Packaging = Packaging::Hls { segment_seconds: SEGMENT_SECONDS, ladder: false };
const HLS_LADDER: Packaging = Packaging::Hls { segment_seconds: SEGMENT_SECONDS, ladder: true };

/// Every preset.
pub const ALL: &[Preset] = &[
    Preset {
        name: "480p_h264",
        summary: "MP4, H.264 480p crf 24, AAC 96 kbit/s",
        packaging: Packaging::Mp4,
        effort: Effort::Fast,
        renditions: &[quality(480, 24)],
        audio: Some(audio(96, Channels::Source)),
    },
    Preset {
        name: "720p_h264",
        summary: "MP4, H.264 720p crf 23, AAC 128 kbit/s",
        packaging: Packaging::Mp4,
        effort: Effort::Medium,
        renditions: &[quality(720, 23)],
        audio: Some(audio(128, Channels::Source)),
    },
    Preset {
        name: "1080p_h264",
        summary: "MP4, H.264 1080p crf 23, AAC 192 kbit/s",
        packaging: Packaging::Mp4,
        effort: Effort::Medium,
        renditions: &[quality(1080, 23)],
        audio: Some(audio(192, Channels::Source)),
    },
    Preset {
        name: "hls_720p_video_only",
        summary: "HLS, H.264 720p 2500 kbit/s, no audio",
        packaging: HLS_SINGLE,
        effort: Effort::Medium,
        renditions: HLS_720P,
        audio: None,
    },
    Preset {
        name: "hls_720p",
        summary: "HLS, H.264 720p 2500 kbit/s, AAC 128 kbit/s",
        packaging: HLS_SINGLE,
        effort: Effort::Medium,
        renditions: HLS_720P,
        audio: Some(audio(128, Channels::Source)),
    },
    Preset {
        name: "hls_720p_abr_video_only",
        summary: "HLS ladder 720p, 480p, 360p, no audio",
        packaging: HLS_LADDER,
        effort: Effort::Medium,
        renditions: LADDER,
        audio: None,
    },
    Preset {
        name: "hls_720p_abr",
        summary: "HLS ladder 720p, 480p, 360p, AAC 128 kbit/s stereo",
        packaging: HLS_LADDER,
        effort: Effort::Medium,
        renditions: LADDER,
        audio: Some(audio(128, Channels::Stereo)),
    },
    Preset {
        name: "dash_720p_abr",
        summary: "DASH ladder 720p, 480p, 360p, AAC 128 kbit/s stereo",
        packaging: Packaging::Dash { segment_seconds: SEGMENT_SECONDS },
        effort: Effort::Medium,
        renditions: LADDER,
        audio: Some(audio(128, Channels::Stereo)),
    },
];

/// The preset of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}

const fn quality(height: u32, crf: u8) -> Rendition {
    Rendition { fit: Fit::Height(height), rate: Rate::Quality { crf } }
}

const fn rung(width: u32, height: u32, average_kbps: u32, max_kbps: u32, buffer_kbit: u32) -> Rendition {
    Rendition {
        fit: Fit::Within(Size { width, height }),
        rate: Rate::Bitrate { average_kbps, ceiling: Some(Ceiling { max_kbps, buffer_kbit }) },
    }
}

const fn audio(kbps: u32, channels: Channels) -> Audio {
    Audio { kbps, channels }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_original_presets_are_there() {
        for name in [
            "480p_h264",
            "720p_h264",
            "1080p_h264",
            "hls_720p_video_only",
            "hls_720p",
            "hls_720p_abr_video_only",
            "hls_720p_abr",
        ] {
            assert!(find(name).is_some(), "{name}");
        }
        assert!(find("4k_h264").is_none());
    }

    #[test]
    fn names_are_unique_and_every_preset_has_a_rendition() {
        let names: HashSet<_> = ALL.iter().map(|preset| preset.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|preset| !preset.renditions.is_empty()));
    }
}
