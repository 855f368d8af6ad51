//! Decodes an output with ffmpeg and throws the result away: what matters is that nothing complains.

use std::{
    ffi::OsString,
    os::unix::{ffi::OsStrExt as _, process::ExitStatusExt as _},
    path::Path,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    Error, give_up,
    layout::Track,
    probe,
    report::{Code, Finding},
};
use crate::tool::{self, Ended, Invocation, Tail, Tools};

/// Length of a sample.
const SAMPLE_SECONDS: f64 = 1.0;

/// A single file up to this length is decoded whole: seeking to a sample decodes from the key frame before it, so that
/// three samples would cost more.
const WHOLE_BELOW_SECONDS: f64 = 10.0;

/// The kernel takes 128 KiB in one argument. Longer lists of segments are split over several inputs.
const MAX_OPERAND: usize = 100 * 1024;

/// The arguments that open one input.
pub(super) type Input = Vec<OsString>;

/// A second from the start, the middle and the end. `length` is what a single file is thought to last.
pub(super) fn samples(track: &Track, length: Option<f64>) -> Vec<Input> {
    match track.pieces.as_slice() {
        [file] if track.init.is_none() => file_samples(file, length),
        pieces => {
            let last = pieces.len().saturating_sub(1);
            let mut numbers = vec![0, last / 2, last];
            numbers.dedup();
            let sample = |number: usize| {
                let piece = pieces.get(number)?;
                Some(limited(&[], probe::input(track.init.as_deref(), &[piece])))
            };
            numbers.into_iter().filter_map(sample).collect()
        }
    }
}

fn file_samples(file: &Path, length: Option<f64>) -> Vec<Input> {
    let open = || probe::input(None, &[file]);
    match length {
        Some(length) if length <= WHOLE_BELOW_SECONDS => vec![open()],
        Some(length) => {
            vec![limited(&[], open()), limited(&["-ss", &format!("{:.3}", length / 2.0)], open()), from_end(open())]
        }
        None => vec![limited(&[], open()), from_end(open())],
    }
}

fn limited(seek: &[&str], input: Input) -> Input {
    let mut args: Input = seek.iter().map(Into::into).collect();
    args.extend(["-t".into(), SAMPLE_SECONDS.to_string().into()]);
    args.extend(input);
    args
}

/// From a second before the file's own end: no promised length is needed, and nothing is read beyond it.
fn from_end(input: Input) -> Input {
    ["-sseof".into(), format!("-{SAMPLE_SECONDS}").into()].into_iter().chain(input).collect()
}

/// Every piece, as one stream.
pub(super) fn everything(track: &Track) -> Vec<Input> {
    let init = track.init.as_deref();
    let mut inputs = Vec::new();
    let (mut group, mut size) = (Vec::new(), 0);
    for piece in &track.pieces {
        let length = piece.as_os_str().as_bytes().len() + "|file:".len();
        if size + length > MAX_OPERAND {
            inputs.push(probe::input(init, &group));
            (group, size) = (Vec::new(), 0);
        }
        group.push(piece);
        size += length;
    }
    inputs.push(probe::input(init, &group));
    inputs
}

/// Decodes the inputs. The first thing that ffmpeg complains about is a finding.
///
/// # Errors
/// When ffmpeg could not do its work.
pub(super) async fn run(
    tools: &Tools,
    inputs: &[Input],
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Option<Finding>, Error> {
    let ffmpeg = Invocation::new(&tools.ffmpeg, arguments(inputs));
    let (ended, tail) = tool::run(&ffmpeg, |_| (), give_up(limit, cancel)).await.map_err(Error::Start)?;
    match ended {
        Ended::Stopped(error) => Err(error),
        Ended::Exited(status) => match (status.signal(), complaint(&tail)) {
            (Some(signal), _) => Err(Error::Killed { program: "ffmpeg", signal }),
            (None, Some(line)) => Ok(Some(Finding::error(Code::DecodeError, line))),
            (None, None) if status.success() => Ok(None),
            (None, None) => Ok(Some(Finding::error(Code::DecodeError, format!("ffmpeg ended with {status}")))),
        },
    }
}

fn arguments(inputs: &[Input]) -> Vec<OsString> {
    let mut args: Vec<OsString> = ["-v", "error", "-nostdin", "-xerror"].map(Into::into).into();
    args.extend(inputs.iter().flatten().cloned());
    for number in 0..inputs.len() {
        // Usable ones: a stream may have nothing in this segment, because it starts later or has ended.
        let (video, audio) = (format!("{number}:v:u?"), format!("{number}:a:u?"));
        args.extend(["-map".into(), video.into(), "-map".into(), audio.into()]);
    }
    // Frames keep their times: none is made or dropped, and none is rounded onto another.
    args.extend(["-fps_mode", "passthrough", "-enc_time_base:v", "-1", "-f", "null", "-"].map(Into::into));
    args
}

/// The last line that is about the output, without the address that ffmpeg prints. What the muxer says of the times of
/// frames that it throws away is not.
fn complaint(tail: &Tail) -> Option<String> {
    let line = tail.lines().rfind(|line| !line.starts_with("[null @"))?;
    Some(line.rsplit_once("] ").map_or(line, |(_, text)| text).to_owned())
}
