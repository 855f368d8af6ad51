//! Finds the key frames from which chunks are decoded.

use tokio_util::sync::CancellationToken;

use super::{Patience, Prober};
use crate::{
    media::{Input, Media},
    tool::Tools,
};

/// More key frames are not looked for: each costs a search.
const MAX_KEYS: usize = 256;

/// The key frames at or before these times, on the container's clock, where its table tells them at once; nothing where
/// it does not, or the source is not a file here: over a network each search costs more than it saves.
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
    if times.is_empty() || times.len() > MAX_KEYS {
        return Vec::new();
    }
    let intervals: Vec<_> = times.iter().map(|time| format!("{:.6}%+#1", time.max(0.0))).collect();
    let entries = ["-read_intervals", &intervals.join(","), "-show_entries", "packet=pts_time,flags"];
    let prober = Prober { tools, input, video, patience, cancel };
    let mut keys = Vec::new();
    let found = prober.run(&entries, |line| {
        let (time, flags) = line.split_once(',').unwrap_or((line, ""));
        keys.extend(time.parse().ok().filter(|time: &f64| time.is_finite() && flags.contains('K')));
        keys.len() <= MAX_KEYS
    });
    // Without them chunks are only a little slower.
    if found.await.is_err() { Vec::new() } else { keys }
}
