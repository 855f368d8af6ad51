//! Decodes an output with ffmpeg and throws the result away: what matters is that nothing complains.

use std::{
    cmp::Reverse,
    ffi::OsString,
    os::unix::{ffi::OsStrExt as _, process::ExitStatusExt as _},
    path::Path,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    Error, give_up,
    layout::Track,
    observed::Observed,
    probe,
    report::{Code, Finding},
    timeline::Streams,
};
use crate::{
    playlist::Reel,
    tool::{self, Ended, Invocation, Tools},
};

/// Length of a sample, in seconds.
const SAMPLE_SECONDS: &str = "1";

/// A single file up to this length is decoded whole: seeking to a sample decodes from the key frame before it, so that
/// three samples would cost more.
const WHOLE_BELOW_SECONDS: f64 = 10.0;

/// The kernel takes 128 KiB in one argument. Longer lists of segments are split over several inputs.
const MAX_OPERAND: usize = 100 * 1024;

/// One thing to decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    /// The arguments that open it.
    args: Vec<OsString>,
    /// What to decode of it. ffmpeg fails on a stream that a segment names and has nothing of.
    streams: Streams,
    /// About how much there is to decode, in a unit of the output's own.
    weight: u64,
}

/// What is decoded of a track. What is in its segments may be known, and how long it is thought to last.
pub(super) fn samples(track: &Track, observed: Option<&Observed>, length: Option<f64>) -> Vec<Input> {
    match track.single_file() {
        Some(file) => file_samples(file, length),
        None => segment_samples(track, observed),
    }
}

/// A second from the start, the middle and the end of a single file. `length` is what it is thought to last.
fn file_samples(file: &Path, length: Option<f64>) -> Vec<Input> {
    let sample = |seek: &[&str], limit: &[&str]| {
        let options = seek.iter().chain(limit).map(OsString::from);
        Input { args: options.chain(probe::input(None, &[file])).collect(), streams: Streams::ALL, weight: 1 }
    };
    let limit = &["-t", SAMPLE_SECONDS];
    // From the key frame before it: what is decoded up to another place is not judged, and costs ten times as much.
    let middle = |at: f64| sample(&["-noaccurate_seek", "-ss", &format!("{at:.3}")], limit);
    // The end is sought from the file's own end, and read to it: nothing is read beyond.
    let end = format!("-{SAMPLE_SECONDS}");
    // It takes longest, from the key frame before it.
    let end = || Input { weight: 2, ..sample(&["-sseof", &end], &[]) };
    match length {
        Some(length) if length <= WHOLE_BELOW_SECONDS => vec![sample(&[], &[])],
        Some(length) => vec![sample(&[], limit), end(), middle(length / 2.0)],
        None => vec![sample(&[], limit), end()],
    }
}

/// The first second of the first, the middle and the last segment; a single one is decoded whole.
fn segment_samples(track: &Track, observed: Option<&Observed>) -> Vec<Input> {
    let Reel { init, pieces } = track.reel();
    let streams = |number: usize| observed.map_or(Some(Streams::ALL), |known| known.pieces.get(number).copied());
    let limit: &[&str] = if pieces.len() == 1 { &[] } else { &["-t", SAMPLE_SECONDS] };
    let weights = track.samples().into_iter().map(|number| track.sizes.get(number).copied().unwrap_or_default());
    let sample = |((number, piece), weight): ((usize, &&Path), u64)| {
        let args = limit.iter().map(OsString::from).chain(probe::input(init, &[piece])).collect();
        Some(Input { args, streams: streams(number)?, weight })
    };
    pieces.iter().enumerate().zip(weights).filter_map(sample).collect()
}

