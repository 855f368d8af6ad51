//! Compares what was found with what was expected. Pure.

use preset::{Rendition, Size};

use super::{
    expectation::{Expectation, Sound},
    layout::{Carries, Track},
    observed::Observed,
    report::{Code, Finding},
    timeline::{Span, Timeline},
};
use crate::{encoder::rendition_name, media::Video};

/// A side may be rounded to an even number in one place and cut in another.
const PIXELS: u32 = 2;

/// By how many seconds sound and picture may be shifted against each other.
const MAX_SHIFT: f64 = 0.2;

/// Part of the frame rate that may differ.
const RATE_TOLERANCE: f64 = 0.02;

/// Times the expected bit rate. Still pictures need next to nothing.
const PLAUSIBLE_BIT_RATES: std::ops::RangeInclusive<f64> = 0.05..=2.0;

/// The bit rate of a shorter output says nothing, in seconds.
const MIN_LENGTH_FOR_BITS: f64 = 2.0;

/// The frame rate of a shorter piece says nothing, in seconds.
const MIN_LENGTH_FOR_FRAMES: f64 = 1.0;

/// How many frames may be counted to the next piece, or the one before.
const FRAMES_AT_ENDS: f64 = 3.0;

/// Encoders set a key frame at least this often, in seconds.
const MAX_LEAD: f64 = 10.0;

/// What is wrong with a track.
pub(super) fn compare(track: &Track, observed: &Observed, expected: &Expectation) -> Vec<Finding> {
    let mut findings = Vec::new();
    if track.carries != Carries::Audio {
        match &observed.video {
            None => findings.push(Finding::error(Code::NoVideoStream, "there is no picture")),
            Some(video) => findings.extend(picture(track, video, observed, expected)),
        }
        findings.extend(bit_rate(track, observed, expected));
    }
    if brings_sound(track) {
        findings.extend(sound(observed, expected));
    }
    findings.extend(segments(track, observed, expected));
    findings.into_iter().map(|finding| finding.about(&track.name)).collect()
}

/// Which renditions have other frames than the `encoded` ones. What is not known is not compared.
pub(super) fn compare_frames(renditions: &[Rendition], encoded: Option<u64>, found: &[Option<u64>]) -> Vec<Finding> {
    let name = |rendition: &Rendition| if renditions.len() > 1 { rendition_name(rendition) } else { String::new() };
    let lossy = |(rendition, found): (&Rendition, &Option<u64>)| {
        let (encoded, found) = (encoded?, (*found)?);
        let detail = format!("{encoded} frames were encoded, and {found} are there");
        (encoded != found).then(|| Finding::error(Code::FrameCountMismatch, detail).about(&name(rendition)))
    };
    renditions.iter().zip(found).filter_map(lossy).collect()
}

/// Sound that has files of its own is judged with the best picture.
fn brings_sound(track: &Track) -> bool {
    match track.carries {
        Carries::Both => true,
        Carries::Video => track.rendition == 0,
        Carries::Audio => false,
    }
}

fn picture(track: &Track, video: &Video, observed: &Observed, expected: &Expectation) -> Vec<Finding> {
    let mut findings = Vec::new();
    if video.codec != "h264" {
        findings.push(Finding::error(Code::CodecMismatch, format!("video: expected h264, found {}", video.codec)));
    }
    let size = expected.pictures.get(track.rendition).and_then(|picture| picture.size);
    findings.extend(size.and_then(|size| picture_size(track, video, size)));
    findings.extend(expected.frame_rate.and_then(|rate| frame_rate(track, rate, video, observed)));
    findings.extend(video_length(track, observed, expected));
    findings
}

fn picture_size(track: &Track, video: &Video, expected: Size) -> Option<Finding> {
    let found = [Some(("", video.coded)), track.declared_size.map(|size| ("the playlist says ", size))];
    let wrong = found.into_iter().flatten().find(|(_, size)| !is_close(*size, expected));
    if let Some((who, size)) = wrong {
        let detail = format!("expected {}, {who}{}", text(expected), text(size));
        return Some(Finding::error(Code::ResolutionMismatch, detail));
    }
    has_other_shape(video.display, expected).then(|| {
        let detail = format!("expected {}, shown as {}", text(expected), text(video.display));
        Finding::error(Code::ResolutionMismatch, detail)
    })
}

