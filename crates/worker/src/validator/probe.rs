//! Asks ffprobe what an output's tracks are. Of many segments the first and the last are read: together they tell
//! when the streams really begin and end, whatever a playlist says. One process reads those of all tracks, for its start
//! takes longer than the rest.

use std::{ffi::OsString, path::Path, slice, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Error,
    layout::{Carries, Track},
    report::{Code, Finding},
    timeline::{Span, Streams, Timeline},
    uri,
};
use crate::{
    media::{self, Audio, Input, Media, Packet, ProbeError, Variant, Video},
    playlist,
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

/// Looks at tracks, each of which ffprobe can read or not. That is a finding.
///
/// # Errors
/// When ffprobe could not do its work.
pub(super) async fn observe(
    tools: &Tools,
    tracks: &[Track],
    scratch: &Path,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Vec<Result<Observed, Finding>>, Error> {
    let look = Look { tools, scratch, limit, cancel };
    if let [track] = tracks
        && let Some(file) = track.single_file()
    {
        return Ok(vec![look.file(file).await?]);
    }
    if let Some(observed) = look.together(tracks).await? {
        return Ok(observed.into_iter().map(Ok).collect());
    }
    // One of them is to blame.
    let mut observed = Vec::new();
    for track in tracks {
        let alone = look.together(slice::from_ref(track)).await?.and_then(|mut alone| alone.pop());
        observed.push(match alone {
            Some(alone) => Ok(alone),
            None => Err(look.blame(track).await?),
        });
    }
    Ok(observed)
}

struct Look<'a> {
    tools: &'a Tools,
    scratch: &'a Path,
    limit: Duration,
    cancel: &'a CancellationToken,
}

impl Look<'_> {
    async fn file(&self, file: &Path) -> Result<Result<Observed, Finding>, Error> {
        Ok(self.probe(None, file).await?.map(|media| {
            let timeline = spans(&media);
            let streams = timeline.streams();
            Observed { video: media.video, audio: media.audio, timeline, first: streams, last: streams }
        }))
    }

    async fn probe(&self, init: Option<&Path>, piece: &Path) -> Result<Result<Media, Finding>, Error> {
        let input = Input { args: input(init, &[piece]), proxy: None };
        judge(media::probe(self.tools, &input, self.limit, self.cancel).await, piece)
    }

    /// The tracks by the first and the last piece of each, unless ffprobe finds nothing in one of these.
    async fn together(&self, tracks: &[Track]) -> Result<Option<Vec<Observed>>, Error> {
        let unwritten = |source| Error::Read { path: "playlists of the proof".into(), source };
        let reels: Vec<_> = tracks.iter().map(Track::ends).collect();
        let master = playlist::master(&reels, self.scratch, "look").await.map_err(unwritten)?;
        let asked = media::probe_variants(self.tools, &master, self.limit, self.cancel).await;
        let Ok(mut variants) = judge(asked, &master)? else { return Ok(None) };
        let observed = (1..).zip(tracks).map(|(variant, track)| combine(track, variants.remove(&variant)?));
        Ok(observed.collect())
    }

    /// Which piece of a track cannot be read.
    async fn blame(&self, track: &Track) -> Result<Finding, Error> {
        for piece in track.ends().pieces {
            if let Err(finding) = self.probe(track.init.as_deref(), piece).await? {
                return Ok(finding.about(&track.name));
            }
        }
        Ok(Finding::error(Code::FfprobeFailed, "a segment at one end is empty").about(&track.name))
    }
}

fn judge<T>(answer: Result<T, ProbeError>, piece: &Path) -> Result<Result<T, Finding>, Error> {
    let name = piece.file_name().unwrap_or_default().to_string_lossy();
    match answer {
        Ok(media) => Ok(Ok(media)),
        Err(error @ (ProbeError::Unreadable(_) | ProbeError::Nonsense(_))) => {
            Ok(Err(Finding::error(Code::FfprobeFailed, format!("{name}: {error}"))))
        }
        Err(ProbeError::Start(source)) => Err(Error::Start(source)),
        Err(ProbeError::Killed(signal)) => Err(Error::Killed { program: "ffprobe", signal }),
        Err(ProbeError::TimedOut(limit)) => Err(Error::TimedOut(limit)),
        Err(ProbeError::Cancelled) => Err(Error::Cancelled),
    }
}

