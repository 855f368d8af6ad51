//! When sound and picture begin and end, in seconds from the start of the presentation. Pure.

use crate::media::Media;

/// From when to when a stream runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    /// Its first moment.
    pub(super) start: f64,
    /// Its last moment; `None` where the container does not tell.
    pub(super) end: Option<f64>,
}

/// Which streams there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Streams {
    /// A picture.
    pub(super) video: bool,
    /// Sound.
    pub(super) audio: bool,
}

/// When each stream runs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Timeline {
    /// The picture.
    pub(super) video: Option<Span>,
    /// The sound.
    pub(super) audio: Option<Span>,
    /// End of the whole.
    pub(super) length: Option<f64>,
}

impl Streams {
    /// Picture and sound.
    pub(super) const ALL: Self = Self { video: true, audio: true };
}

impl Span {
    /// Length in seconds.
    pub(super) fn length(self) -> Option<f64> {
        self.end.map(|end| end - self.start)
    }

    fn shifted(self, by: f64) -> Self {
        Self { start: self.start + by, end: self.end.map(|end| end + by) }
    }

    fn capped(self, length: Option<f64>) -> Self {
        Self { start: self.start, end: self.end.map(|end| length.map_or(end, |length| end.min(length))) }
    }
}

impl Timeline {
    /// What a container tells. The presentation starts with its first stream; no stream ends after the container:
    /// Matroska's tag for a stream's length may count from the start of the file.
    pub(super) fn of(media: &Media) -> Self {
        let span = |start: Option<f64>, length: Option<f64>| {
            let start = start.unwrap_or(0.0);
            Span { start, end: length.map(|length| start + length) }
        };
        let timeline = Self {
            video: media.video.as_ref().map(|video| span(video.start, video.duration)),
            audio: media.audio.as_ref().map(|audio| span(audio.start, audio.duration)),
            length: None,
        };
        timeline.to_zero().with_length(media.duration)
    }

    /// When a container's first stream starts, by its own clock.
    pub(super) fn first_start(media: &Media) -> Option<f64> {
        let starts =
            [media.video.as_ref().and_then(|video| video.start), media.audio.as_ref().and_then(|audio| audio.start)];
        starts.into_iter().flatten().reduce(f64::min)
    }

    /// Moves the first stream's start to zero.
    pub(super) fn to_zero(self) -> Self {
        let start = self.starts().reduce(f64::min).unwrap_or(0.0);
        let shift = |span: Span| span.shifted(-start);
        Self { video: self.video.map(shift), audio: self.audio.map(shift), length: self.length }
    }

    /// How much later the sound starts, and ends, than the picture.
    pub(super) fn offsets(&self) -> Option<(f64, Option<f64>)> {
        let (video, audio) = (self.video?, self.audio?);
        Some((audio.start - video.start, audio.end.zip(video.end).map(|(audio, video)| audio - video)))
    }

    /// Which streams have anything in it.
    pub(super) fn streams(&self) -> Streams {
        Streams { video: self.video.is_some(), audio: self.audio.is_some() }
    }

    /// The end of the last stream, or else of the container.
    pub(super) fn end(&self) -> Option<f64> {
        let ends = || [self.video, self.audio].into_iter().flatten().map(|span| span.end);
        let known = ends().collect::<Option<Vec<_>>>().and_then(|ends| ends.into_iter().reduce(f64::max));
        known.or(self.length)
    }

    fn with_length(self, length: Option<f64>) -> Self {
        let cap = |span: Span| span.capped(length);
        Self { video: self.video.map(cap), audio: self.audio.map(cap), length }
    }

    fn starts(&self) -> impl Iterator<Item = f64> {
        [self.video, self.audio].into_iter().flatten().map(|span| span.start)
    }
}
