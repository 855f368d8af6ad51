//! From a preset and a source to ffmpeg's arguments. Pure, but for [`make_folders`].
//!
//! Outputs are named relative to the folder that ffmpeg runs in, so that no folder's name can be read as a pattern.

use std::{ffi::OsString, fmt::Write as _, io, path::Path};

use preset::{Audio, Ceiling, Channels, Fit, Packaging, Preset, Rate, Rendition, Size};

use super::{Order, join, master};
use crate::media::{FrameRate, Media, Video};

/// Name of a single-file output.
pub(crate) const OUTPUT_FILE: &str = "output.mp4";

pub(super) mod part;

/// Name of a media playlist, in the folder of its segments.
pub(crate) const PLAYLIST: &str = "playlist.m3u8";
const SEGMENTS: &str = "segment_%05d.ts";

/// How often ffmpeg reports, in seconds.
const REPORT_PERIOD: &str = "0.25";

/// The arguments of one encode.
pub(super) fn build(order: &Order<'_>) -> Vec<OsString> {
    let mut args = Args::default();
    common(&mut args);
    args.0.extend_from_slice(&order.input.args);
    args.add(["-filter_complex", &filter_graph(order)]);
    let audio = order.preset.audio.zip(order.source.audio.as_ref());
    video(&mut args, order);
    if let Some((settings, stream)) = audio {
        let count = if shares_audio(order.preset.packaging) { 1 } else { order.preset.renditions.len() };
        audio_tracks(&mut args, settings, stream.index, count);
    }
    keep_times(&mut args);
    if let Some(clock) = fine_clock(order.preset.packaging, order.video) {
        // Of the picture only: sound has a clock of its own.
        args.add(["-enc_time_base:v", &clock]);
    }
    container(&mut args, order.preset, audio.is_some());
    args.0
}

/// Frames keep the times that they have in the source: none is doubled or dropped to fit a constant rate.
fn keep_times(args: &mut Args) {
    args.add(["-fps_mode", "vfr", "-max_muxing_queue_size", "4096"]);
}

/// What every run has: progress on standard output, errors on standard error.
pub(super) fn common(args: &mut Args) {
    // In development everything that ffmpeg says is logged.
    let log_level = if tracing::enabled!(tracing::Level::DEBUG) { "level+info" } else { "error" };
    args.add(["-nostdin", "-hide_banner", "-nostats", "-loglevel", log_level, "-y"]);
    args.add(["-progress", "pipe:1", "-stats_period", REPORT_PERIOD]);
}

/// Makes the folders that ffmpeg writes into.
pub(super) fn make_folders(preset: &Preset, directory: &Path) -> io::Result<()> {
    if let Packaging::Hls { ladder: true, .. } = preset.packaging {
        for rendition in preset.renditions {
            std::fs::create_dir_all(directory.join(rendition_name(rendition)))?;
        }
    }
    Ok(())
}

/// Arguments that are being put together.
#[derive(Default)]
pub(super) struct Args(pub(super) Vec<OsString>);

impl Args {
    pub(super) fn add<const N: usize>(&mut self, args: [&str; N]) {
        self.0.extend(args.map(OsString::from));
    }
}

/// Rates that segmented outputs of unevenly spaced frames get, where the source's own grid is too fine.
const STEADY_RATES: [u32; 3] = [30, 60, 120];

/// Frame grids above this are fine clocks already, in frames per second.
const MAX_COARSE_RATE: f64 = 240.0;

/// One decode, one branch a rendition.
fn filter_graph(order: &Order<'_>) -> String {
    let steady = steady(order.preset.packaging, order.source, order.video);
    let fps = steady.map(|rate| format!("fps={rate},")).unwrap_or_default();
    branches(order, &(align(order, steady) + &fps))
}

/// Moves a picture that begins between two ticks of the encoder's clock to the nearer one. A container that rounds times
/// would otherwise have some frames fall to one side and some to the other.
fn align(order: &Order<'_>, steady: Option<FrameRate>) -> String {
    let shift = steady.or(order.video.grid).zip(order.video.start).map(|(rate, start)| {
        let late = micros(start - order.source.origin(order.preset.audio.is_some()));
        join::first_frame_micros(order.preset.packaging, rate, late) - i128::from(late)
    });
    match shift {
        None | Some(0) => String::new(),
        Some(shift) => format!("settb=1/1000000,setpts=PTS+({shift}),"),
    }
}

