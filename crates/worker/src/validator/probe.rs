//! Asks ffprobe what an output's tracks are. Of many segments the first, the middle and the last are read: they
//! tell when the streams really begin and end, whatever a playlist says. One process reads those of all tracks, for its
//! start takes longer than the rest.

use std::{ffi::OsString, path::Path, slice, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Error,
    layout::Track,
    observed::Observed,
    report::{Code, Finding},
    uri,
};
use crate::{
    media::{self, Input, Media, ProbeError},
    playlist,
    tool::Tools,
};

/// What is shorter by less, in seconds, may just be rounded.
const HELD: f64 = 0.1;

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
        let alone = match tracks.len() {
            1 => None,
            _ => look.together(slice::from_ref(track)).await?.and_then(|mut alone| alone.pop()),
        };
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
        Ok(self.probe(None, file).await?.map(Observed::of_file))
    }

    async fn probe(&self, init: Option<&Path>, piece: &Path) -> Result<Result<Media, Finding>, Error> {
        let input = Input { args: input(init, &[piece]), proxy: None };
        judge(media::probe(self.tools, &input, self.limit, self.cancel).await, piece)
    }

    /// The tracks by some pieces of each, unless ffprobe finds nothing at one of the ends.
    async fn together(&self, tracks: &[Track]) -> Result<Option<Vec<Observed>>, Error> {
        let unwritten = |source| Error::Read { path: "playlists of the proof".into(), source };
        let reels: Vec<_> = tracks.iter().map(Track::reel).collect();
        let master = playlist::master(&reels, self.scratch, "look").await.map_err(unwritten)?;
        let asked = media::probe_variants(self.tools, &master, self.limit, self.cancel).await;
        let Ok(mut variants) = judge(asked, &master)? else { return Ok(None) };
        let mut all = Vec::new();
        for (number, track) in (1..).zip(tracks) {
            let observed = variants.remove(&number).and_then(|variant| Observed::of_segments(track, variant));
            let Some(observed) = observed else { return Ok(None) };
            all.push(self.with_held_frame(track, observed).await?);
        }
        Ok(Some(all))
    }

    /// Which piece of a track cannot be read.
    async fn blame(&self, track: &Track) -> Result<Finding, Error> {
        for piece in track.reel().pieces {
            if let Err(finding) = self.probe(track.init.as_deref(), piece).await? {
                return Ok(finding.about(&track.name));
            }
        }
        Ok(Finding::error(Code::FfprobeFailed, "its segments cannot be read as one stream").about(&track.name))
    }

    /// A last frame that stands for long is as long as the others in the packets of ffprobe 6.1 to 7.1, though its fragment
    /// says otherwise. Where a track seems too short, that fragment is asked.
    async fn with_held_frame(&self, track: &Track, observed: Observed) -> Result<Observed, Error> {
        let (Some(missing), Some(last)) = (observed.missing(track), track.pieces.last()) else { return Ok(observed) };
        if missing < HELD {
            return Ok(observed);
        }
        Ok(match self.probe(track.init.as_deref(), last).await? {
            Ok(fragment) => observed.held_to(track, &fragment),
            Err(_) => observed,
        })
    }
}

fn judge<T>(answer: Result<T, ProbeError>, piece: &Path) -> Result<Result<T, Finding>, Error> {
    let name = piece.file_name().unwrap_or_default().to_string_lossy();
    match answer {
        Ok(media) => Ok(Ok(media)),
        Err(error @ (ProbeError::Unreadable(_) | ProbeError::Endless(_) | ProbeError::Nonsense(_))) => {
            Ok(Err(Finding::error(Code::FfprobeFailed, format!("{name}: {error}"))))
        }
        Err(error @ ProbeError::Unusable(_)) => Err(Error::Start(std::io::Error::other(error))),
        Err(ProbeError::Start(source)) => Err(Error::Start(source)),
        Err(ProbeError::Killed(signal)) => Err(Error::Killed { program: "ffprobe", signal }),
        Err(ProbeError::TimedOut(limit)) => Err(Error::TimedOut(limit)),
        Err(ProbeError::Cancelled) => Err(Error::Cancelled),
    }
}
