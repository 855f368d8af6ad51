//! Whether the times of packets, in the order of decoding, are those of evenly spaced frames. Pure.

use std::collections::BTreeSet;

use crate::{media::FrameRate, plan::MAX_FRAMES};

/// By how many seconds a container may round a time: Matroska's clock counts milliseconds.
const TOLERANCE: f64 = 0.0011;

/// Part of a frame's length by which a time may be off, where that is less.
const PART_OF_FRAME: f64 = 0.125;

/// How many frames may come before their turn: more than any codec reorders.
const MAX_AHEAD: usize = 64;

/// How many packets may lie before the first frame: what was cut off cannot be decoded.
const MAX_BEFORE: u32 = 512;

/// Number of the frame that is `after` seconds behind the first, if one is due then.
pub(super) fn place(after: f64, rate: FrameRate) -> Option<u64> {
    let number = (after * rate.per_second()).round();
    let off = (after - number / rate.per_second()).abs();
    let tolerance = TOLERANCE.min(PART_OF_FRAME / rate.per_second());
    #[expect(clippy::cast_precision_loss, reason = "far below the 53 bits of a float")]
    let is_countable = (0.0..MAX_FRAMES as f64).contains(&number);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    let number = number as u64;
    (is_countable && off <= tolerance).then_some(number)
}

/// What all packets together are.
#[derive(Debug, PartialEq)]
pub(super) struct Even {
    /// Frames a second.
    pub(super) rate: FrameRate,
    /// How many there are.
    pub(super) frames: u64,
    /// Longest time without a key frame, in seconds.
    pub(super) key_distance: f64,
}

/// Looks at one packet after the other.
#[derive(Debug)]
pub(super) struct Scan {
    rate: FrameRate,
    first: f64,
    is_even: bool,
    /// Packets before the first frame.
    before: u32,
    /// All frames before this one have come.
    next: u64,
    ahead: BTreeSet<u64>,
    last_key: u64,
    key_frames: u64,
}

impl Scan {
    /// Frames at this rate, the first at this time.
    pub(super) fn new(first: f64, rate: FrameRate) -> Self {
        let ahead = BTreeSet::new();
        Self { rate, first, is_even: true, before: 0, next: 0, ahead, last_key: 0, key_frames: 0 }
    }

    /// Whether everything so far was evenly spaced.
    pub(super) fn is_even(&self) -> bool {
        self.is_even
    }

    /// The next packet; some have no time.
    pub(super) fn packet(&mut self, time: Option<f64>, is_key: bool) {
        if !self.is_even {
            return;
        }
        self.is_even = time.is_some_and(|time| self.take(time - self.first, is_key));
    }

    fn take(&mut self, after: f64, is_key: bool) -> bool {
        if after < -0.5 / self.rate.per_second() {
            self.before += 1;
            return self.before <= MAX_BEFORE;
        }
        let Some(number) = place(after, self.rate) else { return false };
        if is_key {
            self.key_frames = self.key_frames.max(number.saturating_sub(self.last_key));
            self.last_key = number;
        }
        let is_new = number >= self.next && self.ahead.insert(number);
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
        is_new && self.ahead.len() <= MAX_AHEAD
    }

    /// What it was, if it was evenly spaced to the end.
    pub(super) fn finish(self) -> Option<Even> {
        let is_whole = self.is_even && self.ahead.is_empty() && self.next > 0;
        let frames = self.key_frames.max(self.next.saturating_sub(self.last_key));
        #[expect(clippy::cast_precision_loss, reason = "far below the 53 bits of a float")]
        let key_distance = frames as f64 / self.rate.per_second();
        is_whole.then_some(Even { rate: self.rate, frames: self.next, key_distance })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NTSC: FrameRate = FrameRate { numerator: 30_000, denominator: 1001 };

    /// Frames by number, each rounded to milliseconds.
    fn scan(numbers: &[f64]) -> Option<Even> {
        let mut scan = Scan::new(0.021, NTSC);
        for (count, number) in numbers.iter().enumerate() {
            let time = 0.021 + number / NTSC.per_second();
            scan.packet(Some((time * 1000.0).round() / 1000.0), count % 60 == 0);
        }
        scan.finish()
    }

    #[test]
    fn frames_in_the_order_of_decoding_are_even() {
        let even = scan(&[0.0, 4.0, 2.0, 1.0, 3.0, 8.0, 6.0, 5.0, 7.0]).expect("even");
        assert_eq!((even.frames, even.rate), (9, NTSC));
    }

    #[rstest]
    #[case::gap(&[0.0, 1.0, 3.0])]
    #[case::twice(&[0.0, 1.0, 1.0, 2.0])]
    #[case::late(&[0.0, 1.0, 2.0, 3.3])]
    #[case::nothing(&[])]
    fn what_is_not_even_is_none(#[case] numbers: &[f64]) {
        assert_eq!(scan(numbers), None);
    }

    #[test]
    fn a_packet_without_a_time_is_not_even() {
        let mut scan = Scan::new(0.0, NTSC);
        scan.packet(None, true);
        assert!(!scan.is_even());
    }

    #[test]
    fn a_hole_does_not_fill_the_memory() {
        let numbers: Vec<_> = (0..100_000).filter(|number| *number != 1).map(f64::from).collect();
        let mut scan = Scan::new(0.0, NTSC);
        for number in &numbers {
            scan.packet(Some(number / NTSC.per_second()), false);
        }
        assert!(!scan.is_even() && scan.ahead.len() <= MAX_AHEAD + 1);
    }

    #[test]
    fn what_lies_before_the_first_frame_does_not_count() {
        let mut scan = Scan::new(1.0, NTSC);
        for number in [-3.0, -2.0, 2.0, 0.0, 1.0] {
            scan.packet(Some(1.0 + number / NTSC.per_second()), false);
        }
        assert_eq!(scan.finish().map(|even| even.frames), Some(3));
    }

    #[test]
    fn the_distance_of_key_frames_includes_both_ends() {
        let mut scan = Scan::new(0.0, FrameRate { numerator: 10, denominator: 1 });
        (0..100).for_each(|number| scan.packet(Some(f64::from(number) / 10.0), number == 30));
        assert_eq!(scan.finish().map(|even| even.key_distance), Some(7.0));
    }
}