fn text(size: Size) -> String {
    format!("{}x{}", size.width, size.height)
}

fn is_close(one: Size, other: Size) -> bool {
    one.width.abs_diff(other.width) <= PIXELS && one.height.abs_diff(other.height) <= PIXELS
}

/// Pixels that are not square stretch the picture. One that is a few pixels low has a coarse shape.
fn has_other_shape(shown: Size, expected: Size) -> bool {
    let shape = |size: Size| f64::from(size.width.max(1)) / f64::from(size.height.max(1));
    let tolerance = 0.005 + f64::from(PIXELS) / f64::from(expected.width.min(expected.height).max(1));
    (shape(shown) / shape(expected) - 1.0).abs() > tolerance
}

/// The rate of the first piece, for that is what ffprobe saw.
fn frame_rate(track: &Track, expected: f64, video: &Video, observed: &Observed) -> Option<Finding> {
    #[expect(clippy::cast_precision_loss, reason = "there are not that many files")]
    let length = observed.length()? / track.pieces.len().max(1) as f64;
    let found = video.frame_rate?;
    // A few frames more or less are the ends of the piece, not the rate.
    let tolerance = (expected * RATE_TOLERANCE).max(FRAMES_AT_ENDS / length.max(0.1));
    (length >= MIN_LENGTH_FOR_FRAMES && (found - expected).abs() > tolerance).then(|| {
        let detail = format!("expected {expected:.3} frames per second, found {found:.3}");
        Finding::error(Code::FrameRateMismatch, detail)
    })
}

fn video_length(track: &Track, observed: &Observed, expected: &Expectation) -> Option<Finding> {
    let (promised, found) = compared_ends(track, observed, expected)?;
    let (end, earliest) = (promised.end?, earliest(promised)?);
    let tolerance = expected.tolerance(end);
    let detail = || format!("video: expected {end:.2} s, found {found:.2} s");
    if found < earliest - tolerance {
        let finding = if is_excused(earliest - found, observed, expected) { Finding::warning } else { Finding::error };
        return Some(finding(Code::DurationTooShort, detail()));
    }
    let latest = end.max(expected.timeline.length.unwrap_or(end));
    (found > latest + tolerance).then(|| Finding::warning(Code::DurationTooLong, detail()))
}

/// The promised time of the picture, or of the whole where only that is promised, and when the same ends here.
fn compared_ends(track: &Track, observed: &Observed, expected: &Expectation) -> Option<(Span, f64)> {
    let video = expected.timeline.video?;
    if video.end.is_some() {
        return Some((video, observed.timeline.video?.end?));
    }
    let end = Some(expected.length()?);
    match expected.sound {
        Sound::Dropped | Sound::Absent => Some((Span { end, ..video }, observed.timeline.video?.end?)),
        Sound::Kept if brings_sound(track) => Some((Span { start: 0.0, end }, observed.length()?)),
        Sound::Kept => None,
    }
}

/// When a stream may end at the earliest. A container whose clock starts with the stream, not with the presentation,
/// has lost the gap before it.
fn earliest(promised: Span) -> Option<f64> {
    Some(promised.end?.min(promised.length()?))
}

/// Whether a picture that ends a little early can be all that the source has.
fn is_excused(missing: f64, observed: &Observed, expected: &Expectation) -> bool {
    let is_little = expected.length().is_some_and(|length| missing < MAX_LEAD.min(length / 2.0));
    // The last picture of a recording with uneven frames may stand for long, and ffmpeg does not keep that. When the
    // sound is there to its end, nothing was lost.
    let stands = expected.frame_rate.is_none() && sound_is_whole(&observed.timeline, expected);
    // Frames before the first key frame of an excerpt cannot be decoded.
    is_little && (stands || expected.is_excerpt)
}

