//! The rules of DASH manifests (ISO/IEC 23009-1), as far as the presets use them: one period, segment templates with a
//! timeline. Pure.

use std::path::PathBuf;

use dash_mpd_core::{AdaptationSet, MPD, Representation, S, SegmentTemplate};
use preset::Size;

use super::hls::{Segment, local};

/// A day of two-second segments is below; a hostile repeat count is not.
const MAX_SEGMENTS: usize = 100_000;

/// One stream of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stream {
    /// Its name in the manifest.
    pub(super) id: String,
    /// Picture size; `None` for sound.
    pub(super) size: Option<Size>,
    /// The file that each segment needs in front.
    pub(super) init: PathBuf,
    /// The files.
    pub(super) segments: Vec<Segment>,
}

/// The streams of a complete manifest, in its order.
///
/// # Errors
/// The rule that it breaks.
pub(super) fn manifest(text: &[u8]) -> Result<Vec<Stream>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not text")?;
    let mpd: MPD = dash_mpd_core::parse(text).map_err(|_| "it is not a manifest")?;
    if mpd.mpdtype.as_deref() != Some("static") {
        return Err("it is not marked as static".to_owned());
    }
    let [period] = mpd.periods.as_slice() else {
        return Err(format!("{} periods, expected 1", mpd.periods.len()));
    };
    if period.href.is_some() || !mpd.base_url.is_empty() || !period.BaseURL.is_empty() {
        return Err("it points elsewhere".to_owned());
    }
    period.adaptations.iter().flat_map(|set| set.representations.iter().map(move |one| stream(set, one))).collect()
}

fn stream(set: &AdaptationSet, representation: &Representation) -> Result<Stream, String> {
    let id = representation.id.clone().ok_or("a representation has no id")?;
    if set.href.is_some() || !set.BaseURL.is_empty() || !representation.BaseURL.is_empty() {
        return Err(format!("representation {id} points elsewhere"));
    }
    let template = representation.SegmentTemplate.as_ref().or(set.SegmentTemplate.as_ref());
    let template = template.ok_or_else(|| format!("representation {id} has no segment template"))?;
    let init = template.initialization.as_deref().ok_or_else(|| format!("representation {id} has no start"))?;
    Ok(Stream {
        size: size(set, representation)?,
        init: local(&fill(init, &id, 0)?)?,
        segments: segments(template, &id)?,
        id,
    })
}

fn size(set: &AdaptationSet, representation: &Representation) -> Result<Option<Size>, String> {
    let kind = set.contentType.as_deref().or(representation.mimeType.as_deref()).or(set.mimeType.as_deref());
    if !kind.is_some_and(|kind| kind.starts_with("video")) {
        return Ok(None);
    }
    let pixels = |count: Option<u64>| count.and_then(|count| u32::try_from(count).ok());
    let size = pixels(representation.width).zip(pixels(representation.height));
    size.map(|(width, height)| Some(Size { width, height })).ok_or_else(|| "a video has no size".to_owned())
}

fn segments(template: &SegmentTemplate, id: &str) -> Result<Vec<Segment>, String> {
    let media = template.media.as_deref().ok_or_else(|| format!("representation {id} has no segments"))?;
    let timeline = template.SegmentTimeline.as_ref().ok_or_else(|| format!("representation {id} has no timeline"))?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let timescale = template.timescale.unwrap_or(1).max(1) as f64;
    let mut number = template.startNumber.unwrap_or(1);
    let mut segments = Vec::new();
    for entry in &timeline.segments {
        for _ in 0..repeats(entry, id)? {
            if segments.len() == MAX_SEGMENTS {
                return Err(format!("representation {id} has too many segments"));
            }
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            segments.push(Segment { path: local(&fill(media, id, number)?)?, seconds: entry.d as f64 / timescale });
            number = number.saturating_add(1);
        }
    }
    if segments.is_empty() { Err(format!("representation {id} has no segments")) } else { Ok(segments) }
}

/// A negative count means "to the end of the period", which no preset writes.
fn repeats(entry: &S, id: &str) -> Result<u64, String> {
    if entry.d == 0 {
        return Err(format!("representation {id} has a segment without length"));
    }
    u64::try_from(entry.r.unwrap_or(0))
        .map(|repeats| repeats.saturating_add(1))
        .map_err(|_| format!("representation {id} has a segment without count"))
}

