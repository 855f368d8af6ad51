//! Joins the parts of a split job by stream copy: nothing is decoded, and the muxer is told what it is told when the same
//! source is encoded as a whole.
//!
//! - Each chunk begins at a time of its own list, in whole microseconds whose errors do not add up: far finer than half a
//!   tick of a part's clock, so that what ffmpeg makes of it is exact.
//! - A frame's length is the distance to the next one. What the parts say of it is a guess from the encoder's clock, and
//!   the muxers of HLS and DASH add up lengths.
//! - All of the video is moved as far as the encoder would have moved its first frame: to a tick of its clock.

use std::{
    ffi::OsString,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use preset::{Ceiling, Packaging, Preset, Rate};
use proto::v1::Plan;
use tokio_util::sync::CancellationToken;

use super::{Error, Limits, Progress, argv, finish, supervise};
use crate::{
    media::FrameRate,
    tool::{Invocation, Tools},
    validator::uri,
};

/// Microseconds a second.
const MICROS: i128 = 1_000_000;

/// Each frame lasts until the next; the last one as long as the one before. Commas are escaped for the list of filters.
const FRAME_LENGTHS: &str = "setts=pts=PTS:dts=DTS:duration=if(gt(NEXT_DTS\\,DTS)\\,NEXT_DTS-DTS\\,PREV_OUTDURATION)";

/// Of several inputs each is read by a thread of its own, which ffmpeg 5 wakes for every packet: that costs a fifth of the
/// time of a join. Later ones take this for the default.
pub(crate) const NO_READER: [&str; 2] = ["-thread_queue_size", "0"];

/// The parts of a job.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    /// How they were encoded.
    pub(crate) preset: &'a Preset,
    /// Which frames they hold. Its rate is not zero.
    pub(crate) plan: &'a Plan,
    /// For each rendition the files of the chunks, in order.
    pub(crate) video: &'a [Vec<PathBuf>],
    /// The sound.
    pub(crate) audio: Option<&'a Path>,
    /// Empty folder for lists of the parts.
    pub(crate) lists: &'a Path,
    /// Empty folder for the result.
    pub(crate) directory: &'a Path,
}

impl Order<'_> {
    /// The rate of the frames.
    fn rate(&self) -> FrameRate {
        let grid = self.plan.grid.unwrap_or_default();
        FrameRate { numerator: grid.rate_numerator, denominator: grid.rate_denominator }
    }
}

/// Time of the first frame in an output, exactly: this many of that part of a second. An encoder rounds it to a tick of
/// its clock, and keeps the distance of all others.
pub(crate) fn first_frame(packaging: Packaging, rate: FrameRate, start_us: i64) -> (i128, i128) {
    let ticks = i128::from(rate.numerator) * i128::from(argv::ticks(packaging, rate));
    let ticks_per = i128::from(rate.denominator) * MICROS;
    (round(i128::from(start_us) * ticks, ticks_per) * i128::from(rate.denominator), ticks)
}

/// The same in whole microseconds.
pub(super) fn first_frame_micros(packaging: Packaging, rate: FrameRate, start_us: i64) -> i128 {
    let (first, per_second) = first_frame(packaging, rate, start_us);
    round(first * MICROS, per_second.max(1))
}

/// Joins the parts. Answers where the result is: a file, or the folder of a directory output; and the arguments of
/// ffmpeg.
///
/// # Errors
/// Why there is no result; the folder then holds what ffmpeg left.
pub(crate) async fn join(
    tools: &Tools,
    order: &Order<'_>,
    limits: &Limits,
    report: impl FnMut(Progress),
    cancel: &CancellationToken,
) -> Result<(PathBuf, Vec<OsString>), Error> {
    argv::make_folders(order.preset, order.directory)?;
    for (number, files) in order.video.iter().enumerate() {
        std::fs::write(list(order, number), content(order, files))?;
    }
    let args = arguments(order);
    let ffmpeg = Invocation::new(&tools.ffmpeg, args.clone()).in_directory(order.directory);
    supervise(&ffmpeg, order.directory, limits, report, cancel).await?;
    Ok((finish(order.preset, order.directory)?, args))
}