fn sound_is_whole(found: &Timeline, expected: &Expectation) -> bool {
    let promised = expected.timeline.audio.and_then(earliest);
    let found = found.audio.and_then(|span| span.end);
    promised.zip(found).is_some_and(|(promised, found)| found >= promised - expected.tolerance(promised))
}

fn sound(observed: &Observed, expected: &Expectation) -> Vec<Finding> {
    let found = observed.audio.as_ref().map(|audio| audio.codec.as_str());
    let wanted = match expected.sound {
        Sound::Kept => Some("aac"),
        Sound::Dropped | Sound::Absent => None,
    };
    if found != wanted {
        let name = |codec: Option<&str>| codec.unwrap_or("none").to_owned();
        let detail = format!("audio: expected {}, found {}", name(wanted), name(found));
        return vec![Finding::error(Code::CodecMismatch, detail)];
    }
    audio_length(observed, expected).into_iter().chain(shift(&observed.timeline, &expected.timeline)).collect()
}

fn audio_length(observed: &Observed, expected: &Expectation) -> Option<Finding> {
    let promised = earliest(expected.timeline.audio?)?;
    let found = observed.timeline.audio?.end?;
    (found < promised - expected.tolerance(promised))
        .then(|| Finding::error(Code::AvSyncError, format!("audio: expected {promised:.2} s, found {found:.2} s")))
}

/// Sound that is shifted starts and ends at another time relative to the picture. When only one end differs, silence
/// or a still picture was added, or frames that cannot be decoded are gone, and the rest is where it belongs.
fn shift(found: &Timeline, expected: &Timeline) -> Option<Finding> {
    let ((start, end), (expected_start, expected_end)) = (found.offsets()?, expected.offsets()?);
    let at_start = start - expected_start;
    let by = match end.zip(expected_end) {
        Some((end, expected_end)) => common(at_start, end - expected_end),
        // Nothing is known of the ends. Streams that start together were filled up.
        None if start.abs() <= MAX_SHIFT => 0.0,
        None => at_start,
    };
    (by.abs() > MAX_SHIFT).then(|| {
        let direction = if by > 0.0 { "late" } else { "early" };
        Finding::error(Code::AvSyncError, format!("the sound is {:.2} s {direction}", by.abs()))
    })
}

/// The part of two shifts that is the same.
fn common(one: f64, other: f64) -> f64 {
    if one * other <= 0.0 { 0.0 } else { one.signum() * one.abs().min(other.abs()) }
}

fn bit_rate(track: &Track, observed: &Observed, expected: &Expectation) -> Option<Finding> {
    let wanted = expected.pictures.get(track.rendition)?.bit_rate?;
    let length = observed.length().filter(|length| *length >= MIN_LENGTH_FOR_BITS)?;
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more digits")]
    let found = track.bytes() as f64 * 8.0 / length;
    (!PLAUSIBLE_BIT_RATES.contains(&(found / wanted))).then(|| {
        let detail = format!("expected {:.0} kbit/s, found {:.0} kbit/s", wanted / 1000.0, found / 1000.0);
        Finding::warning(Code::BitrateAbnormal, detail)
    })
}

/// The lengths in a playlist or manifest must be those of the streams.
fn segments(track: &Track, observed: &Observed, expected: &Expectation) -> Option<Finding> {
    let declared = track.declared_length?;
    let (video, audio) = (observed.timeline.video, observed.timeline.audio);
    let own = match track.carries {
        Carries::Both | Carries::Video => video.or(audio)?,
        Carries::Audio => audio?,
    };
    // A playlist may count from the first sound or from the first picture.
    let lengths = [own.length(), own.end, observed.length().filter(|_| track.carries == Carries::Both)];
    let known = || lengths.into_iter().flatten();
    let (low, high) = (known().reduce(f64::min)?, known().reduce(f64::max)?);
    let tolerance = expected.tolerance(high);
    (declared < low - tolerance || declared > high + tolerance).then(|| {
        let detail = format!("the segments add up to {declared:.2} s, the stream lasts {high:.2} s");
        Finding::error(Code::HlsDurationMismatch, detail)
    })
}

#[cfg(test)]
mod tests;
