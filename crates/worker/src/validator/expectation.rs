//! What an output must look like, from the preset and the source. Pure.

use preset::{Preset, Rate, Size};

use super::{
    report::{Code, Finding},
    timeline::Timeline,
};
use crate::media::Media;

/// Shorter differences are never worth a finding: the last frame's length, the encoder's delay, audio frames.
const MIN_TOLERANCE: f64 = 0.5;

/// Part of the length that may differ: clocks and containers round.
const RELATIVE_TOLERANCE: f64 = 0.01;

/// The end of the last frame is a guess in most containers.
const FRAMES_OF_TOLERANCE: f64 = 3.0;

/// Rates outside are time bases that a container took for a frame rate.
const PLAUSIBLE_RATES: std::ops::RangeInclusive<f64> = 1.0..=240.0;

/// Containers that are made at once start at zero. One that starts later was cut out of a broadcast or a recording.
const MAX_START: f64 = 0.4;

/// What is expected of the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sound {
    /// The preset drops it.
    Dropped,
    /// The preset has it, and so has the source.
    Kept,
    /// The preset has it, and the source has none.
    Absent,
}

/// What is expected of one rendition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Picture {
    /// Size in square pixels, if the source's is known.
    pub(super) size: Option<Size>,
    /// Bit/s with sound, where the preset says.
    pub(super) bit_rate: Option<f64>,
}

/// What an output must look like.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expectation {
    /// The ladder, best first.
    pub(super) pictures: Vec<Picture>,
    /// The sound.
    pub(super) sound: Sound,
    /// Frames per second; `None` when the source's frames are not evenly spaced, for then containers differ in what
    /// they call the rate.
    pub(super) frame_rate: Option<f64>,
    /// When picture and sound of the source run.
    pub(super) timeline: Timeline,
    /// Whether the source was cut out of something longer: what is before its first key frame cannot be decoded, and
    /// its length is measured, not promised.
    pub(super) is_excerpt: bool,
    frame: f64,
}

impl Expectation {
    /// What this preset makes of this source.
    pub(super) fn new(preset: &Preset, source: &Media) -> Self {
        let sound = match (&preset.audio, &source.audio) {
            (None, _) => Sound::Dropped,
            (Some(_), Some(_)) => Sound::Kept,
            (Some(_), None) => Sound::Absent,
        };
        let sound_rate = match (sound, preset.audio) {
            (Sound::Kept, Some(audio)) => audio.kbps,
            (Sound::Dropped | Sound::Absent, _) | (Sound::Kept, None) => 0,
        };
        let display = source.video.as_ref().map(|video| video.display);
        let pictures = preset.renditions.iter().map(|rendition| Picture {
            size: display.map(|display| rendition.fit.apply(display)),
            bit_rate: match rendition.rate {
                Rate::Quality { .. } => None,
                Rate::Bitrate { average_kbps, .. } => Some(f64::from(average_kbps + sound_rate) * 1000.0),
            },
        });
        let mut timeline = Timeline::of(source);
        if sound == Sound::Dropped {
            timeline.audio = None;
        }
        let rate = source.video.as_ref().and_then(|video| video.frame_rate);
        Self {
            pictures: pictures.collect(),
            sound,
            frame_rate: constant_rate(source),
            timeline,
            is_excerpt: Timeline::first_start(source).is_some_and(|start| start > MAX_START),
            frame: rate.filter(|rate| *rate > 0.0).map_or(0.0, |rate| 1.0 / rate),
        }
    }

    /// Length of the whole in seconds, as the source promises it.
    pub(super) fn length(&self) -> Option<f64> {
        self.timeline.end()
    }

    /// By how many seconds an end may miss a promised length.
    pub(super) fn tolerance(&self, length: f64) -> f64 {
        MIN_TOLERANCE.max(length * RELATIVE_TOLERANCE).max(self.frame * FRAMES_OF_TOLERANCE)
    }

    /// By how many seconds segments of two renditions may differ.
    pub(super) fn segment_tolerance(&self) -> f64 {
        self.frame.max(0.05)
    }

    /// What is worth telling before anything was looked at.
    pub(super) fn warnings(&self) -> Option<Finding> {
        match self.sound {
            Sound::Absent => Some(Finding::warning(Code::NoAudioStream, "the source has no audio")),
            Sound::Dropped | Sound::Kept => None,
        }
    }
}

/// The frame rate, if the source's frames are evenly spaced. MPEG-2 is left out: it may repeat fields, and what comes
/// out of the decoder has another rate than the container tells.
fn constant_rate(source: &Media) -> Option<f64> {
    let video = source.video.as_ref()?;
    let is_promise = source.has_even_frames && video.codec != "mpeg2video";
    video.frame_rate.filter(|rate| is_promise && PLAUSIBLE_RATES.contains(rate))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::validator::tests::source;

    fn preset(name: &str) -> &'static Preset {
        preset::find(name).expect("in the catalogue")
    }

    #[test]
    fn a_ladder_expects_every_rendition_with_its_sound() {
        let expected = Expectation::new(preset("hls_720p_abr"), &source());
        let sizes: Vec<_> = expected.pictures.iter().filter_map(|picture| picture.size).map(|s| s.height).collect();
        assert_eq!(sizes, [720, 480, 360]);
        assert_eq!(expected.pictures[0].bit_rate, Some(2_928_000.0));
        assert_eq!(expected.sound, Sound::Kept);
        assert_eq!(expected.warnings(), None);
    }

    #[test]
    fn a_source_without_audio_is_worth_a_warning_only_where_the_preset_has_audio() {
        let silent = Media { audio: None, ..source() };
        let warning = Expectation::new(preset("hls_720p"), &silent).warnings().expect("told");
        assert_eq!(warning.to_string(), "NO_AUDIO_STREAM: the source has no audio");
        assert_eq!(Expectation::new(preset("hls_720p_video_only"), &silent).warnings(), None);
    }

    #[rstest]
    #[case::even(true, Some(25.0), "h264", Some(25.0))]
    #[case::variable(false, Some(17.3), "h264", None)]
    #[case::time_base(true, Some(1000.0), "wmv3", None)]
    #[case::repeated_fields(true, Some(29.97), "mpeg2video", None)]
    #[case::unknown(true, None, "h264", None)]
    fn only_a_constant_frame_rate_is_a_promise(
        #[case] has_even_frames: bool,
        #[case] rate: Option<f64>,
        #[case] codec: &str,
        #[case] promised: Option<f64>,
    ) {
        let mut source = Media { has_even_frames, ..source() };
        let video = source.video.as_mut().expect("has video");
        (video.frame_rate, video.codec) = (rate, codec.to_owned());
        assert_eq!(Expectation::new(preset("480p_h264"), &source).frame_rate, promised);
    }

    #[rstest]
    #[case::short(5.0, 25.0, 0.5)]
    #[case::long(600.0, 25.0, 6.0)]
    #[case::slides(20.0, 0.5, 6.0)]
    fn the_tolerance_is_the_largest_of_three(#[case] length: f64, #[case] rate: f64, #[case] tolerance: f64) {
        let mut source = source();
        source.video.as_mut().expect("has video").frame_rate = Some(rate);
        let expected = Expectation::new(preset("480p_h264"), &source);
        assert!((expected.tolerance(length) - tolerance).abs() < 1e-9);
    }
}