/// Samples for two processes side by side, about evenly: the heaviest first, each to the process that has less. A process
/// needs one core: for a second of video the threads of a decoder cost more than they gain.
pub(super) fn halves(mut samples: Vec<Input>) -> Vec<Vec<Input>> {
    if samples.len() < 2 {
        return vec![samples];
    }
    samples.sort_by_key(|sample| Reverse(sample.weight));
    let (mut halves, mut weights) = (vec![Vec::new(), Vec::new()], [0_u64; 2]);
    for Input { args, streams, weight } in samples {
        // None stays empty: ffmpeg fails without an input.
        let lighter = usize::from((weights[1], halves[1].len()) < (weights[0], halves[0].len()));
        weights[lighter] = weights[lighter].saturating_add(weight);
        let args = ["-threads", "1"].map(OsString::from).into_iter().chain(args).collect();
        halves[lighter].push(Input { args, streams, weight });
    }
    halves
}

/// Every piece, as one stream.
pub(super) fn everything(track: &Track) -> Vec<Input> {
    let init = track.init.as_deref();
    let (mut groups, mut size) = (vec![Vec::new()], 0);
    for piece in &track.pieces {
        let length = piece.as_os_str().as_bytes().len() + "|file:".len();
        if size + length > MAX_OPERAND {
            groups.push(Vec::new());
            size = 0;
        }
        size += length;
        groups.last_mut().expect("there is one from the start").push(piece.as_path());
    }
    let input = |group: &Vec<&Path>| Input { args: probe::input(init, group), streams: Streams::ALL, weight: 1 };
    groups.iter().map(input).collect()
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
        Ended::Exited(status) => match (status.signal(), complaint(tail.lines())) {
            (Some(signal), _) => Err(Error::Killed { program: "ffmpeg", signal }),
            (None, Some(line)) => Ok(Some(Finding::error(Code::DecodeError, line))),
            (None, None) if status.success() => Ok(None),
            (None, None) => Ok(Some(Finding::error(Code::DecodeError, format!("ffmpeg ended with {status}")))),
        },
    }
}

fn arguments(inputs: &[Input]) -> Vec<OsString> {
    let mut args: Vec<OsString> = ["-v", "error", "-nostdin", "-xerror"].map(Into::into).into();
    for input in inputs {
        // Smoothing the edges of blocks takes a quarter of the time, and nothing in it can fail.
        args.extend(["-skip_loop_filter:v", "all"].map(Into::into));
        args.extend_from_slice(&input.args);
    }
    for (number, Input { streams, .. }) in inputs.iter().enumerate() {
        for (kind, _) in [("v", streams.video), ("a", streams.audio)].into_iter().filter(|(_, has)| *has) {
            args.extend(["-map".into(), format!("{number}:{kind}?").into()]);
        }
    }
    // Frames keep their times: none is made or dropped.
    args.extend(["-fps_mode", "passthrough", "-f", "null", "-"].map(Into::into));
    args
}

