//! Asks ffprobe what an output's tracks are. Of many segments the first and the last are asked: together they tell
//! when the streams really begin and end, whatever a playlist says.

use std::{ffi::OsString, path::Path, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Error,
    layout::{Carries, Track},
    report::{Code, Finding},
    timeline::{Span, Streams, Timeline},
    uri,
};
use crate::{
    media::{self, Audio, Input, Media, ProbeError, Video},
    tool::Tools,
};

/// What ffprobe found in a track.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Observed {
    /// The picture.
    pub(super) video: Option<Video>,
    /// The sound.
    pub(super) audio: Option<Audio>,
    /// When they run.
    pub(super) timeline: Timeline,
    /// What has anything in the first piece.
    pub(super) first: Streams,
    /// What has anything in the last piece.
    pub(super) last: Streams,
}

impl Observed {
    /// Length of the whole in seconds.
    pub(super) fn length(&self) -> Option<f64> {
        self.timeline.end()
    }
}

/// The arguments that open a file, or a segment behind the part it needs in front, and nothing else.
pub(super) fn input(init: Option<&Path>, pieces: &[&Path]) -> Vec<OsString> {
    let operand = match (init, pieces) {
        (None, [piece]) => uri::file(piece),
        (init, pieces) => {
            let mut operand = OsString::from("concat:");
            for (index, piece) in init.into_iter().chain(pieces.iter().copied()).enumerate() {
                if index > 0 {
                    operand.push("|");
                }
                operand.push(uri::file(piece));
            }
            operand
        }
    };
    vec!["-protocol_whitelist".into(), "file,concat".into(), "-i".into(), operand]
}

