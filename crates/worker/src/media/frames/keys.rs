//! Finds the key frames from which chunks are decoded.

use tokio_util::sync::CancellationToken;

use super::{Patience, Prober};
use crate::{
    media::{Input, Media},
    tool::Tools,
};

/// More are not looked for: each costs a search, and a frame that is decoded.
pub(crate) const MAX_SEARCHES: usize = 512;

/// The last key frame before each of these times, on the container's clock, where its table tells them at once; nothing
/// where it does not, or the source is not a file here: over a network each search costs more than it saves.
///
/// A frame that the table calls one, but that is made from others, is left out: pictures of a stream that is refreshed
/// little by little are whole only some time behind it.
pub(crate) async fn keys_before(
    tools: &Tools,
    input: &Input,
    media: &Media,
    times: &[f64],
    patience: Patience,
    cancel: &CancellationToken,
) -> Vec<f64> {
    let Some(video) = media.video.as_ref().filter(|_| media.has_frame_table && input.proxy.is_none()) else {
        return Vec::new();
    };
    if times.is_empty() || times.len() > MAX_SEARCHES {
        return Vec::new();
    }
    let intervals: Vec<_> = times.iter().map(|time| format!("{:.6}%+#1", time.max(0.0))).collect();
    let entries = [
        "-read_intervals",
        &intervals.join(","),
        "-show_entries",
        "frame=key_frame,best_effort_timestamp_time,pict_type",
    ];
    let prober = Prober { tools, input, video, patience, cancel };
    let mut keys = Vec::new();
    let found = prober.run(&entries, |line| {
        keys.extend(key(line));
        keys.len() <= MAX_SEARCHES
    });
    // Without them chunks are only a little slower.
    if found.await.is_err() { Vec::new() } else { keys }
}

/// The time of a frame that needs no other.
fn key(line: &str) -> Option<f64> {
    let mut columns = line.split(',');
    let (is_key, time, kind) = (columns.next()?, columns.next()?, columns.next()?);
    time.parse().ok().filter(|time: &f64| time.is_finite() && is_key == "1" && kind == "I")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::key_frame("1,12.480000,I", Some(12.48))]
    #[case::with_side_data("1,0.000000,I,side_data,", Some(0.0))]
    #[case::begins_to_refresh("1,12.480000,P", None)]
    #[case::in_between("0,12.480000,I", None)]
    #[case::without_time("1,N/A,I", None)]
    #[case::nothing("", None)]
    fn only_a_frame_that_needs_no_other_counts(#[case] line: &str, #[case] time: Option<f64>) {
        assert_eq!(key(line), time);
    }
}
