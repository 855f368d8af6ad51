//! Compares a joined output with the marks of its parts.

use std::{
    io,
    path::{Path, PathBuf},
    slice,
};

use preset::Packaging;
use proto::v1::Plan;

use super::{
    Error, Kind, SAMPLES_PER_PACKET,
    expected::{Packets, Pictures, Range},
    follow::Follower,
    list_of, marks, moment, open,
    time::Time,
};
use crate::{
    encoder::{self, Limits, join::first_frame},
    media::FrameRate,
    permit::Permit,
    playlist::{self, Reel},
    tool::Tools,
};

/// How far a packet of sound may be off: streams of sound are counted in samples, containers round. A packet lasts twenty
/// times as long.
const SOUND_TOLERANCE: (i128, i128) = (1, 1000);

/// Part of a second that the clock of a whole MP4 file counts.
const MOVIE_TICK: (i128, i128) = (1, 1000);

/// How many marks are compared between two looks at the permit.
const LOOK: u32 = 4096;

/// The lists of a job's parts.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// Which frames they hold. Its rate is not zero.
    pub(crate) plan: Plan,
    /// For each rendition the lists of the chunks, in order.
    pub(crate) video: Vec<Vec<PathBuf>>,
    /// The list of the sound.
    pub(crate) audio: Option<PathBuf>,
}

/// Files of an output that are played one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Track {
    /// What each needs in front.
    pub(crate) init: Option<PathBuf>,
    /// The files.
    pub(crate) pieces: Vec<PathBuf>,
    /// Which rendition's picture is in it.
    pub(crate) rendition: Option<usize>,
    /// Whether sound is in it.
    pub(crate) audio: bool,
}

impl Track {
    /// Its files, in order.
    pub(crate) fn reel(&self) -> Reel<'_> {
        Reel { init: self.init.as_deref(), pieces: self.pieces.iter().map(AsRef::as_ref).collect() }
    }
}

/// What was found, all as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proved {
    /// Frames of each rendition.
    pub(crate) frames: Vec<u64>,
    /// Samples of the sound, as they are coded: with what the encoder adds at both ends.
    pub(crate) samples: Option<u64>,
}

/// Reads an output back and compares it with its parts. Lists are made in `folder`.
///
/// # Errors
/// What is not as it should be, or why that cannot be told.
pub(crate) async fn prove(
    tools: &Tools,
    packaging: Packaging,
    parts: &Parts,
    tracks: &[Track],
    folder: &Path,
    limits: &Limits,
    permit: &Permit,
) -> Result<Proved, Error> {
    let transport_stream = matches!(packaging, Packaging::Hls { .. });
    let mut files = Vec::new();
    for (number, track) in tracks.iter().enumerate() {
        let file = readable(track, number, folder).await.map_err(|error| Error::Tool(encoder::Error::Io(error)))?;
        files.push((file, list_of(folder, number)));
    }
    let kind = Kind::Output { transport_stream };
    match marks(tools, &files, kind, limits, permit).await {
        Err(Error::Unreadable { .. }) if files.len() > 1 => {
            // One of them is to blame.
            for file in &files {
                marks(tools, slice::from_ref(file), kind, limits, permit).await?;
            }
        }
        made => made?,
    }
    let comparison = Comparison {
        parts: parts.clone(),
        tracks: tracks.to_vec(),
        folder: folder.to_owned(),
        packaging,
        permit: permit.clone(),
    };
    tokio::task::spawn_blocking(move || comparison.run()).await.map_err(|_| Error::Crashed)?
}

/// One file that ffmpeg reads a track by: its only one, or a playlist over all, so that they are opened one by one.
async fn readable(track: &Track, number: usize, folder: &Path) -> io::Result<PathBuf> {
    if let ([file], None) = (track.pieces.as_slice(), &track.init) {
        return Ok(file.clone());
    }
    let path = folder.join(format!("track-{number}.m3u8"));
    playlist::media(&track.reel(), &path).await?;
    Ok(path)
}

struct Comparison {
    parts: Parts,
    tracks: Vec<Track>,
    folder: PathBuf,
    packaging: Packaging,
    permit: Permit,
}

impl Comparison {
    fn run(&self) -> Result<Proved, Error> {
        let mut proved = Proved { frames: vec![0; self.parts.video.len()], samples: None };
        for (number, track) in self.tracks.iter().enumerate() {
            let (frames, packets) = self.track(number, track)?;
            if let Some(found) = track.rendition.and_then(|rendition| proved.frames.get_mut(rendition)) {
                *found = frames;
            }
            if track.audio {
                proved.samples = Some(packets.saturating_mul(SAMPLES_PER_PACKET));
            }
        }
        if self.parts.audio.is_some() != proved.samples.is_some() || proved.frames.contains(&0) {
            return Err(Error::split("the output has not all of the streams"));
        }
        Ok(proved)
    }

