//! What ffprobe found in a track, put together from some of its segments. Pure.

use super::{
    layout::{Carries, Track},
    timeline::{Span, Streams, Timeline},
};
use crate::media::{Audio, Index, Media, Packet, Variant, Video};

/// How far two readings of one moment may be apart, in seconds.
const SAME: f64 = 0.05;

/// What a track is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Observed {
    /// The picture.
    pub(super) video: Option<Video>,
    /// The sound.
    pub(super) audio: Option<Audio>,
    /// When they run.
    pub(super) timeline: Timeline,
    /// What has anything in each piece that was looked at.
    pub(super) pieces: Vec<Streams>,
    /// How much is in a file that stands alone.
    pub(super) index: Option<Index>,
}

impl Observed {
    /// A file that stands alone, by its index.
    pub(super) fn of_file(media: Media) -> Self {
        let timeline = index(&media);
        let Media { video, audio, index, .. } = media;
        Self { video, audio, timeline, pieces: vec![timeline.streams()], index: Some(index) }
    }

    /// A track by the packets of [`Track::reel`]; `None` when nothing is in its first or in its last segment.
    pub(super) fn of_segments(track: &Track, variant: Variant) -> Option<Self> {
        let Variant { media, pictures, sounds } = variant;
        let (mut start, mut pieces) = (0, Vec::new());
        let mut end = track.init_size;
        for number in track.samples() {
            end += track.sizes.get(number)?;
            let span = |packets: &[Packet]| span(packets.iter().filter(|packet| (start..end).contains(&packet.place)));
            pieces.push(Timeline { video: span(&pictures), audio: span(&sounds), length: None });
            start = end;
        }
        let (begin, finish) = (pieces.first()?, pieces.last()?);
        begin.video.or(begin.audio)?;
        // A stream that is not in the last piece has ended when that piece begins.
        let over = finish.video.or(finish.audio)?.start;
        let whole = |begin: Option<Span>, finish: Option<Span>| {
            begin.map(|begin| Span { start: begin.start, end: finish.map_or(Some(over), |span| span.end) })
        };
        let (video, audio) = (whole(begin.video, finish.video), whole(begin.audio, finish.audio));
        let timeline = Timeline { video, audio, length: None };
        // MPEG-TS starts its clock anywhere. In MP4 zero is the start of the presentation, even if nothing is there.
        let timeline = if track.init.is_none() { timeline.to_zero() } else { timeline };
        let pieces = pieces.iter().map(Timeline::streams).collect();
        Some(Self { video: media.video, audio: media.audio, timeline, pieces, index: None })
    }

    /// Length of the whole in seconds.
    pub(super) fn length(&self) -> Option<f64> {
        self.timeline.end()
    }

    /// By how many seconds a track of fragments ends before its manifest says.
    pub(super) fn missing(&self, track: &Track) -> Option<f64> {
        let span = self.only(track)?;
        Some(span.start + track.declared_length? - span.end?)
    }

    /// As long as the manifest says, if the last fragment alone says so, too. The length that ffprobe tells of a fragment
    /// counts from the fragment's own start, from the start of the stream, or from the start of the presentation.
    pub(super) fn held_to(mut self, track: &Track, fragment: &Media) -> Self {
        let alone = index(fragment);
        let promised =
            self.only(track).zip(track.declared_length).map(|(span, length)| (span.start, span.start + length));
        let (Some((start, promised)), Some(span)) = (promised, alone.video.or(alone.audio)) else { return self };
        let readings = [span.end, span.length(), span.length().map(|length| start + length)];
        if readings.into_iter().flatten().any(|reading| (reading - promised).abs() < SAME) {
            let held = |span: &mut Span| span.end = Some(promised);
            self.timeline.video.iter_mut().chain(&mut self.timeline.audio).for_each(held);
        }
        self
    }

    /// The only stream of a track of fragments.
    fn only(&self, track: &Track) -> Option<Span> {
        track.init.as_ref().and(self.timeline.video.xor(self.timeline.audio))
    }
}

/// From the first moment of some packets to the last.
fn span<'a>(packets: impl Iterator<Item = &'a Packet> + Clone) -> Option<Span> {
    let start = packets.clone().map(|packet| packet.start).reduce(f64::min)?;
    Some(Span { start, end: packets.map(|packet| packet.start + packet.length).reduce(f64::max) })
}

/// When the streams of a file run, as its index tells. A stream without a start is not there.
fn index(media: &Media) -> Timeline {
    let span = |start: Option<f64>, length: Option<f64>| {
        start.map(|start| Span { start, end: length.map(|length| start + length) })
    };
    let (video, audio) = (media.video.as_ref(), media.audio.as_ref());
    let picture = video.and_then(|video| span(video.start, video.duration));
    Timeline {
        video: picture.map(|span| if audio.is_none() { until(span, media.duration) } else { span }),
        audio: audio.and_then(|audio| span(audio.start, audio.duration)),
        length: media.duration,
    }
}

