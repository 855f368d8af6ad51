//! The rules of HLS playlists (RFC 8216), as far as the presets use them. Pure.

use std::path::PathBuf;

use m3u8_rs::{MasterPlaylist, MediaPlaylist, MediaPlaylistType, MediaSegment, VariantStream};
use preset::Size;

use super::uri;

/// A segment that a playlist or manifest names.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Segment {
    /// Inside the folder of the playlist.
    pub(super) path: PathBuf,
    /// Its length.
    pub(super) seconds: f64,
}

/// A rendition that a master playlist names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variant {
    /// Its media playlist, inside the folder of the master.
    pub(super) path: PathBuf,
    /// Its picture.
    pub(super) size: Size,
}

/// The renditions of a master playlist, in its order.
///
/// # Errors
/// The rule that it breaks.
pub(super) fn master(text: &[u8]) -> Result<Vec<Variant>, String> {
    let playlist = match m3u8_rs::parse_master_playlist(text) {
        Ok((rest, playlist)) if rest.trim_ascii().is_empty() => playlist,
        Ok(_) | Err(_) => return Err("it is not a master playlist".to_owned()),
    };
    let MasterPlaylist { version, variants, alternatives, session_key, .. } = playlist;
    version.ok_or("it has no version")?;
    if !alternatives.is_empty() || !session_key.is_empty() {
        return Err("it has tags that no preset writes".to_owned());
    }
    complete(text, b"#EXT-X-STREAM-INF:", variants.iter().filter(|variant| !variant.is_i_frame).count())?;
    variants.iter().filter(|variant| !variant.is_i_frame).map(rendition).collect()
}

fn rendition(variant: &VariantStream) -> Result<Variant, String> {
    let path = local(&variant.uri)?;
    if variant.bandwidth == 0 {
        return Err(format!("{} has no bandwidth", path.display()));
    }
    let resolution = variant.resolution.ok_or_else(|| format!("{} has no resolution", path.display()))?;
    let pixels = |count: u64| u32::try_from(count).map_err(|_| format!("{} has no possible size", path.display()));
    let size = Size { width: pixels(resolution.width)?, height: pixels(resolution.height)? };
    Ok(Variant { path, size })
}

/// The segments of a complete media playlist.
///
/// # Errors
/// The rule that it breaks.
pub(super) fn media(text: &[u8]) -> Result<Vec<Segment>, String> {
    let playlist = match m3u8_rs::parse_media_playlist(text) {
        Ok((rest, playlist)) if rest.trim_ascii().is_empty() => playlist,
        Ok(_) | Err(_) => return Err("it is not a media playlist".to_owned()),
    };
    let MediaPlaylist { version, target_duration, segments, end_list, playlist_type, .. } = playlist;
    version.ok_or("it has no version")?;
    if !end_list {
        return Err("it has no end".to_owned());
    }
    if playlist_type != Some(MediaPlaylistType::Vod) {
        return Err("it is not marked as video on demand".to_owned());
    }
    if segments.is_empty() {
        return Err("it has no segments".to_owned());
    }
    complete(text, b"#EXTINF:", segments.len())?;
    segments.iter().map(|segment| entry(segment, target_duration)).collect()
}

/// The parser skips what it cannot read.
fn complete(text: &[u8], tag: &[u8], parsed: usize) -> Result<(), String> {
    let written = text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(tag)).count();
    if parsed == written { Ok(()) } else { Err(format!("{parsed} of {written} entries can be read")) }
}

fn entry(segment: &MediaSegment, target_duration: u64) -> Result<Segment, String> {
    let path = local(&segment.uri)?;
    if segment.key.is_some() || segment.map.is_some() || segment.byte_range.is_some() {
        return Err(format!("{} has tags that no preset writes", path.display()));
    }
    let seconds = f64::from(segment.duration);
    if !seconds.is_finite() || seconds <= 0.0 {
        return Err(format!("{} has no length", path.display()));
    }
    #[expect(clippy::cast_precision_loss, reason = "no segment is long enough to lose precision")]
    // A half is nearest to two integers, and ffmpeg takes the even one.
    if seconds.round_ties_even() > target_duration as f64 {
        return Err(format!("{} is longer than the target duration of {target_duration} s", path.display()));
    }
    Ok(Segment { path, seconds })
}

/// A name inside the playlist's folder.
pub(super) fn local(name: &str) -> Result<PathBuf, String> {
    uri::local(name).ok_or_else(|| format!("it names {name:?}, which is not a plain path inside its folder"))
}

/// Sum of the lengths.
pub(super) fn total(segments: &[Segment]) -> f64 {
    segments.iter().map(|segment| segment.seconds).sum()
}