fn list(order: &Order<'_>, rendition: usize) -> PathBuf {
    order.lists.join(format!("v{rendition}.ffconcat"))
}

/// A list of files for ffmpeg's concat demuxer.
fn content(order: &Order<'_>, files: &[PathBuf]) -> String {
    let rate = order.rate();
    let at = |frame: u64| {
        round(i128::from(frame) * i128::from(rate.denominator) * MICROS, i128::from(rate.numerator.max(1)))
    };
    let mut text = "ffconcat version 1.0\n".to_owned();
    for (file, chunk) in files.iter().zip(&order.plan.chunks) {
        let name = file.display().to_string().replace('\'', r"'\''");
        let length = at(chunk.first_frame.saturating_add(chunk.frames)) - at(chunk.first_frame);
        writeln!(text, "file 'file:{name}'\nduration {length}us").expect("a String takes every write");
    }
    text
}

fn arguments(order: &Order<'_>) -> Vec<OsString> {
    let mut args = argv::Args::default();
    argv::common(&mut args);
    let offset = format!("{}us", first_frame_micros(order.preset.packaging, order.rate(), start(order)));
    for number in 0..order.video.len() {
        // Everything below is the worker's own; names in lists begin with their protocol.
        args.add(NO_READER);
        args.add(["-protocol_whitelist", "file", "-f", "concat", "-safe", "0", "-auto_convert", "0"]);
        args.add(["-itsoffset", &offset, "-i"]);
        args.0.push(uri::file(&list(order, number)));
    }
    // What is not on a list: the sound, or the first chunk again, for what the source tells of itself.
    let described = order.audio.or_else(|| order.video.first()?.first().map(PathBuf::as_path));
    if let Some(file) = described {
        args.add(NO_READER);
        args.add(["-protocol_whitelist", "file", "-i"]);
        args.0.push(uri::file(file));
    }
    args.add(["-copyts"]);
    streams(&mut args, order);
    args.add(["-max_muxing_queue_size", "4096"]);
    argv::container(&mut args, order.preset, order.audio.is_some());
    args.0
}

fn start(order: &Order<'_>) -> i64 {
    order.plan.grid.map_or(0, |grid| grid.start_us)
}

fn streams(args: &mut argv::Args, order: &Order<'_>) {
    let renditions = order.video.len();
    for number in 0..renditions {
        args.add(["-map", &format!("{number}:v:0")]);
    }
    if order.audio.is_some() {
        let count = if argv::shares_audio(order.preset.packaging) { 1 } else { renditions };
        for _ in 0..count {
            args.add(["-map", &format!("{renditions}:a:0")]);
        }
        args.add(["-map_metadata:s:a", &format!("{renditions}:s:0")]);
    }
    args.add(["-map_metadata:g", &format!("{renditions}:g"), "-c", "copy", "-bsf:v", &filters(order.preset.packaging)]);
    told_rates(args, order);
}

fn filters(packaging: Packaging) -> String {
    match packaging {
        Packaging::Mp4 | Packaging::Dash { .. } => FRAME_LENGTHS.to_owned(),
        // The master playlist's codecs are read from headers of this form.
        Packaging::Hls { .. } => format!("h264_mp4toannexb,{FRAME_LENGTHS}"),
    }
}

