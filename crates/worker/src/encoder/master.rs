//! The master playlist of an HLS ladder: ffmpeg's, with bandwidths that are true.
//!
//! ffmpeg knows the bit rates that were asked for; RFC 8216 section 4.3.4.2 wants the peak segment's, and players choose
//! a rendition by it. So both bandwidths are computed from the segments' sizes.

use std::{fs, io, path::Path};

use m3u8_rs::{MasterPlaylist, MediaPlaylist};

/// Name of the master playlist.
pub(super) const FILE: &str = "master.m3u8";

/// Completes the master playlist below `directory`.
pub(super) fn rewrite(directory: &Path) -> Result<(), String> {
    let path = directory.join(FILE);
    let text = read(&path)?;
    let mut master: MasterPlaylist =
        m3u8_rs::parse_master_playlist_res(&text).map_err(|_| "cannot be read".to_owned())?;
    for variant in &mut master.variants {
        let playlist = directory.join(&variant.uri);
        let text = read(&playlist)?;
        let media = m3u8_rs::parse_media_playlist_res(&text).map_err(|_| format!("{}: cannot be read", variant.uri))?;
        let sizes = sizes(&media, playlist.parent().unwrap_or(directory)).map_err(|error| error.to_string())?;
        let bandwidth = Bandwidth::of(&sizes);
        variant.bandwidth = bandwidth.peak;
        variant.average_bandwidth = Some(bandwidth.average);
    }
    master.independent_segments = true;
    let mut bytes = Vec::new();
    master.write_to(&mut bytes).map_err(|error| error.to_string())?;
    fs::write(&path, bytes).map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Seconds and bytes of each segment.
fn sizes(media: &MediaPlaylist, directory: &Path) -> io::Result<Vec<(f64, u64)>> {
    let size = |segment: &m3u8_rs::MediaSegment| {
        let bytes = fs::metadata(directory.join(&segment.uri))?.len();
        Ok((f64::from(segment.duration), bytes))
    };
    media.segments.iter().map(size).collect()
}

/// In bit/s.
#[derive(Debug, PartialEq, Eq)]
struct Bandwidth {
    peak: u64,
    average: u64,
}

impl Bandwidth {
    fn of(segments: &[(f64, u64)]) -> Self {
        let (mut seconds, mut bytes, mut peak) = (0.0, 0, 0);
        for &(duration, size) in segments {
            seconds += duration;
            bytes += size;
            peak = peak.max(rate(size, duration));
        }
        Self { peak, average: rate(bytes, seconds) }
    }
}

fn rate(bytes: u64, seconds: f64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "exact up to a petabyte")]
    let bits = bytes as f64 * 8.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; both are positive")]
    let rate = (bits / seconds.max(0.001)).ceil() as u64;
    rate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_largest_segments_and_the_average_is_over_all() {
        let bandwidth = Bandwidth::of(&[(6.0, 600_000), (6.0, 1_200_000), (2.0, 100_000)]);
        assert_eq!(bandwidth, Bandwidth { peak: 1_600_000, average: 1_085_715 });
    }

    #[test]
    fn an_empty_playlist_has_no_rate() {
        assert_eq!(Bandwidth::of(&[]), Bandwidth { peak: 0, average: 0 });
    }
}