    /// Answers how many pictures and packets of sound are in it.
    fn track(&self, number: usize, track: &Track) -> Result<(u64, u64), Error> {
        let name = || format!("track {number} of the output");
        let mut found = open(&list_of(&self.folder, number), name)?;
        let (video, audio) = (found.find("video"), found.find("audio"));
        let ranges = self.ranges();
        let tick = video.and_then(|video| found.stream(video)).map_or_else(Time::default, |stream| stream.tick);
        let mut pictures = track.rendition.map(|rendition| self.pictures(rendition, &ranges, tick)).transpose()?;
        let mut packets = self.parts.audio.as_ref().filter(|_| track.audio).map(|list| packets(list)).transpose()?;
        let first = self.shift(number, video.or(audio), pictures.as_ref().or(packets.as_ref()))?;
        let (picture_shift, sound_shift) = self.allowed(first);
        pictures = pictures.map(|one| one.shifted(picture_shift));
        packets = packets.map(|one| one.shifted(sound_shift));
        let mut until_look = LOOK;
        while let Some(mark) = found.next().map_err(|error| Error::marks(name(), error))? {
            until_look -= 1;
            if until_look == 0 {
                until_look = LOOK;
                if self.permit.is_over() {
                    return Err(Error::Cancelled);
                }
            }
            let follower = if Some(mark.stream) == video { &mut pictures } else { &mut packets };
            match follower {
                Some(follower) => follower.take(&mark)?,
                None => return Err(Error::split(format!("{}: holds what does not belong there", name()))),
            }
        }
        let finish = |follower: Option<Follower<'_>>| follower.map_or(Ok(0), Follower::finish);
        Ok((finish(pictures)?, finish(packets)?))
    }

    fn rate(&self) -> FrameRate {
        let grid = self.parts.plan.grid.unwrap_or_default();
        FrameRate { numerator: grid.rate_numerator, denominator: grid.rate_denominator }
    }

    fn ranges(&self) -> Vec<Range> {
        let range = |chunk: &proto::v1::Chunk| Range { first: chunk.first_frame, frames: chunk.frames };
        self.parts.plan.chunks.iter().map(range).collect()
    }

    fn pictures<'a>(&'a self, rendition: usize, ranges: &'a [Range], tick: Time) -> Result<Follower<'a>, Error> {
        let rate = self.rate();
        let frame = Time::new(rate.denominator.into(), rate.numerator.into());
        let start = self.parts.plan.grid.map_or(0, |grid| grid.start_us);
        let start = moment(first_frame(self.packaging, rate, start));
        let lists = self.parts.video.get(rendition).map_or(&[][..], Vec::as_slice);
        let open = |chunk: usize| {
            let name = || format!("chunk {chunk}");
            let list = lists.get(chunk).ok_or_else(|| Error::split(format!("chunk {chunk} has no marks")))?;
            open(list, name)
        };
        let tolerance = match self.packaging {
            Packaging::Dash { .. } => tick.half(),
            // All of it may be shifted, and the shift is rounded, too.
            Packaging::Hls { .. } | Packaging::Mp4 => tick,
        };
        Follower::new(Pictures::new(ranges, frame, start, open), tolerance)
    }

    /// How much later all pictures and all sound of a track may be when its first mark is so much later than expected.
    fn allowed(&self, first: Time) -> (Time, Time) {
        match self.packaging {
            // Transport streams begin anywhere on their clock.
            Packaging::Hls { .. } => (first, first),
            // An edit list tells where the picture begins, on the clock of the whole file.
            Packaging::Mp4 if first.size() <= moment(MOVIE_TICK) => (first, Time::default()),
            Packaging::Mp4 | Packaging::Dash { .. } => (Time::default(), Time::default()),
        }
    }

    /// How much later all of a track is, by the first mark of one of its streams.
    fn shift(&self, number: usize, stream: Option<usize>, along: Option<&Follower<'_>>) -> Result<Time, Error> {
        let name = || format!("track {number} of the output");
        let mut found = open(&list_of(&self.folder, number), name)?;
        while let Some(mark) = found.next().map_err(|error| Error::marks(name(), error))? {
            if Some(mark.stream) == stream {
                return Ok(along.map_or_else(Time::default, |follower| follower.shift_of(&mark)));
            }
        }
        Ok(Time::default())
    }
}

fn packets(list: &Path) -> Result<Follower<'static>, Error> {
    Follower::new(Packets::new(open(list, || "audio".to_owned())?), moment(SOUND_TOLERANCE))
}