/// Bit rates that manifests tell. They are those that were asked for, as when the whole is encoded.
fn told_rates(args: &mut argv::Args, order: &Order<'_>) {
    for (number, rendition) in order.preset.renditions.iter().enumerate() {
        let Rate::Bitrate { average_kbps, ceiling } = rendition.rate else { continue };
        args.add([&format!("-b:v:{number}"), &format!("{average_kbps}k")]);
        if let Some(Ceiling { max_kbps, buffer_kbit }) = ceiling {
            args.add([&format!("-maxrate:v:{number}"), &format!("{max_kbps}k")]);
            args.add([&format!("-bufsize:v:{number}"), &format!("{buffer_kbit}k")]);
        }
    }
    if let Some(audio) = order.preset.audio.filter(|_| order.audio.is_some()) {
        args.add(["-b:a", &format!("{}k", audio.kbps)]);
    }
}

/// To the nearest; a half away from zero, as ffmpeg does. `per` is positive.
fn round(count: i128, per: i128) -> i128 {
    let half = if count < 0 { -per } else { per };
    (2 * count + half) / (2 * per)
}

#[cfg(test)]
mod tests {
    use proto::v1::{Chunk, FrameGrid};
    use rstest::rstest;

    use super::*;

    const FILM: FrameRate = FrameRate { numerator: 24_000, denominator: 1001 };

    fn plan(chunks: u64, frames: u64) -> Plan {
        let (rate_numerator, rate_denominator) = (FILM.numerator, FILM.denominator);
        let grid = FrameGrid {
            rate_numerator,
            rate_denominator,
            start_us: 40_000,
            frames: chunks * frames,
            ..FrameGrid::default()
        };
        let chunk = |number| Chunk { first_frame: number * frames, frames, ..Chunk::default() };
        Plan { grid: Some(grid), chunks: (0..chunks).map(chunk).collect(), has_audio: true }
    }

    fn line(name: &str, has_audio: bool) -> String {
        let (preset, plan) = (preset::find(name).expect("known"), plan(2, 360));
        let video = vec![vec![PathBuf::from("/w/chunk-00000/v0.mp4")]; preset.renditions.len()];
        let audio = has_audio.then_some(Path::new("/w/audio/a.mp4"));
        let (lists, directory) = (Path::new("/w/lists"), Path::new("/w/output"));
        let order = Order { preset, plan: &plan, video: &video, audio, lists, directory };
        let args = arguments(&order).into_iter().map(|arg| arg.into_string().expect("text"));
        args.map(|arg| if arg.contains(' ') { format!("'{arg}'") } else { arg }).collect::<Vec<_>>().join(" ")
    }

    #[rstest]
    #[case::whole_frames(Packaging::Hls { segment_seconds: 6, ladder: true }, (1001, 24_000))]
    #[case::eighths(Packaging::Mp4, (8 * 1001, 8 * 24_000))]
    fn the_first_frame_is_on_the_encoders_clock(#[case] packaging: Packaging, #[case] time: (i128, i128)) {
        assert_eq!(first_frame(packaging, FILM, 40_000), time);
    }

    #[test]
    fn the_beginnings_of_chunks_stay_exact_to_a_microsecond() {
        let (preset, plan) = (preset::find("480p_h264").expect("known"), plan(4000, 361));
        let video = [vec![PathBuf::from("/w/it's.mp4"); 4000]];
        let (lists, directory) = (Path::new("/w"), Path::new("/w"));
        let order = Order { preset, plan: &plan, video: &video, audio: None, lists, directory };
        let text = content(&order, &video[0]);
        assert!(text.contains(r"file 'file:/w/it'\''s.mp4'"), "{text:.100}");
        let lengths = text.lines().filter_map(|line| line.strip_prefix("duration ")?.strip_suffix("us"));
        let sum: i128 = lengths.map(|length| length.parse::<i128>().expect("a number")).sum();
        assert_eq!(sum, round(4000 * 361 * 1001 * MICROS, 24_000));
    }

    #[test]
    fn the_arguments_are_as_recorded() {
        for name in ["480p_h264", "hls_720p", "hls_720p_abr", "dash_720p_abr"] {
            for (kind, audio) in [("with_audio", true), ("without_audio", false)] {
                insta::assert_snapshot!(format!("{name}_{kind}"), line(name, audio));
            }
        }
    }
}
