//! Reads ffprobe's JSON. Pure.

use std::collections::BTreeMap;

use preset::Size;
use serde::Deserialize;

use super::{Audio, Container, FrameRate, Index, Media, Packet, Variant, Video};

/// What ffprobe is asked for (`-show_entries`).
pub(super) const ENTRIES: &str = "format=format_name,start_time,duration,size,bit_rate:stream=index,codec_type,codec_name,width,height,\
    sample_aspect_ratio,avg_frame_rate,r_frame_rate,start_time,duration,bit_rate,channels,sample_rate,nb_frames:\
    stream_disposition=default,attached_pic:stream_tags=DURATION,rotate:stream_side_data=rotation";

/// What it is asked for about variants.
pub(super) const VARIANT_ENTRIES: &str = "stream=index,codec_type,codec_name,width,height,sample_aspect_ratio,\
    avg_frame_rate,r_frame_rate,channels:stream_tags=variant_bitrate:stream_side_data=rotation:\
    packet=stream_index,pts_time,duration_time,pos";

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
    #[serde(default)]
    packets: Vec<RawPacket>,
}

#[derive(Deserialize)]
struct RawPacket {
    stream_index: u32,
    pts_time: Option<String>,
    duration_time: Option<String>,
    pos: Option<String>,
}

#[derive(Deserialize, Default)]
struct Format {
    #[serde(rename = "format_name")]
    kind: Option<String>,
    start_time: Option<String>,
    duration: Option<String>,
    size: Option<String>,
    bit_rate: Option<String>,
}

#[derive(Deserialize)]
struct Stream {
    index: u32,
    codec_type: Option<String>,
    codec_name: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    sample_aspect_ratio: Option<String>,
    avg_frame_rate: Option<String>,
    r_frame_rate: Option<String>,
    start_time: Option<String>,
    duration: Option<String>,
    bit_rate: Option<String>,
    channels: Option<u32>,
    sample_rate: Option<String>,
    nb_frames: Option<String>,
    #[serde(default)]
    disposition: BTreeMap<String, i64>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

/// Reads ffprobe's answer.
pub(super) fn parse(answer: &[u8]) -> Result<Media, serde_json::Error> {
    let Answer { streams, format, .. } = serde_json::from_slice(answer)?;
    Ok(media(&streams, &format))
}

/// Reads ffprobe's answer about a master playlist.
pub(super) fn variants(answer: &[u8]) -> Result<BTreeMap<usize, Variant>, serde_json::Error> {
    let Answer { streams, packets, .. } = serde_json::from_slice(answer)?;
    let mut of_variant = BTreeMap::<_, Vec<_>>::new();
    for stream in streams {
        if let Some(variant) = stream.tags.get("variant_bitrate").and_then(|number| number.parse().ok()) {
            of_variant.entry(variant).or_default().push(stream);
        }
    }
    let mut of_stream = BTreeMap::<_, (u64, Vec<_>)>::new();
    for packet in packets {
        let (place, timed) = of_stream.entry(packet.stream_index).or_default();
        *place = packet.pos.as_deref().and_then(|place| place.parse().ok()).unwrap_or(*place);
        timed.extend(packet.timed(*place));
    }
    let mut take = |index: Option<u32>| index.and_then(|index| Some(of_stream.remove(&index)?.1)).unwrap_or_default();
    let mut variant = |streams: &[Stream]| {
        let media = media(streams, &Format::default());
        let pictures = take(media.video.as_ref().map(|video| video.index));
        let sounds = take(media.audio.as_ref().map(|audio| audio.index));
        Variant { media, pictures, sounds }
    };
    Ok(of_variant.into_iter().map(|(number, streams)| (number, variant(&streams))).collect())
}

impl RawPacket {
    /// `None` without a time: nobody knows when it is shown.
    fn timed(&self, place: u64) -> Option<Packet> {
        let length = number(self.duration_time.as_deref()).unwrap_or(0.0);
        Some(Packet { start: number(self.pts_time.as_deref())?, length, place })
    }
}

fn media(streams: &[Stream], format: &Format) -> Media {
    let of_type = |wanted: &'static str| {
        streams.iter().filter(move |stream| stream.codec_type.as_deref() == Some(wanted) && !stream.has("attached_pic"))
    };
    let video = of_type("video").filter_map(Stream::video).reduce(larger);
    let chosen = streams.iter().find(|stream| video.as_ref().is_some_and(|video| video.index == stream.index));
    let audio = of_type("audio").find(|stream| stream.has("default")).or_else(|| of_type("audio").next());
    let kind = format.kind.as_deref().unwrap_or_default();
    let container = container(kind);
    let media = Media {
        container,
        start: number(format.start_time.as_deref()),
        duration: number(format.duration.as_deref()),
        bytes: format.size.as_deref().and_then(|size| size.parse().ok()),
        bit_rate: number(format.bit_rate.as_deref()),
        video,
        has_even_frames: chosen.is_some_and(Stream::has_even_frames),
        has_frame_table: kind.starts_with("mov,") && chosen.is_some_and(Stream::has_one_frame_length),
        audio: audio.map(Stream::audio),
        index: Index {
            frames: chosen.and_then(Stream::packets),
            sounds: audio.and_then(Stream::packets),
            sample_rate: audio.and_then(|audio| audio.sample_rate.as_ref()?.parse().ok()),
        },
    };
    let counts_from_zero = kind.starts_with("matroska");
    let starts = streams.iter().filter_map(|stream| number(stream.start_time.as_deref()));
    if counts_from_zero { without_lead(media, starts.reduce(f64::min).unwrap_or(0.0)) } else { media }
}