/// All renditions from what the filters in `first` leave, each of which ends with a comma.
fn branches(order: &Order<'_>, first: &str) -> String {
    let renditions = order.preset.renditions;
    let shape = shape(order.preset.packaging, order.video.display);
    let mut graph = format!("[0:{}]{first}split={}", order.video.index, renditions.len());
    let mut branches = String::new();
    for (number, rendition) in renditions.iter().enumerate() {
        let size = rendition.fit.apply(order.video.display);
        write!(graph, "[s{number}]").expect("a String takes every write");
        write!(branches, ";[s{number}]scale={}:{},{shape},format=yuv420p[v{number}]", size.width, size.height)
            .expect("a String takes every write");
    }
    graph + &branches
}

fn micros(seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    let micros = (seconds * 1e6).round() as i64;
    micros.clamp(-(1 << 60), 1 << 60)
}

/// The constant rate that a segmented output needs, `None` where the source has it. ffmpeg adds up segment lengths from
/// nominal frame lengths, so unevenly spaced frames would make playlists that do not add up.
pub(super) fn steady(packaging: Packaging, source: &Media, video: &Video) -> Option<FrameRate> {
    let needs_steady = match packaging {
        Packaging::Mp4 => false,
        Packaging::Hls { .. } | Packaging::Dash { .. } => !source.has_even_frames,
    };
    let usable = |rate: &FrameRate| (1.0..=60.5).contains(&rate.per_second());
    let above_average = |rate: &&u32| video.frame_rate.is_none_or(|average| average <= f64::from(**rate));
    let standard = || *STEADY_RATES.iter().find(above_average).unwrap_or(&STEADY_RATES[STEADY_RATES.len() - 1]);
    let rate = || video.grid.filter(usable).unwrap_or_else(|| FrameRate { numerator: standard(), denominator: 1 });
    needs_steady.then(rate)
}

/// A clock on which uneven frames keep their places. ffmpeg's encoders count in whole frames of the average length, which
/// would move them by a frame and more, and ffprobe cannot tell for certain which are uneven. Even ones do not change by
/// a bit, and what a container rounds stays invisible.
fn fine_clock(packaging: Packaging, video: &Video) -> Option<String> {
    let grid = video.grid.filter(|_| keeps_uneven(packaging))?;
    Some(format!("{}/{}", grid.denominator, grid.numerator.checked_mul(ticks(packaging, grid))?))
}

fn keeps_uneven(packaging: Packaging) -> bool {
    match packaging {
        Packaging::Mp4 => true,
        Packaging::Hls { .. } | Packaging::Dash { .. } => false,
    }
}

/// Ticks of the encoder's clock in a frame of evenly spaced ones: times are rounded to them.
pub(super) fn ticks(packaging: Packaging, rate: FrameRate) -> u32 {
    if keeps_uneven(packaging) && rate.per_second() <= MAX_COARSE_RATE { 8 } else { 1 }
}

/// The picture's shape, whatever its even sides make of it. Pixels are square, but for DASH, where every rendition must
/// have exactly the same shape: there it is a ratio of small numbers, so that no rounding can tell them apart.
fn shape(packaging: Packaging, display: Size) -> String {
    match packaging {
        Packaging::Mp4 | Packaging::Hls { .. } => "setsar=1".to_owned(),
        Packaging::Dash { .. } => format!("setdar=dar={}/{}:max=50", display.width, display.height),
    }
}

fn video(args: &mut Args, order: &Order<'_>) {
    for number in 0..order.preset.renditions.len() {
        args.add(["-map", &format!("[v{number}]")]);
    }
    codec(args, order);
    for (number, rendition) in order.preset.renditions.iter().enumerate() {
        rate(args, number, rendition.rate);
    }
    if let Packaging::Hls { segment_seconds, .. } | Packaging::Dash { segment_seconds } = order.preset.packaging {
        args.add(["-force_key_frames:v", &format!("expr:gte(t,n_forced*{segment_seconds})")]);
    }
}

