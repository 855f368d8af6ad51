//! Counts what is in an output without decoding it: by the index of an MP4, by the packets of segments.

use std::path::Path;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::{
    proof::{self, SAMPLES_PER_PACKET, Track},
    tool::{self, Ended, Invocation, Tools},
    validator::{self, uri},
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

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    codec_type: Option<String>,
    nb_frames: Option<String>,
    nb_read_packets: Option<String>,
    sample_rate: Option<String>,
}

impl Stream {
    fn packets(&self) -> Option<u64> {
        self.nb_read_packets.as_ref().or(self.nb_frames.as_ref())?.parse().ok()
    }
}

/// Counts. Playlists are made in `folder`. What ffprobe cannot read is not counted: whether that matters, the validator
/// has said.
///
/// # Errors
/// When ffprobe cannot do its work.
pub(crate) async fn count(
    tools: &Tools,
    renditions: usize,
    tracks: &[Track],
    folder: &Path,
    limit: std::time::Duration,
    cancel: &CancellationToken,
) -> Result<Counts, validator::Error> {
    let mut counts = Counts { frames: vec![None; renditions], ..Counts::default() };
    for (number, track) in tracks.iter().enumerate() {
        let unreadable = |source| validator::Error::Read { path: format!("track {number}"), source };
        let file = proof::readable(track, number, folder).await.map_err(unreadable)?;
        // An index counts at once; segments have none.
        let has_index = track.init.is_none() && track.pieces.first() == Some(&file);
        for stream in ask(tools, &file, !has_index, limit, cancel).await?.streams {
            match (stream.codec_type.as_deref(), track.rendition) {
                (Some("video"), Some(rendition)) => counts.frames[rendition] = stream.packets(),
                (Some("audio"), _) if track.audio => {
                    counts.samples = stream.packets().map(|packets| packets.saturating_mul(SAMPLES_PER_PACKET));
                    counts.sample_rate = stream.sample_rate.and_then(|rate| rate.parse().ok());
                }
                (Some(_) | None, _) => {}
            }
        }
    }
    Ok(counts)
}

async fn ask(
    tools: &Tools,
    file: &Path,
    packets: bool,
    limit: std::time::Duration,
    cancel: &CancellationToken,
) -> Result<Answer, validator::Error> {
    let entries = "stream=codec_type,nb_frames,nb_read_packets,sample_rate";
    let mut args: Vec<_> = ["-v", "error", "-of", "json", "-show_entries", entries].map(Into::into).into();
    if packets {
        args.push("-count_packets".into());
    }
    args.extend(["-protocol_whitelist".into(), "file".into(), uri::file(file)]);
    let mut answer = Vec::new();
    let collect = |bytes: &[u8]| {
        if answer.len() < MAX_ANSWER {
            answer.extend_from_slice(bytes);
        }
    };
    let ffprobe = Invocation::new(&tools.ffprobe, args);
    let stop = validator::give_up(limit, cancel);
    match tool::run(&ffprobe, collect, stop).await.map_err(validator::Error::Start)? {
        (Ended::Exited(_), _) => Ok(serde_json::from_slice(&answer).unwrap_or(Answer { streams: Vec::new() })),
        (Ended::Stopped(error), _) => Err(error),
    }
}