fn container(kind: &str) -> Container {
    match kind {
        "mpegts" | "mpeg" => Container::Broadcast,
        _ if kind.starts_with("mov,") || kind.starts_with("matroska") => Container::Indexed,
        _ => Container::Other,
    }
}

/// Matroska's lengths count from zero on its clock, at which nothing may start: not even the first stream.
fn without_lead(mut media: Media, lead: f64) -> Media {
    media.duration = media.duration.map(|length| length - lead.max(0.0)).filter(|length| *length > 0.0);
    let whole = media.duration.unwrap_or(f64::INFINITY);
    let cap = |length: &mut Option<f64>| *length = length.map(|length| length.min(whole));
    media.video.iter_mut().for_each(|video| cap(&mut video.duration));
    media.audio.iter_mut().for_each(|audio| cap(&mut audio.duration));
    media
}

/// Of equals the first, where `max_by_key` would take the last.
fn larger(best: Video, video: Video) -> Video {
    if area(&video) > area(&best) { video } else { best }
}

fn area(video: &Video) -> u64 {
    u64::from(video.coded.width) * u64::from(video.coded.height)
}

impl Stream {
    fn has(&self, disposition: &str) -> bool {
        self.disposition.get(disposition).is_some_and(|value| *value != 0)
    }

    /// `None` when the picture has no size: nothing can be made of such a stream.
    fn video(&self) -> Option<Video> {
        let coded = Size { width: self.width.filter(|w| *w > 0)?, height: self.height.filter(|h| *h > 0)? };
        let rates = [&self.avg_frame_rate, &self.r_frame_rate];
        Some(Video {
            index: self.index,
            codec: self.codec_name.clone().unwrap_or_default(),
            coded,
            display: self.display(coded),
            frame_rate: rates.into_iter().find_map(|rate| ratio(rate.as_deref()?, '/')),
            grid: self.grid(),
            start: number(self.start_time.as_deref()),
            duration: self.length(),
            bit_rate: number(self.bit_rate.as_deref()),
        })
    }

    /// Whether the average frame rate is also the rate of the grid on which every frame lies. Where frames are not
    /// counted, the average is the header's promise and proves nothing.
    fn has_even_frames(&self) -> bool {
        let average = self.avg_frame_rate.as_deref().and_then(|text| ratio(text, '/'));
        let on_grid = |(average, grid): (f64, FrameRate)| (average / grid.per_second() - 1.0).abs() < 0.01;
        self.packets().is_some() && average.zip(self.grid()).is_some_and(on_grid)
    }

    /// Whether every frame has the same length in the container's table, which gives ffprobe both rates: the average is
    /// then exactly the rate of the grid.
    fn has_one_frame_length(&self) -> bool {
        let average = self.avg_frame_rate.as_deref().and_then(rate);
        self.has_even_frames() && average.is_some() && average == self.grid()
    }

    /// How many packets the container's index counts.
    fn packets(&self) -> Option<u64> {
        self.nb_frames.as_deref()?.parse().ok()
    }

    fn grid(&self) -> Option<FrameRate> {
        rate(self.r_frame_rate.as_deref()?)
    }

