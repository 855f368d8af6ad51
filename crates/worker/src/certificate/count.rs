//! Counts what is in segments without decoding them, by their packets.

use std::{collections::BTreeMap, ffi::OsString, iter, path::Path, time::Duration};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::Survey;
use crate::{
    media::Index,
    playlist::{self, Reel},
    proof::{SAMPLES_PER_PACKET, Track},
    tool::{self, Ended, Invocation, Tools},
    validator,
};

/// ffprobe's answer is a few hundred bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// What is in an output; `None` where it cannot be counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Frames of each rendition.
    pub(crate) frames: Vec<Option<u64>>,
    /// Samples of the sound, as they are coded.
    pub(crate) samples: Option<u64>,
    /// Samples a second; there if there is sound.
    pub(crate) sample_rate: Option<u32>,
}

impl Counts {
    /// Whether the frames of so many renditions are known.
    pub(crate) fn has_all_frames(&self, renditions: usize) -> bool {
        self.frames.len() == renditions && self.frames.iter().all(Option::is_some)
    }

    /// Of a single file, which has one rendition.
    pub(crate) fn of_file(Index { frames, sounds, sample_rate }: Index) -> Self {
        Self { frames: vec![frames], samples: sounds.map(samples), sample_rate }
    }
}

/// Samples in so many packets of sound.
fn samples(packets: u64) -> u64 {
    packets.saturating_mul(SAMPLES_PER_PACKET)
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    codec_type: Option<String>,
    nb_read_packets: Option<String>,
    sample_rate: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

impl Stream {
    /// ffprobe does not tell that it has read none.
    fn packets(&self) -> Option<u64> {
        self.nb_read_packets.as_ref().map_or(Some(0), |packets| packets.parse().ok())
    }
}

/// Packets of the streams in some files; `None` where there is no such stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    video: Option<u64>,
    audio: Option<u64>,
    sample_rate: Option<u32>,
}

impl Tally {
    /// `None` where a stream's packets are not told, or nothing is.
    fn of(streams: &[Stream]) -> Option<Self> {
        let mut tally = Self::default();
        for stream in streams {
            match stream.codec_type.as_deref() {
                Some("video") => tally.video = Some(stream.packets()?),
                Some("audio") => {
                    tally.audio = Some(stream.packets()?);
                    tally.sample_rate = stream.sample_rate.as_ref().and_then(|rate| rate.parse().ok());
                }
                Some(_) | None => {}
            }
        }
        (!streams.is_empty()).then_some(tally)
    }

    /// Of more files of the same streams. What is not in all of them is not known.
    fn plus(self, more: Self) -> Self {
        let plus = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
        Self {
            video: plus(self.video, more.video),
            audio: plus(self.audio, more.audio),
            sample_rate: self.sample_rate.or(more.sample_rate),
        }
    }
}