/// One track from its first and last piece; `None` when nothing is in one of them.
fn combine(track: &Track, variant: Variant) -> Option<Observed> {
    let Variant { media, pictures, sounds } = variant;
    let halves = |packets: &[Packet]| {
        let (first, last) = packets.split_at(packets.partition_point(|packet| packet.place < track.end_of_first));
        (span(first), span(last))
    };
    let (pictures, sounds) = (halves(&pictures), halves(&sounds));
    let begin = Timeline { video: pictures.0, audio: sounds.0, length: None };
    let finish = match track.pieces.len() {
        1 => begin,
        _ => Timeline { video: pictures.1, audio: sounds.1, length: None },
    };
    begin.video.or(begin.audio)?;
    // A stream that is not in the last piece has ended when that piece begins.
    let over = finish.video.or(finish.audio)?.start;
    let whole = |begin: Option<Span>, finish: Option<Span>| {
        begin.map(|begin| Span { start: begin.start, end: finish.map_or(Some(over), |span| span.end) })
    };
    let timeline =
        Timeline { video: whole(begin.video, finish.video), audio: whole(begin.audio, finish.audio), length: None };
    // MPEG-TS starts its clock anywhere. In MP4 zero is the start of the presentation, even if nothing is there.
    let timeline = if track.init.is_none() { timeline.to_zero() } else { timeline };
    let (first, last) = (begin.streams(), finish.streams());
    Some(Observed { video: media.video, audio: media.audio, timeline, first, last })
}

/// From the first moment of some packets to the last.
fn span(packets: &[Packet]) -> Option<Span> {
    let start = packets.iter().map(|packet| packet.start).reduce(f64::min)?;
    let end = packets.iter().map(|packet| packet.start + packet.length).reduce(f64::max);
    Some(Span { start, end })
}

/// When the streams of a file run, as its index tells. A stream without a start is not there.
fn spans(media: &Media) -> Timeline {
    let span = |start: Option<f64>, length: Option<f64>| {
        start.map(|start| Span { start, end: length.map(|length| start + length) })
    };
    let (video, audio) = (media.video.as_ref(), media.audio.as_ref());
    Timeline {
        video: video.and_then(|video| span(video.start, video.duration)),
        audio: audio.and_then(|audio| span(audio.start, audio.duration)),
        length: media.duration,
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::validator::timeline::Streams;

    const BOUNDARY: u64 = 100;

    fn packet(start: f64, place: u64) -> Packet {
        Packet { start, length: 0.5, place }
    }

    fn observed(pieces: usize, pictures: &[Packet], sounds: &[Packet]) -> Option<Observed> {
        let pieces = vec!["segment.ts".into(); pieces];
        let track = Track { pieces, end_of_first: BOUNDARY, ..Track::new(String::new(), Carries::Both, 0) };
        combine(&track, Variant { pictures: pictures.to_vec(), sounds: sounds.to_vec(), ..Variant::default() })
    }

    #[rstest]
    #[case::to_the_end(&[packet(10.0, 5), packet(40.0, 150)], Some(30.5))]
    #[case::somewhere_between(&[packet(10.0, 5)], Some(30.0))]
    fn a_stream_ends_in_the_last_piece_or_before_it(#[case] sounds: &[Packet], #[case] end: Option<f64>) {
        // Out of order, as pictures are stored.
        let pictures = [packet(10.5, 0), packet(10.0, 50), packet(40.5, 100), packet(40.0, 180)];
        let observed = observed(9, &pictures, sounds).expect("has both ends");
        let span = |end| Some(Span { start: 0.0, end });
        assert_eq!((observed.timeline.video, observed.timeline.audio), (span(Some(31.0)), span(end)));
        assert_eq!((observed.first, observed.last.audio), (Streams::ALL, sounds.len() == 2));
    }

    #[test]
    fn sound_that_is_not_in_the_first_piece_began_nobody_knows_when() {
        let observed = observed(9, &[packet(10.0, 0), packet(40.0, 100)], &[packet(40.0, 150)]).expect("both ends");
        assert_eq!((observed.timeline.audio, observed.first.audio, observed.last.audio), (None, false, true));
    }

    #[rstest]
    #[case::first(&[packet(40.0, 100)])]
    #[case::last(&[packet(10.0, 0)])]
    fn a_piece_without_packets_is_none(#[case] pictures: &[Packet]) {
        assert_eq!(observed(2, pictures, &[]), None);
    }
}