fn codec(args: &mut Args, order: &Order<'_>) {
    args.add(["-c:v", "libx264", "-preset", order.preset.effort.name()]);
}

/// How the video stream of that number in its output spends its bits.
fn rate(args: &mut Args, number: usize, rate: Rate) {
    match rate {
        Rate::Quality { crf } => args.add([&format!("-crf:v:{number}"), &crf.to_string()]),
        Rate::Bitrate { average_kbps, ceiling } => {
            args.add([&format!("-b:v:{number}"), &format!("{average_kbps}k")]);
            if let Some(Ceiling { max_kbps, buffer_kbit }) = ceiling {
                args.add([&format!("-maxrate:v:{number}"), &format!("{max_kbps}k")]);
                args.add([&format!("-bufsize:v:{number}"), &format!("{buffer_kbit}k")]);
            }
        }
    }
}

/// DASH lists audio once beside the video; HLS muxes it into every variant.
pub(super) fn shares_audio(packaging: Packaging) -> bool {
    match packaging {
        Packaging::Mp4 | Packaging::Dash { .. } => true,
        Packaging::Hls { .. } => false,
    }
}

fn audio_tracks(args: &mut Args, settings: Audio, stream: u32, count: usize) {
    for _ in 0..count {
        args.add(["-map", &format!("0:{stream}")]);
    }
    args.add(["-c:a", "aac", "-b:a", &format!("{}k", settings.kbps)]);
    match settings.channels {
        Channels::Stereo => args.add(["-ac", "2"]),
        Channels::Source => {}
    }
}

/// What the muxer is told, and the names of its files.
pub(super) fn container(args: &mut Args, preset: &Preset, has_audio: bool) {
    match preset.packaging {
        Packaging::Mp4 => args.add(["-movflags", "+faststart", "-f", "mp4", OUTPUT_FILE]),
        Packaging::Hls { segment_seconds, ladder: false } => {
            hls(args, segment_seconds);
            args.add(["-hls_segment_filename", SEGMENTS, PLAYLIST]);
        }
        Packaging::Hls { segment_seconds, ladder: true } => {
            hls(args, segment_seconds);
            args.add(["-master_pl_name", master::FILE, "-var_stream_map", &variants(preset, has_audio)]);
            args.add(["-hls_segment_filename", &format!("%v/{SEGMENTS}"), &format!("%v/{PLAYLIST}")]);
        }
        Packaging::Dash { segment_seconds } => {
            let sets = if has_audio { "id=0,streams=v id=1,streams=a" } else { "id=0,streams=v" };
            args.add(["-f", "dash", "-seg_duration", &segment_seconds.to_string(), "-adaptation_sets", sets]);
            args.add(["-use_template", "1", "-use_timeline", "1", "-init_seg_name", "init_$RepresentationID$.m4s"]);
            args.add(["-media_seg_name", "chunk_$RepresentationID$_$Number%05d$.m4s", "manifest.mpd"]);
        }
    }
}

fn hls(args: &mut Args, segment_seconds: u32) {
    args.add(["-f", "hls", "-hls_time", &segment_seconds.to_string(), "-hls_playlist_type", "vod"]);
    args.add(["-hls_segment_type", "mpegts", "-hls_flags", "independent_segments"]);
}

fn variants(preset: &Preset, has_audio: bool) -> String {
    let variant = |(number, rendition)| {
        let audio = if has_audio { format!(",a:{number}") } else { String::new() };
        format!("v:{number}{audio},name:{}", rendition_name(rendition))
    };
    preset.renditions.iter().enumerate().map(variant).collect::<Vec<_>>().join(" ")
}

/// A rendition's folder, such as `720p`.
pub(crate) fn rendition_name(rendition: &Rendition) -> String {
    match rendition.fit {
        Fit::Height(height) => format!("{height}p"),
        Fit::Within(frame) => format!("{}p", frame.height),
    }
}

#[cfg(test)]
mod tests {
    use preset::ALL;
    use rstest::rstest;

    use super::*;
    use crate::media::{self, Input};