/// The last line that is about the output, without the address that ffmpeg prints. What the muxer says of the times of
/// frames that it throws away is not.
fn complaint<'a>(mut lines: impl DoubleEndedIterator<Item = &'a str>) -> Option<String> {
    let line = lines.rfind(|line| !line.starts_with("[null @"))?;
    Some(line.rsplit_once("] ").map_or(line, |(_, text)| text).to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rstest::rstest;

    use super::*;
    use crate::validator::layout::Carries;

    fn line(inputs: &[Input]) -> String {
        arguments(inputs).into_iter().map(|arg| arg.into_string().expect("text")).collect::<Vec<_>>().join(" ")
    }

    #[rstest]
    #[case::short(Some(5.28), "file:a.mp4 -map 0:v? -map 0:a? -fps")]
    #[case::long(
        Some(60.0),
        "-t 1 -protocol_whitelist file,concat -i file:a.mp4 -skip_loop_filter:v all -sseof -1 -protocol_whitelist file,concat \
        -i file:a.mp4 -skip_loop_filter:v all -noaccurate_seek -ss 30.000 -t 1 -protocol_whitelist file,concat -i file:a.mp4 \
        -map 0:v?"
    )]
    #[case::unknown(
        None,
        "-t 1 -protocol_whitelist file,concat -i file:a.mp4 -skip_loop_filter:v all -sseof -1 -protocol_whitelist"
    )]
    fn a_file_is_sampled_at_three_places(#[case] length: Option<f64>, #[case] expected: &str) {
        let line = line(&file_samples(Path::new("a.mp4"), length));
        assert!(line.contains(expected), "{line}");
    }

    #[rstest]
    #[case::short(5.0, &["-i file:a.mp4"])]
    #[case::long(60.0, &["-threads 1 -sseof", "-threads 1 -t 1 -i,-threads 1 -noaccurate_seek"])]
    fn samples_are_shared_by_two_processes(#[case] length: f64, #[case] expected: &[&str]) {
        let halves = halves(file_samples(Path::new("a.mp4"), Some(length)));
        let lines: Vec<_> =
            halves.iter().map(|half| line(half).replace("-protocol_whitelist file,concat ", "")).collect();
        assert_eq!(lines.len(), expected.len());
        for (line, expected) in lines.iter().zip(expected) {
            assert!(expected.split(',').all(|part| line.contains(part)), "{line}");
        }
    }

    #[rstest]
    #[case::ladder(&[700, 400, 250], "[[700], [400, 250]]")]
    #[case::one_that_is_as_large_as_all_others(&[300, 900, 310, 290], "[[900], [310, 300, 290]]")]
    #[case::none_is_left_empty(&[0, 0], "[[0], [0]]")]
    fn processes_have_about_as_much_to_do(#[case] weights: &[u64], #[case] expected: &str) {
        let sample = |weight: &u64| Input { args: Vec::new(), streams: Streams::ALL, weight: *weight };
        let halves = halves(weights.iter().map(sample).collect()).into_iter();
        let found: Vec<Vec<_>> = halves.map(|half| half.iter().map(|sample| sample.weight).collect()).collect();
        assert_eq!(format!("{found:?}"), expected);
    }

    #[test]
    fn the_largest_rendition_has_a_process_of_its_own() {
        let track = |(name, size): (&str, u64)| Track {
            pieces: vec![name.into()],
            sizes: vec![size],
            declared_length: Some(5.0),
            ..Track::new(name.to_owned(), Carries::Both, 0)
        };
        let tracks = [("720p.ts", 700), ("480p.ts", 400), ("360p.ts", 250)].map(track);
        let halves = halves(tracks.iter().flat_map(|track| samples(track, None, None)).collect());
        let has = |half: &[Input]| ["720p", "480p", "360p"].map(|name| line(half).contains(name));
        assert_eq!(
            halves.iter().map(|half| has(half)).collect::<Vec<_>>(),
            [[true, false, false], [false, true, true]]
        );
    }

    #[test]
    fn many_segments_are_split_over_inputs_that_the_kernel_takes() {
        let pieces: Vec<_> = (0..10_000).map(|number| PathBuf::from(format!("/w/segment_{number:05}.ts"))).collect();
        let track = Track { pieces, ..Track::new(String::new(), Carries::Both, 0) };
        let inputs = everything(&track);
        let operands = || inputs.iter().filter_map(|input| input.args.last()?.to_str());
        assert!(operands().all(|operand| operand.len() < 128 * 1024));
        assert_eq!(operands().map(|operand| operand.matches("segment_").count()).sum::<usize>(), 10_000);
    }

    #[rstest]
    #[case::decoder("[h264 @ 0x55d0] error while decoding MB 3 4", Some("error while decoding MB 3 4"))]
    #[case::muxer("[null @ 0x55d0] Application provided invalid, non monotonically increasing dts", None)]
    #[case::nothing("", None)]
    fn only_what_is_about_the_output_is_a_complaint(#[case] said: &str, #[case] expected: Option<&str>) {
        assert_eq!(complaint(said.lines()).as_deref(), expected);
    }
}