    fn audio(&self) -> Audio {
        Audio {
            index: self.index,
            codec: self.codec_name.clone().unwrap_or_default(),
            channels: self.channels,
            start: number(self.start_time.as_deref()),
            duration: self.length(),
        }
    }

    /// Matroska tells a stream's length only in a tag.
    fn length(&self) -> Option<f64> {
        number(self.duration.as_deref()).or_else(|| clock(self.tags.get("DURATION")?)).filter(|length| *length > 0.0)
    }

    fn display(&self, coded: Size) -> Size {
        let pixel = self.sample_aspect_ratio.as_deref().and_then(|text| ratio(text, ':')).unwrap_or(1.0);
        let width = (f64::from(coded.width) * pixel).round().clamp(1.0, f64::from(u32::MAX));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped on the line above")]
        let upright = Size { width: width as u32, height: coded.height };
        if self.is_on_its_side() { Size { width: upright.height, height: upright.width } } else { upright }
    }

    fn is_on_its_side(&self) -> bool {
        let tag = || self.tags.get("rotate")?.parse().ok();
        let rotation: f64 = self.side_data_list.iter().find_map(|data| data.rotation).or_else(tag).unwrap_or(0.0);
        (rotation.rem_euclid(180.0) - 90.0).abs() < 45.0
    }
}

