//! Which checks an output has passed. Pure.

use preset::{Packaging, Preset};

use crate::{media::Media, validator::Level};

/// How frames were proved to be all there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Frames {
    /// They are as many as were encoded.
    Counted,
    /// Each one, from so many chunks.
    OfChunks(usize),
}

/// Name and detail of each check, in their order.
pub(super) fn made(
    preset: &Preset,
    source: &Media,
    level: Level,
    frames: Option<Frames>,
) -> Vec<(&'static str, String)> {
    let renditions = match preset.renditions.len() {
        1 => "1 rendition".to_owned(),
        count => format!("{count} renditions"),
    };
    let mut checks = vec![("layout", "every file is there and has content".to_owned())];
    match preset.packaging {
        Packaging::Mp4 => {}
        Packaging::Hls { .. } => {
            checks.push(("playlists", format!("RFC 8216: segments of {renditions} add up and agree")));
        }
        Packaging::Dash { .. } => {
            checks.push(("manifest", format!("ISO/IEC 23009-1: segments of {renditions} add up and agree")));
        }
    }
    checks.push(("streams", format!("codecs, sizes, rates and lengths of {renditions}")));
    if preset.audio.is_some() && source.audio.is_some() {
        checks.push(("sync", "start and end of sound and picture".to_owned()));
    }
    match level {
        Level::Minimal => {}
        Level::Standard => checks.push(("decode", "a second of the start, the middle and the end".to_owned())),
        Level::Strict => checks.push(("decode", "everything".to_owned())),
    }
    match frames {
        None => {}
        Some(Frames::Counted) => {
            let by =
                if preset.packaging == Packaging::Mp4 { "the file's index" } else { "the packets of all segments" };
            checks.push(("frames", format!("as many as were encoded, in {renditions}, by {by}")));
        }
        Some(Frames::OfChunks(chunks)) => {
            checks.push(("parts", format!("SHA-256 of every file of {chunks} chunks")));
            checks
                .push(("seams", format!("order, time and hash of every coded frame of {renditions}, {chunks} chunks")));
        }
    }
    checks
}
