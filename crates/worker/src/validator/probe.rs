//! Asks ffprobe what an output's tracks are. Of many segments the first and the last are asked: together they tell
//! when the streams really begin and end, whatever a playlist says.

use std::{ffi::OsString, path::Path, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Error,
    layout::{Carries, Track},
    report::{Code, Finding},
    timeline::{Span, Timeline},
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
    let promised_end = promised_end(track, &first);
    let begin = spans(&first, promised_end);
    let timeline = match last.map(|last| spans(&last, promised_end)) {
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
    Observed { video: first.video, audio: first.audio, timeline }
}

/// When a track of fragments ends, by its manifest.
fn promised_end(track: &Track, first: &Media) -> Option<f64> {
    track.init.as_ref()?;
    Some(Timeline::first_start(first).unwrap_or_default() + track.declared_length?)
}

/// The spans as the container tells them; a stream without a start is not there.
fn spans(media: &Media, promised_end: Option<f64>) -> Timeline {
    let span = |start: Option<f64>, length: Option<f64>| {
        start.map(|start| Span { start, end: length.map(|length| end(start, length, promised_end)) })
    };
    Timeline {
        video: media.video.as_ref().and_then(|video| span(video.start, video.duration)),
        audio: media.audio.as_ref().and_then(|audio| span(audio.start, audio.duration)),
        length: media.duration,
    }
}

/// The length that ffprobe tells of a fragment alone counts from the fragment's own start, or in some versions from the
/// start of the presentation. The reading that is nearer to the manifest's word is taken; a cut fragment is far from it
/// in both.
fn end(start: f64, length: f64, promised: Option<f64>) -> f64 {
    let sum = start + length;
    match promised {
        Some(promised) if (length - promised).abs() < (sum - promised).abs() => length,
        Some(_) | None => sum,
    }
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