    fn media(with_audio: bool) -> Media {
        let video = Video::sized(1280, 720);
        let audio = media::Audio { index: 1, codec: "aac".into(), channels: Some(6), start: Some(0.0), duration: None };
        Media { video: Some(video), audio: with_audio.then_some(audio), has_even_frames: true, ..Media::default() }
    }

    fn line(preset: &Preset, audio: bool) -> String {
        let source = media(audio);
        let input = Input { args: vec!["-i".into(), "INPUT".into()], proxy: None };
        let video = source.video.as_ref().expect("has video");
        let order = Order { preset, input: &input, source: &source, video, directory: Path::new("out") };
        let args = build(&order).into_iter().map(|arg| arg.into_string().expect("text"));
        args.map(|arg| if arg.contains(' ') { format!("'{arg}'") } else { arg }).collect::<Vec<_>>().join(" ")
    }

    #[rstest]
    #[case::film(Some((24000, 1001)), Some(23.976), "24000/1001")]
    #[case::still_mostly(Some((60, 1)), Some(9.2), "60/1")]
    #[case::milliseconds(Some((1000, 1)), Some(12.7), "30/1")]
    #[case::fast(Some((1000, 1)), Some(58.1), "60/1")]
    #[case::faster(Some((90_000, 1)), Some(240.0), "120/1")]
    #[case::unknown(None, None, "30/1")]
    fn segments_of_uneven_frames_get_a_steady_rate(
        #[case] grid: Option<(u32, u32)>,
        #[case] average: Option<f64>,
        #[case] expected: &str,
    ) {
        let grid = grid.map(|(numerator, denominator)| FrameRate { numerator, denominator });
        let video = Video { grid, frame_rate: average, ..Video::sized(1280, 720) };
        let (uneven, even) = (Media::default(), Media { has_even_frames: true, ..Media::default() });
        let hls = Packaging::Hls { segment_seconds: 6, ladder: false };
        assert_eq!(steady(hls, &uneven, &video).map(|rate| rate.to_string()).as_deref(), Some(expected));
        assert_eq!(steady(hls, &even, &video), None);
        assert_eq!(steady(Packaging::Mp4, &uneven, &video), None);
    }

    #[rstest]
    #[case::film(Some((24000, 1001)), Some("1001/192000"))]
    #[case::milliseconds(Some((1000, 1)), Some("1/1000"))]
    #[case::unknown(None, None)]
    fn a_file_gets_a_clock_for_uneven_frames(#[case] grid: Option<(u32, u32)>, #[case] expected: Option<&str>) {
        let grid = grid.map(|(numerator, denominator)| FrameRate { numerator, denominator });
        let video = Video { grid, ..Video::sized(1280, 720) };
        let hls = Packaging::Hls { segment_seconds: 6, ladder: false };
        assert_eq!(fine_clock(Packaging::Mp4, &video).as_deref(), expected);
        assert_eq!(fine_clock(hls, &video), None);
    }

    #[rstest]
    #[case::at_zero(0.0, 25, "")]
    #[case::on_a_tick(0.04, 25, "")]
    #[case::between_ticks(0.021, 25, "settb=1/1000000,setpts=PTS+(-1000),")]
    #[case::later(0.039, 25, "settb=1/1000000,setpts=PTS+(1000),")]
    fn a_picture_begins_at_a_tick(#[case] late: f64, #[case] numerator: u32, #[case] expected: &str) {
        let grid = Some(FrameRate { numerator, denominator: 1 });
        let video = Video { grid, start: Some(1.0 + late), ..Video::sized(1280, 720) };
        let source = Media { start: Some(1.0), video: Some(video.clone()), ..Media::default() };
        let (preset, input) = (preset::find("480p_h264").expect("known"), Input { args: Vec::new(), proxy: None });
        let order = Order { preset, input: &input, source: &source, video: &video, directory: Path::new("out") };
        assert_eq!(align(&order, None), expected);
    }

    #[test]
    fn the_arguments_of_every_preset_are_as_recorded() {
        for preset in ALL {
            for (kind, audio) in [("with_audio", true), ("without_audio", false)] {
                insta::assert_snapshot!(format!("{}_{kind}", preset.name), line(preset, audio));
            }
        }
    }
}