fn number(text: Option<&str>) -> Option<f64> {
    text?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// An exact rate, which is not zero.
fn rate(text: &str) -> Option<FrameRate> {
    let (numerator, denominator) = text.split_once('/')?;
    let rate = FrameRate { numerator: numerator.parse().ok()?, denominator: denominator.parse().ok()? };
    (rate.numerator > 0 && rate.denominator > 0).then_some(rate)
}

/// `30000/1001` or `4:3`; `None` when it is zero or not defined.
fn ratio(text: &str, separator: char) -> Option<f64> {
    let (numerator, denominator) = text.split_once(separator)?;
    let ratio = numerator.parse::<f64>().ok()? / denominator.parse::<f64>().ok()?;
    (ratio.is_finite() && ratio > 0.0).then_some(ratio)
}

/// `00:01:02.500000000` in seconds.
fn clock(text: &str) -> Option<f64> {
    text.splitn(3, ':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn video(fields: &str) -> Video {
        let json = format!(r#"{{"streams":[{{"index":0,"codec_type":"video","width":1280,"height":720{fields}}}]}}"#);
        parse(json.as_bytes()).expect("valid").video.expect("has video")
    }

    #[rstest]
    #[case::plain("", 1280, 720)]
    #[case::undefined_pixels(r#","sample_aspect_ratio":"0:1""#, 1280, 720)]
    #[case::anamorphic(r#","sample_aspect_ratio":"4:3""#, 1707, 720)]
    #[case::side_data(r#","side_data_list":[{"rotation":-90}]"#, 720, 1280)]
    #[case::upside_down(r#","side_data_list":[{"rotation":180}]"#, 1280, 720)]
    #[case::old_tag(r#","tags":{"rotate":"270"}"#, 720, 1280)]
    fn the_display_size_knows_rotation_and_pixels(#[case] fields: &str, #[case] width: u32, #[case] height: u32) {
        assert_eq!(video(fields).display, Size { width, height });
    }

    #[test]
    fn rates_and_times_that_are_not_known_are_none() {
        let unknown = video(r#","avg_frame_rate":"0/0","r_frame_rate":"0/0","start_time":"N/A","duration":"N/A""#);
        assert_eq!((unknown.frame_rate, unknown.start, unknown.duration), (None, None, None));
        let known = video(r#","avg_frame_rate":"24000/1001","start_time":"0.04","tags":{"DURATION":"00:01:02.5"}"#);
        assert!((known.frame_rate.expect("known") - 23.976).abs() < 0.001);
        assert_eq!((known.start, known.duration), (Some(0.04), Some(62.5)));
    }

    #[rstest]
    #[case::constant("25/1", "25/1", "\"132\"", true)]
    #[case::nearly("2997/200", "15/1", "\"132\"", true)]
    #[case::variable("173/10", "30/1", "\"132\"", false)]
    #[case::unknown("0/0", "25/1", "\"132\"", false)]
    #[case::only_promised("25/1", "25/1", "null", false)]
    fn frames_are_even_when_their_counted_average_is_the_grid(
        #[case] average: &str,
        #[case] grid: &str,
        #[case] frames: &str,
        #[case] even: bool,
    ) {
        let json = format!(
            r#"{{"streams":[{{"index":0,"codec_type":"video","width":2,"height":2,
                "avg_frame_rate":"{average}","r_frame_rate":"{grid}","nb_frames":{frames}}}]}}"#
        );
        assert_eq!(parse(json.as_bytes()).expect("valid").has_even_frames, even);
    }

    #[test]
    fn a_cover_is_not_video_and_the_default_audio_track_wins() {
        let json = br#"{"streams":[
            {"index":0,"codec_type":"video","codec_name":"mjpeg","width":600,"height":600,"disposition":{"attached_pic":1}},
            {"index":1,"codec_type":"audio","codec_name":"aac"},
            {"index":2,"codec_type":"audio","codec_name":"opus","disposition":{"default":1}}],
            "format":{"duration":"12.5"}}"#;
        let media = parse(json).expect("valid");
        assert_eq!(media.video, None);
        assert_eq!(media.audio.map(|audio| audio.index), Some(2));
        assert_eq!(media.duration, Some(12.5));
    }

    #[rstest]
    #[case::matroska("matroska,webm", Some(1.0), Some(1.0))]
    #[case::counts_from_the_start("mov,mp4,m4a,3gp,3g2,mj2", Some(11.0), Some(11.0))]
    fn a_clock_that_starts_late_does_not_lengthen_a_matroska_file(
        #[case] format: &str,
        #[case] whole: Option<f64>,
        #[case] video: Option<f64>,
    ) {
        let json = format!(
            r#"{{"streams":[{{"index":0,"codec_type":"video","width":2,"height":2,"start_time":"10.000000",
                "tags":{{"DURATION":"00:00:11.000000000"}}}}],
                "format":{{"format_name":"{format}","duration":"11.000000"}}}}"#
        );
        let media = parse(json.as_bytes()).expect("valid");
        assert_eq!((media.duration, media.video.and_then(|video| video.duration)), (whole, video));
    }

    #[test]
    fn of_several_pictures_the_first_of_the_largest_is_taken() {
        let json = br#"{"streams":[
            {"index":0,"codec_type":"video","width":640,"height":360},
            {"index":1,"codec_type":"video","width":1280,"height":720},
            {"index":2,"codec_type":"video","width":1280,"height":720}]}"#;
        assert_eq!(parse(json).expect("valid").video.map(|video| video.index), Some(1));
    }

    #[test]
    fn a_packet_belongs_to_its_stream_and_that_to_its_variant() {
        let json = br#"{"packets":[
            {"stream_index":3,"pts_time":"1.5","duration_time":"0.04","pos":"564"},
            {"stream_index":4,"pts_time":"1.4","duration_time":"0.02","pos":"900"},
            {"stream_index":4,"pts_time":"1.42","pos":"N/A"},
            {"stream_index":4,"duration_time":"0.02","pos":"1900"}],
            "streams":[
            {"index":0,"codec_type":"video","width":2,"height":2,"tags":{"variant_bitrate":"1"}},
            {"index":3,"codec_type":"video","width":4,"height":2,"tags":{"variant_bitrate":"2"}},
            {"index":4,"codec_type":"audio","tags":{"variant_bitrate":"2"}},
            {"index":5,"codec_type":"audio"}]}"#;
        let variants = variants(json).expect("valid");
        assert_eq!(variants.keys().copied().collect::<Vec<_>>(), [1, 2]);
        assert_eq!((variants[&1].pictures.len(), variants[&1].media.audio.as_ref()), (0, None));
        assert_eq!(variants[&2].media.video.as_ref().map(|video| video.coded.width), Some(4));
        assert_eq!(variants[&2].pictures, [Packet { start: 1.5, length: 0.04, place: 564 }]);
        let sound = |start, length| Packet { start, length, place: 900 };
        assert_eq!(variants[&2].sounds, [sound(1.4, 0.02), sound(1.42, 0.0)]);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(answer: Vec<u8>) {
            let _ = (parse(&answer), variants(&answer));
        }

        #[test]
        fn no_field_makes_it_panic(sar in ".*", rate in ".*", duration in ".*") {
            let stream = serde_json::json!({"index": 0, "codec_type": "video", "width": u32::MAX, "height": 1,
                "sample_aspect_ratio": sar, "avg_frame_rate": rate, "tags": {"DURATION": duration}});
            let _ = parse(serde_json::json!({"streams": [stream]}).to_string().as_bytes());
        }
    }
}