/// Whether a player can change from one rendition to the other at each segment.
///
/// # Errors
/// Where they part.
pub(super) fn agree(one: &[Segment], other: &[Segment], tolerance: f64) -> Result<(), String> {
    if one.len() != other.len() {
        return Err(format!("{} segments, another rendition has {}", one.len(), other.len()));
    }
    let differs = one.iter().zip(other).find(|(one, other)| (one.seconds - other.seconds).abs() > tolerance);
    differs.map_or(Ok(()), |(one, other)| {
        Err(format!("{} lasts {:.3} s, in another rendition {:.3} s", one.path.display(), one.seconds, other.seconds))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const MEDIA: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:0\n\
        #EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:6.000000,\nsegment_00000.ts\n#EXTINF:1.280000,\nsegment_00001.ts\n\
        #EXT-X-ENDLIST\n";
    const MASTER: &str = "#EXTM3U\n#EXT-X-VERSION:3\n\
        #EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=1280x720\n720p/playlist.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1500000,RESOLUTION=854x480\n480p/playlist.m3u8\n";

    #[test]
    fn a_good_media_playlist_gives_its_segments() {
        let segments = media(MEDIA.as_bytes()).expect("good");
        assert_eq!(segments.len(), 2);
        assert!((total(&segments) - 7.28).abs() < 1e-6);
    }

    #[test]
    fn a_good_master_gives_its_renditions_in_order() {
        let variants = master(MASTER.as_bytes()).expect("good");
        assert_eq!(variants[1], Variant { path: "480p/playlist.m3u8".into(), size: Size { width: 854, height: 480 } });
    }

    #[rstest]
    #[case::no_header("#EXTM3U\n", "", "it is not a media playlist")]
    #[case::no_version("#EXT-X-VERSION:3\n", "", "it has no version")]
    #[case::no_end("#EXT-X-ENDLIST\n", "", "it has no end")]
    #[case::live("#EXT-X-PLAYLIST-TYPE:VOD\n", "", "it is not marked as video on demand")]
    #[case::event(":VOD", ":EVENT", "it is not marked as video on demand")]
    #[case::no_target("#EXT-X-TARGETDURATION:6\n", "", "longer than the target duration of 0 s")]
    #[case::too_long("#EXTINF:6.0", "#EXTINF:6.6", "segment_00000.ts is longer than the target duration of 6 s")]
    #[case::no_length("#EXTINF:1.280000,\n", "", "2 of 1 entries")]
    #[case::negative("#EXTINF:1.28", "#EXTINF:-1.28", "segment_00001.ts has no length")]
    #[case::climbs("segment_00001.ts", "../secret.ts", "it names \"../secret.ts\"")]
    #[case::absolute("segment_00001.ts", "/etc/passwd", "it names \"/etc/passwd\"")]
    #[case::elsewhere("segment_00001.ts", "https://host/a.ts", "it names \"https://host/a.ts\"")]
    #[case::encrypted("#EXTINF:6.0", "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:6.0", "no preset writes")]
    fn a_broken_media_playlist_is_refused(#[case] part: &str, #[case] instead: &str, #[case] reason: &str) {
        let error = media(MEDIA.replace(part, instead).as_bytes()).expect_err("broken");
        assert!(error.contains(reason), "{error}");
    }

    #[rstest]
    #[case::down("2.5", "2")]
    #[case::up("3.5", "4")]
    #[case::to_nothing("0.5", "0")]
    fn a_half_may_be_rounded_to_the_even_integer(#[case] seconds: &str, #[case] target: &str) {
        let text = format!(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-PLAYLIST-TYPE:VOD\n\
             #EXTINF:{seconds},\na.ts\n#EXT-X-ENDLIST\n"
        );
        assert!(media(text.as_bytes()).is_ok());
    }

    #[test]
    fn a_playlist_without_segments_is_refused() {
        let empty: String = MEDIA
            .lines()
            .filter(|line| !line.contains("EXTINF") && line.starts_with('#'))
            .fold(String::new(), |text, line| text + line + "\n");
        assert_eq!(media(empty.as_bytes()), Err("it has no segments".to_owned()));
    }

    #[test]
    fn a_playlist_that_was_cut_anywhere_is_refused() {
        let end = MEDIA.trim_end().len();
        for cut in 0..end {
            assert!(media(&MEDIA.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[rstest]
    #[case::no_header("#EXTM3U\n", "", "it is not a master playlist")]
    #[case::no_version("#EXT-X-VERSION:3\n", "", "it has no version")]
    #[case::no_bandwidth("BANDWIDTH=1500000,", "", "1 of 2 entries can be read")]
    #[case::zero_bandwidth("BANDWIDTH=1500000", "BANDWIDTH=0", "480p/playlist.m3u8 has no bandwidth")]
    #[case::no_resolution(",RESOLUTION=854x480", "", "480p/playlist.m3u8 has no resolution")]
    #[case::climbs("480p/", "../", "it names \"../playlist.m3u8\"")]
    fn a_broken_master_is_refused(#[case] part: &str, #[case] instead: &str, #[case] reason: &str) {
        let error = master(MASTER.replace(part, instead).as_bytes()).expect_err("broken");
        assert!(error.contains(reason), "{error}");
    }

    #[rstest]
    #[case::same(&[6.0, 1.0], true)]
    #[case::within_a_frame(&[6.03, 0.97], true)]
    #[case::other_boundary(&[5.0, 2.0], false)]
    #[case::other_count(&[6.0, 0.5, 0.5], false)]
    fn renditions_agree_on_their_boundaries(#[case] lengths: &[f64], #[case] expected: bool) {
        let segments = |lengths: &[f64]| -> Vec<_> {
            lengths.iter().map(|seconds| Segment { path: "a.ts".into(), seconds: *seconds }).collect()
        };
        assert_eq!(agree(&segments(&[6.0, 1.0]), &segments(lengths), 0.05).is_ok(), expected);
    }

    fn tags() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            "#EXT(INF|-X-[A-Z-]{1,20}):[-0-9.,=A-Z\"x]{0,20}",
            "#EXT-X-(TARGETDURATION|VERSION|BYTERANGE|KEY|MAP|STREAM-INF|MEDIA|DATERANGE|START):.{0,30}",
            ".{0,20}",
        ];
        proptest::collection::vec(line, 0..12).prop_map(|lines| format!("#EXTM3U\n{}\n", lines.join("\n")))
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = (media(&bytes), master(&bytes));
        }

        #[test]
        fn no_playlist_makes_it_panic(text in tags()) {
            let _ = (media(text.as_bytes()), master(text.as_bytes()));
        }
    }
}