/// Counts what was not counted before. Playlists are made in `folder`. What ffprobe cannot read is not counted: whether
/// that matters, the validator has said.
///
/// # Errors
/// When ffprobe cannot do its work.
pub(crate) async fn count(
    tools: &Tools,
    renditions: usize,
    tracks: &[Track],
    survey: &Survey,
    folder: &Path,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Counts, validator::Error> {
    let mut counts = Counts { frames: vec![None; renditions], ..Counts::default() };
    let parts: Vec<_> = tracks.iter().map(|track| survey.part(track)).collect();
    let left: Vec<_> = parts.iter().map(|(_, left)| left).filter(|left| !left.pieces.is_empty()).collect();
    let mut left_tallies = tallies(tools, &left, folder, limit, cancel).await?.into_iter();
    for (track, (mut counted, left)) in tracks.iter().zip(parts) {
        let is_counted = left.pieces.is_empty() || {
            let tally = left_tallies.next().flatten();
            counted.extend(tally);
            tally.is_some()
        };
        let total = counted.into_iter().reduce(Tally::plus).filter(|_| is_counted).unwrap_or_default();
        if let Some(rendition) = track.rendition {
            counts.frames[rendition] = total.video;
        }
        if track.audio {
            counts.samples = total.audio.map(samples);
            counts.sample_rate = total.sample_rate;
        }
    }
    Ok(counts)
}

/// Counts the files of some tracks, each of which has some; `None` where that cannot be done.
///
/// # Errors
/// When ffprobe cannot do its work.
pub(super) async fn tallies(
    tools: &Tools,
    tracks: &[&Track],
    folder: &Path,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Vec<Option<Tally>>, validator::Error> {
    let reels: Vec<_> = tracks.iter().map(|track| track.reel()).collect();
    if reels.is_empty() { Ok(Vec::new()) } else { segments(tools, &reels, folder, limit, cancel).await }
}

/// Counts the packets of segments. Transport streams of all tracks are read by one process: its start takes as long as to
/// count a dozen segments. A fragment that cannot be read would end the other tracks, too, and nobody would be told.
async fn segments(
    tools: &Tools,
    reels: &[Reel<'_>],
    folder: &Path,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Vec<Option<Tally>>, validator::Error> {
    let at_once = if reels.iter().any(|reel| reel.init.is_some()) { 1 } else { reels.len() };
    let mut tallies = Vec::new();
    for (number, group) in reels.chunks(at_once).enumerate() {
        let unwritten = |source| validator::Error::Read { path: "playlists of the count".into(), source };
        let master = playlist::master(group, folder, &format!("count{number}")).await.map_err(unwritten)?;
        let input: Vec<_> = iter::once("-count_packets".into()).chain(playlist::input(&master)).collect();
        let mut variants = BTreeMap::<usize, Vec<Stream>>::new();
        for stream in ask(tools, &input, limit, cancel).await? {
            let variant = stream.tags.get("variant_bitrate").and_then(|number| number.parse().ok());
            variants.entry(variant.unwrap_or_default()).or_default().push(stream);
        }
        tallies.extend((1..=group.len()).map(|variant| Tally::of(variants.get(&variant)?)));
    }
    Ok(tallies)
}

/// The streams of an input, none where ffprobe cannot read it.
async fn ask(
    tools: &Tools,
    input: &[OsString],
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Vec<Stream>, validator::Error> {
    let entries = "stream=codec_type,nb_read_packets,sample_rate:stream_tags=variant_bitrate";
    let mut args: Vec<_> = ["-v", "error", "-of", "json", "-show_entries", entries].map(Into::into).into();
    args.extend_from_slice(input);
    let mut answer = Vec::new();
    let collect = |bytes: &[u8]| {
        if answer.len() < MAX_ANSWER {
            answer.extend_from_slice(bytes);
        }
    };
    let ffprobe = Invocation::new(&tools.ffprobe, args);
    let stop = validator::give_up(limit, cancel);
    match tool::run(&ffprobe, collect, stop).await.map_err(validator::Error::Start)? {
        (Ended::Exited(status), _) if status.success() => {
            Ok(serde_json::from_slice::<Answer>(&answer).map(|answer| answer.streams).unwrap_or_default())
        }
        (Ended::Exited(_), _) => Ok(Vec::new()),
        (Ended::Stopped(error), _) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::counted(r#"{"codec_type":"video","nb_read_packets":"7"}"#, "known Some(7)")]
    #[case::none_read(r#"{"codec_type":"video"}"#, "known Some(0)")]
    #[case::other(r#"{"codec_type":"data"}"#, "known None")]
    #[case::nothing("", "unknown")]
    fn packets_are_known_or_not(#[case] stream: &str, #[case] video: &str) {
        let answer: Answer = serde_json::from_str(&format!("{{\"streams\":[{stream}]}}")).expect("parses");
        let tally = Tally::of(&answer.streams);
        assert_eq!(tally.map_or_else(|| "unknown".to_owned(), |tally| format!("known {:?}", tally.video)), video);
    }

    #[test]
    fn what_is_not_in_all_files_is_not_known() {
        let both = Tally { video: Some(1), audio: Some(2), sample_rate: Some(48_000) };
        assert_eq!(both.plus(both), Tally { video: Some(2), audio: Some(4), ..both });
        assert_eq!(both.plus(Tally { audio: None, ..both }).audio, None);
        assert_eq!(Tally { audio: None, ..both }.plus(both).audio, None);
    }
}