/// What is alone in its container lasts as long as that. ffprobe adds up decoding times, and where frames are rare and
/// out of order the last of them is shown much later.
fn until(span: Span, length: Option<f64>) -> Span {
    Span { end: span.end.map(|end| length.map_or(end, |length| end.max(length))), ..span }
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

    fn packet(start: f64, place: u64) -> Packet {
        Packet { start, length: 0.5, place }
    }

    /// Segments of a hundred bytes.
    fn track(pieces: usize, init: bool) -> Track {
        let init_size = if init { 10 } else { 0 };
        Track {
            pieces: vec!["segment".into(); pieces],
            sizes: vec![100; pieces],
            init: init.then(|| "init".into()),
            init_size,
            ..Track::new(String::new(), Carries::Both, 0)
        }
    }

    fn observed(pieces: usize, pictures: &[Packet], sounds: &[Packet]) -> Option<Observed> {
        let variant = Variant { pictures: pictures.to_vec(), sounds: sounds.to_vec(), ..Variant::default() };
        Observed::of_segments(&track(pieces, false), variant)
    }

    #[rstest]
    #[case::to_the_end(&[packet(10.0, 5), packet(40.0, 250)], 30.5, [true, false, true])]
    #[case::somewhere_between(&[packet(10.0, 5), packet(20.0, 160)], 30.0, [true, true, false])]
    fn a_stream_ends_in_the_last_piece_or_before_it(
        #[case] sounds: &[Packet],
        #[case] end: f64,
        #[case] heard: [bool; 3],
    ) {
        // Out of order, as pictures are stored.
        let pictures = [packet(10.5, 0), packet(10.0, 99), packet(40.5, 200), packet(40.0, 280)];
        let observed = observed(9, &pictures, sounds).expect("has both ends");
        let span = |end| Some(Span { start: 0.0, end: Some(end) });
        assert_eq!((observed.timeline.video, observed.timeline.audio), (span(31.0), span(end)));
        let piece = |(video, audio)| Streams { video, audio };
        assert_eq!(observed.pieces, [true, false, true].into_iter().zip(heard).map(piece).collect::<Vec<_>>());
    }

    #[test]
    fn sound_that_is_not_in_the_first_piece_began_nobody_knows_when() {
        let observed = observed(2, &[packet(10.0, 0), packet(40.0, 100)], &[packet(40.0, 150)]).expect("both ends");
        assert_eq!(observed.timeline.audio, None);
        assert_eq!(observed.pieces, [Streams { video: true, audio: false }, Streams::ALL]);
    }

    #[rstest]
    #[case::first(&[packet(40.0, 100)])]
    #[case::last(&[packet(10.0, 0)])]
    fn a_piece_at_the_end_without_packets_is_none(#[case] pictures: &[Packet]) {
        assert_eq!(observed(2, pictures, &[]), None);
    }

    #[rstest]
    #[case::alone(None, 3.0)]
    #[case::with_sound(Some(Audio { index: 1, codec: "aac".into(), channels: Some(1), start: Some(0.0), duration: None }), 1.05)]
    fn a_picture_that_is_alone_lasts_as_long_as_its_container(#[case] audio: Option<Audio>, #[case] expected: f64) {
        let video = Video { start: Some(0.0), duration: Some(1.05), ..Video::sized(320, 180) };
        let media = Media { video: Some(video), audio, duration: Some(3.0), ..Media::default() };
        let end = index(&media).video.and_then(|span| span.end).expect("known");
        assert!((end - expected).abs() < 1e-9, "{end}");
    }

    #[rstest]
    #[case::from_its_own_start(5.2, 1.0, 6.2)]
    #[case::from_the_stream_s_start(5.2, 5.0, 6.2)]
    #[case::from_the_presentation_s_start(5.2, 6.2, 6.2)]
    #[case::cut(5.2, 4.2, 5.7)]
    fn a_last_frame_stands_as_long_as_its_fragment_and_the_manifest_say(
        #[case] start: f64,
        #[case] length: f64,
        #[case] expected: f64,
    ) {
        let track = Track { declared_length: Some(5.0), ..track(2, true) };
        let pictures = vec![packet(1.2, 10), packet(5.2, 110)];
        let seen = Observed::of_segments(&track, Variant { pictures, ..Variant::default() }).expect("both ends");
        assert!(seen.missing(&track).is_some_and(|missing| (missing - 0.5).abs() < 1e-9));
        let video = Video { start: Some(start), duration: Some(length), ..Video::sized(320, 180) };
        let fragment = Media { video: Some(video), ..Media::default() };
        let end = seen.held_to(&track, &fragment).length().expect("known");
        assert!((end - expected).abs() < 1e-9, "{end}");
    }
}
