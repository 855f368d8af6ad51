//! Finds the key frames from which chunks are decoded.

use tokio_util::sync::CancellationToken;

use super::{Patience, Prober};
use crate::{
    media::{Input, Media},
    plan::Plan,
    tool::Tools,
};

/// More are not looked up in a container's table: each reads two packets.
const MAX_SEARCHES: usize = 2048;

/// Of those that are wanted, the first ones are decoded.
const MAX_LOOKS: usize = 512;

/// A source whose table tells its key frames at once.
pub(crate) struct KeySearch<'a>(Prober<'a>);

impl<'a> KeySearch<'a> {
    /// `None` where there is no such table, or the source is not a file here: over a network each search costs more than it
    /// saves.
    pub(crate) fn new(
        tools: &'a Tools,
        input: &'a Input,
        media: &'a Media,
        patience: Patience,
        cancel: &'a CancellationToken,
    ) -> Option<Self> {
        let video = media.video.as_ref().filter(|_| media.has_frame_table && input.proxy.is_none())?;
        Some(Self(Prober { tools, input, video, patience, cancel }))
    }

    /// The key frames that [`Plan::align`] wants with the same arguments, in seconds on the source's clock; without them chunks
    /// are only a little slower.
    ///
    /// The table is cheap to ask, so it tells which ones these are. Only they are decoded: a frame that the table calls one,
    /// but that is made from others, is left out, as pictures of a stream that is refreshed little by little are whole only
    /// some time behind it. Nobody then looks for another near it: a table that lies once is not asked again.
    pub(crate) async fn wanted_by(&self, plan: &Plan, origin: f64, may_move: bool) -> Vec<f64> {
        let searches = plan.searches(origin, may_move, MAX_SEARCHES);
        let keys = self.find(&searches, "packet=pts_time,flags", MAX_SEARCHES, told).await;
        let mut wanted = plan.decoded_from(&keys, origin, may_move);
        wanted.truncate(MAX_LOOKS);
        self.find(&wanted, "frame=key_frame,best_effort_timestamp_time,pict_type", MAX_LOOKS, seen).await
    }

    /// What `parse` makes of the last key frame before each of these times.
    async fn find(&self, times: &[f64], entries: &str, most: usize, parse: fn(&str) -> Option<f64>) -> Vec<f64> {
        if times.is_empty() || times.len() > most {
            return Vec::new();
        }
        let intervals: Vec<_> = times.iter().map(|time| format!("{:.6}%+#1", time.max(0.0))).collect();
        let args = ["-read_intervals", &intervals.join(","), "-show_entries", entries];
        let mut keys = Vec::new();
        let found = self.0.run(&args, |line| {
            keys.extend(parse(line).filter(|time| time.is_finite()));
            keys.len() <= most
        });
        if found.await.is_err() { Vec::new() } else { keys }
    }
}

/// The time of a packet that is called a key frame, and that no edit list hides.
fn told(line: &str) -> Option<f64> {
    let (time, flags) = line.split_once(',')?;
    time.parse().ok().filter(|_| flags.contains('K') && !flags.contains('D'))
}

/// The time of a frame that needs no other.
fn seen(line: &str) -> Option<f64> {
    let mut columns = line.split(',');
    let (is_key, time, kind) = (columns.next()?, columns.next()?, columns.next()?);
    time.parse().ok().filter(|_| is_key == "1" && kind == "I")
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
        assert_eq!(seen(line), time);
    }

    #[rstest]
    #[case::key_frame("12.480000,K__", Some(12.48))]
    #[case::with_side_data("12.480000,K__,side_data,", Some(12.48))]
    #[case::in_between("12.480000,___", None)]
    #[case::hidden("-0.480000,KD_", None)]
    #[case::without_time("N/A,K__", None)]
    #[case::nothing("", None)]
    fn only_a_key_frame_that_is_shown_is_told(#[case] line: &str, #[case] time: Option<f64>) {
        assert_eq!(told(line), time);
    }
}
