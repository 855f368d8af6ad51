//! The arguments of a part of a split job. Pure.
//!
//! Times are those of the source's own clock, so that no version of ffmpeg counts them from another start. A chunk is
//! cut by time, at edges half a frame from every frame, and decoded from well before; the cut frames are then counted
//! from zero. ffmpeg has one thread for each step, and encoders as many as planned, so that the bytes do not depend on the
//! machine.

use std::{ffi::OsString, path::Path};

use preset::Preset;

use super::{Args, Order, audio_tracks, branches, codec, common, keep_times, micros, rate, ticks};
use crate::{
    encoder::Cut,
    media::{Container, Media},
    plan::{TICKS_PER_FRAME, segment_seconds},
    proof,
};

/// Name of the audio part's file.
pub(crate) const AUDIO_FILE: &str = "a.mp4";

/// How long before its first frame a chunk is decoded, in seconds, where a search ends at a key frame: longer than any
/// reordering, and than what a stream without key frames usually takes to be whole again.
const LEAD: f64 = 3.0;

/// The same where a search ends anywhere. Key frames there are less than ten seconds apart, or the job is not split.
const BLIND_LEAD: f64 = 12.0;

/// Divides into the periods of every usual sample rate; an edit list counts in it where the audio begins.
const FINE_MOVIE_CLOCK: &str = "705600000";

/// Extension of the list of a part's frames, beside its file.
pub(crate) const MARKS: &str = "marks";

/// Name of a rendition's file in a chunk.
pub(crate) fn video_file(rendition: usize) -> String {
    format!("v{rendition}.mp4")
}

/// The arguments that encode a chunk, every rendition in one decode.
pub(crate) fn chunk(order: &Order<'_>, cut: &Cut) -> Vec<OsString> {
    let mut args = Args::default();
    common(&mut args);
    let times = Times::of(order, cut);
    args.add(["-filter_complex_threads", "1", "-copyts", "-noaccurate_seek", "-threads", "1"]);
    if let Some(seek) = times.seek(order.source) {
        args.add(["-ss", &seconds(seek)]);
    }
    args.0.extend_from_slice(&order.input.args);
    args.add(["-filter_complex", &branches(order, &times.filters(order.preset, cut))]);
    for (number, rendition) in order.preset.renditions.iter().enumerate() {
        args.add(["-map", &format!("[v{number}]")]);
        codec(&mut args, order);
        rate(&mut args, 0, rendition.rate);
        threads(&mut args, cut.chunk.threads);
        if let Some(expression) = key_frames(order.preset, cut) {
            args.add(["-force_key_frames:v", &expression]);
        }
        keep_times(&mut args);
        args.add(["-enc_time_base:v", &clock(order.preset, cut), "-flags:v", "+global_header"]);
        args.add(["-f", "tee", &outputs(number, cut)]);
    }
    args.0
}

/// The arguments that encode the audio. The video goes nowhere, but it is read: ffmpeg counts time from the first stream
/// that it uses.
pub(crate) fn audio(order: &Order<'_>) -> Option<Vec<OsString>> {
    let (settings, stream) = order.preset.audio.zip(order.source.audio.as_ref())?;
    let mut args = Args::default();
    common(&mut args);
    args.0.extend_from_slice(&order.input.args);
    audio_tracks(&mut args, settings, stream.index, 1);
    args.add(["-threads", "1", "-max_muxing_queue_size", "4096", "-movie_timescale", FINE_MOVIE_CLOCK]);
    args.add(["-f", "mp4", AUDIO_FILE]);
    args.add(["-map", &format!("0:{}", order.video.index), "-c", "copy", "-f", "null", "-"]);
    Some(args.0)
}

/// x264 looks ahead in a thread of its own where it has more than one, and what it then decides depends on how far the
/// encoder is: some sources get other bytes on a busy machine.
fn threads(args: &mut Args, count: u32) {
    args.add(["-threads", &count.to_string()]);
    if count > 1 {
        args.add(["-x264-params", "sync-lookahead=0"]);
    }
}

/// A rendition's file, and the list of what was put into it. The encoder hands its packets to both: to read the file back
/// would take a process more.
fn outputs(rendition: usize, cut: &Cut) -> String {
    let file = video_file(rendition);
    let list = Path::new(&file).with_extension(MARKS);
    format!("[f=mp4:video_track_timescale={}]{file}|{}", timescale(cut), proof::beside(&list))
}

/// Ticks a second of a chunk's files.
fn timescale(cut: &Cut) -> u32 {
    // Grid::new bounds the numerator.
    cut.grid.rate().numerator * TICKS_PER_FRAME
}

/// Times on the source's clock, in microseconds. Without an edge there is nothing to cut off.
struct Times {
    start: Option<i64>,
    end: Option<i64>,
    zero: i64,
    /// Half a frame behind a key frame: a search for it ends there, however the times are rounded.
    key: Option<i64>,
}

impl Times {
    fn of(order: &Order<'_>, Cut { grid, chunk, .. }: &Cut) -> Self {
        let has_audio = order.preset.audio.is_some();
        let origin = micros(order.source.origin(has_audio));
        let end = chunk.first + chunk.frames;
        Self {
            start: (chunk.first > 0).then(|| origin + grid.edge(chunk.first)),
            end: (end < grid.frames()).then(|| origin + grid.edge(end)),
            zero: origin + grid.time(chunk.first),
            key: chunk.key.map(|key| origin + grid.edge(key + 1)),
        }
    }

    /// Where to search for, counted from the container's start as ffmpeg does.
    fn seek(&self, source: &Media) -> Option<i64> {
        let lead = match source.container {
            Container::Indexed => LEAD,
            Container::Broadcast | Container::Other => BLIND_LEAD,
        };
        let (start, lead) = (self.start?, micros(lead));
        let seek = self.key.map_or(start - lead, |key| key.max(start - lead)) - micros(source.start.unwrap_or(0.0));
        (seek > 0).then_some(seek)
    }

    /// Microseconds keep every container's times apart until they are counted from the first frame. Only then they are
    /// rounded to the clock that the whole run would have: whatever rounding was in them is gone, and what was not
    /// evenly spaced shows.
    fn filters(&self, preset: &Preset, cut: &Cut) -> String {
        let edge = |(name, time): (&str, Option<i64>)| time.map(|time| format!("{name}={}", seconds(time)));
        let edges: Vec<_> = [("start", self.start), ("end", self.end)].into_iter().filter_map(edge).collect();
        let trim = if edges.is_empty() { String::new() } else { format!("trim={},", edges.join(":")) };
        let (zero, clock) = (self.zero, clock(preset, cut));
        format!("settb=1/1000000,{trim}setpts=PTS-({zero}),settb={clock},")
    }
}

/// The clock that the encoders of a whole run have.
fn clock(preset: &Preset, cut: &Cut) -> String {
    let rate = cut.grid.rate();
    format!("{}/{}", rate.denominator, rate.numerator * ticks(preset.packaging, rate))
}

/// Key frames where segments begin: whole numbers, which ffmpeg's floats hold exactly.
fn key_frames(preset: &Preset, Cut { grid, chunk, .. }: &Cut) -> Option<String> {
    let length = segment_seconds(preset.packaging)?;
    let (rate, segment) = (grid.rate(), grid.segment_at(chunk.first, length));
    let per_segment = u64::from(rate.numerator) * u64::from(length);
    Some(format!("expr:gte((n+{})*{},(n_forced+{segment})*{per_segment})", chunk.first, rate.denominator))
}

/// `12.345678`, without a float's rounding.
fn seconds(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    format!("{sign}{}.{:06}", micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000)
}