/// Looks at a track. One that ffprobe cannot read is a finding.
///
/// # Errors
/// When ffprobe could not do its work.
pub(super) async fn observe(
    tools: &Tools,
    track: &Track,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Result<Observed, Finding>, Error> {
    let ask = async |piece: Option<&Path>| match piece {
        None => Ok(Ok(None)),
        Some(piece) => {
            let input = Input { args: input(track.init.as_deref(), &[piece]), proxy: None };
            judge(media::probe(tools, &input, limit, cancel).await, piece)
        }
    };
    let pieces = track.pieces.as_slice();
    let last = pieces.get(1..).and_then(<[_]>::last);
    let (first, last) = tokio::try_join!(ask(pieces.first().map(AsRef::as_ref)), ask(last.map(AsRef::as_ref)))?;
    Ok(first.and_then(|first| last.map(|last| combine(track, first.unwrap_or_default(), last))))
}

fn judge(answer: Result<Media, ProbeError>, piece: &Path) -> Result<Result<Option<Media>, Finding>, Error> {
    let name = piece.file_name().unwrap_or_default().to_string_lossy();
    match answer {
        Ok(media) => Ok(Ok(Some(media))),
        Err(error @ (ProbeError::Unreadable(_) | ProbeError::Nonsense(_))) => {
            Ok(Err(Finding::error(Code::FfprobeFailed, format!("{name}: {error}"))))
        }
        Err(ProbeError::Start(source)) => Err(Error::Start(source)),
        Err(ProbeError::Killed(signal)) => Err(Error::Killed { program: "ffprobe", signal }),
        Err(ProbeError::TimedOut(limit)) => Err(Error::TimedOut(limit)),
        Err(ProbeError::Cancelled) => Err(Error::Cancelled),
    }
}

/// One track from its first and last piece.
fn combine(track: &Track, first: Media, last: Option<Media>) -> Observed {
    let promise = promise(track, &first);
    let begin = spans(&first, promise);
    let finish = last.map(|last| spans(&last, promise));
    let streams = (begin.streams(), finish.unwrap_or(begin).streams());
    let timeline = match finish {
        None => begin,
        Some(finish) => {
            // A stream that is not in the last piece has ended when that piece begins.
            let over = finish.video.or(finish.audio).map(|span| span.start);
            let whole = |begin: Option<Span>, finish: Option<Span>| {
                begin.map(|begin| Span { start: begin.start, end: finish.map_or(over, |span| span.end) })
            };
            Timeline { video: whole(begin.video, finish.video), audio: whole(begin.audio, finish.audio), length: None }
        }
    };
    // MPEG-TS starts its clock anywhere. In MP4 zero is the start of the presentation, even if nothing is there.
    let is_transport_stream = track.init.is_none() && track.declared_length.is_some();
    let timeline = if is_transport_stream { timeline.to_zero() } else { timeline };
    Observed { video: first.video, audio: first.audio, timeline, first: streams.0, last: streams.1 }
}

/// From when to when a track of fragments runs, by its first fragment and its manifest.
#[derive(Debug, Clone, Copy)]
struct Promise {
    start: f64,
    end: f64,
}

fn promise(track: &Track, first: &Media) -> Option<Promise> {
    track.init.as_ref()?;
    let start = Timeline::first_start(first).unwrap_or_default();
    Some(Promise { start, end: start + track.declared_length? })
}

/// The spans as the container tells them. A stream without a start is not there, and neither is sound without channels:
/// a segment names it, and has nothing of it.
fn spans(media: &Media, promise: Option<Promise>) -> Timeline {
    let span = |start: Option<f64>, length: Option<f64>| {
        start.map(|start| Span { start, end: length.map(|length| end(start, length, promise)) })
    };
    let video = media.video.as_ref().and_then(|video| span(video.start, video.duration));
    Timeline {
        video: video.map(|video| if media.audio.is_none() { until(video, media.duration) } else { video }),
        audio: media
            .audio
            .as_ref()
            .filter(|audio| audio.channels != Some(0))
            .and_then(|audio| span(audio.start, audio.duration)),
        length: media.duration,
    }
}

/// What is alone in its container lasts as long as that. ffprobe adds up decoding times, and where frames are rare and
/// out of order the last of them is shown much later.
fn until(span: Span, length: Option<f64>) -> Span {
    Span { end: span.end.map(|end| length.map_or(end, |length| end.max(length))), ..span }
}

/// The length that ffprobe tells of a fragment alone counts from the fragment's own start, from the start of the
/// stream, or from the start of the presentation. The reading that is nearest to the manifest's word is taken; a cut
/// fragment is far from it in all.
fn end(start: f64, length: f64, promise: Option<Promise>) -> f64 {
    let own = start + length;
    let Some(Promise { start, end }) = promise else { return own };
    let distance = |reading: &f64| (reading - end).abs();
    let readings = [length, start + length].into_iter();
    readings.fold(own, |best, reading| if distance(&reading) < distance(&best) { reading } else { best })
}

/// Sound with files of its own is looked at together with the best picture.
pub(super) fn lend_audio(tracks: &[Track], observed: &mut [Option<Observed>]) {
    let find = |carries| tracks.iter().position(|track| track.carries == carries);
    let (Some(audio), Some(video)) = (find(Carries::Audio), find(Carries::Video)) else { return };
    let Some(Some(lent)) = observed.get(audio).cloned() else { return };
    if let Some(Some(best)) = observed.get_mut(video) {
        best.audio = lent.audio;
        best.timeline.audio = lent.timeline.audio;
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::media::{Audio, Video};

    #[rstest]
    #[case::alone(None, 3.0)]
    #[case::with_sound(Some(Audio { index: 1, codec: "aac".into(), channels: Some(1), start: Some(0.0), duration: None }), 1.05)]
    fn a_picture_that_is_alone_lasts_as_long_as_its_container(#[case] audio: Option<Audio>, #[case] expected: f64) {
        let video = Video { start: Some(0.0), duration: Some(1.05), ..Video::sized(320, 180) };
        let media = Media { video: Some(video), audio, duration: Some(3.0), ..Media::default() };
        let end = spans(&media, None).video.and_then(|span| span.end).expect("known");
        assert!((end - expected).abs() < 1e-9, "{end}");
    }

    #[rstest]
    #[case::from_its_own_start(5.2, 1.0, 6.2)]
    #[case::from_the_stream_s_start(5.2, 5.0, 6.2)]
    #[case::from_the_presentation_s_start(5.2, 6.2, 6.2)]
    #[case::cut(5.2, 4.2, 5.4)]
    fn a_fragment_ends_where_one_reading_of_its_length_meets_the_manifest(
        #[case] start: f64,
        #[case] length: f64,
        #[case] expected: f64,
    ) {
        let found = end(start, length, Some(Promise { start: 1.2, end: 6.2 }));
        assert!((found - expected).abs() < 1e-9, "{found}");
    }
}