/// Replaces `$RepresentationID$`, `$Number$` and `$Number%05d$`.
fn fill(template: &str, id: &str, number: u64) -> Result<String, String> {
    let mut name = String::new();
    for (index, part) in template.split('$').enumerate() {
        match part {
            // Outside of a pair of dollar signs.
            text if index % 2 == 0 => name.push_str(text),
            "RepresentationID" => name.push_str(id),
            "Number" => name.push_str(&number.to_string()),
            other => name.push_str(&padded(other, number).ok_or_else(|| format!("{template:?} is no name"))?),
        }
    }
    Ok(name)
}

/// `Number%05d`.
fn padded(identifier: &str, number: u64) -> Option<String> {
    let width = identifier.strip_prefix("Number%0")?.strip_suffix('d')?.parse().ok().filter(|width| *width <= 20)?;
    Some(format!("{number:0width$}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const MANIFEST: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="static"
    mediaPresentationDuration="PT5.0S" minBufferTime="PT2.0S">
  <Period id="0" start="PT0.0S">
    <AdaptationSet id="0" contentType="video">
      <Representation id="0" mimeType="video/mp4" codecs="avc1.42c00c" bandwidth="660070" width="320" height="180">
        <SegmentTemplate timescale="12800" initialization="init_$RepresentationID$.m4s"
            media="chunk_$RepresentationID$_$Number%05d$.m4s" startNumber="1">
          <SegmentTimeline><S t="0" d="25600" r="1" /><S d="12800" /></SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="1" contentType="audio">
      <Representation id="1" mimeType="audio/mp4" codecs="mp4a.40.2" bandwidth="69364">
        <SegmentTemplate timescale="44100" initialization="init_$RepresentationID$.m4s"
            media="chunk_$RepresentationID$_$Number$.m4s" startNumber="1">
          <SegmentTimeline><S t="0" d="220500" /></SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
  </Period>
</MPD>"#;

    #[test]
    fn a_good_manifest_gives_its_streams_and_segments() {
        let streams = manifest(MANIFEST.as_bytes()).expect("good");
        let names: Vec<_> = streams[0].segments.iter().map(|segment| segment.path.to_str().expect("text")).collect();
        assert_eq!(names, ["chunk_0_00001.m4s", "chunk_0_00002.m4s", "chunk_0_00003.m4s"]);
        assert_eq!(streams[0].size, Some(Size { width: 320, height: 180 }));
        assert_eq!((streams[1].size, streams[1].init.to_str()), (None, Some("init_1.m4s")));
        assert!((crate::validator::hls::total(&streams[1].segments) - 5.0).abs() < 1e-9);
    }

    #[rstest]
    #[case::not_xml("<MPD", "<MP", "it is not a manifest")]
    #[case::live("type=\"static\"", "type=\"dynamic\"", "it is not marked as static")]
    #[case::no_period("Period", "Perio", "0 periods")]
    #[case::elsewhere("<Period id", "<BaseURL>http://host/</BaseURL><Period id", "it points elsewhere")]
    #[case::no_template("SegmentTemplate", "SegmentTemp", "has no segment template")]
    #[case::no_timeline("SegmentTimeline", "SegmentTime", "has no timeline")]
    #[case::no_size("width=\"320\"", "", "a video has no size")]
    #[case::open_end(" r=\"1\"", " r=\"-1\"", "a segment without count")]
    #[case::too_many(" r=\"1\"", " r=\"9000000000\"", "too many segments")]
    #[case::no_length("d=\"12800\"", "d=\"0\"", "a segment without length")]
    #[case::climbs("chunk_", "../chunk_", "it names \"../chunk_0_00001.m4s\"")]
    #[case::unknown_name("$Number%05d$", "$Time$", "is no name")]
    fn a_broken_manifest_is_refused(#[case] part: &str, #[case] instead: &str, #[case] reason: &str) {
        let error = manifest(MANIFEST.replace(part, instead).as_bytes()).expect_err("broken");
        assert!(error.contains(reason), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = manifest(&bytes);
        }

        #[test]
        fn no_cut_or_changed_manifest_makes_it_panic(at in 0..MANIFEST.len(), byte in 0..128_u8) {
            let mut text = MANIFEST.as_bytes().to_vec();
            text[at] = byte;
            let _ = (manifest(&text), manifest(&text[..at]));
        }

        #[test]
        fn no_template_makes_it_panic(template in "[$a-zN%0-9d]{0,30}|\\$Number%0[0-9]{0,30}d\\$", number: u64) {
            let _ = fill(&template, "0", number);
        }
    }
}
