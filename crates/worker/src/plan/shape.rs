//! How long the chunks of a job are: the last ones are shorter, so that no slot waits long for another in the end. Pure.
//!
//! Each takes an equal share of what is left, between a longest and a shortest chunk, as in guided self-scheduling
//! (Polychronopoulos and Kuck, 1987). The share is no number of slots: the plan must not depend on the fleet.

use super::MAX_CHUNKS;

/// Shares that the last frames are cut into, at least. More shares make more chunks, each of which costs something.
const SHARES: f64 = 3.5;

/// What is cut smaller of a long source: a part of it.
const TAPER: f64 = 0.2;

/// A shortest chunk is this part of a longest.
const SHORTEST: f64 = 0.25;

/// Chunks there are for each longest one that would fit, at most, in a long source: 1 - TAPER, and of the rest TAPER as long
/// as they shrink (the logarithm of how much they do), and TAPER of the shortest.
const PER_LONGEST: f64 = 1.5;

/// Lengths of the chunks of a source of so many `units` (frames, or segments of the output), in order. A longest one is
/// `part` of all. None is empty; together they are the source.
#[must_use]
pub fn chunk_lengths(units: u64, part: f64) -> Vec<u64> {
    #[expect(clippy::cast_precision_loss, reason = "far below the 53 bits of a float")]
    let (all, least_part) = (units as f64, PER_LONGEST / MAX_CHUNKS as f64);
    let longest = (all * part.max(least_part)).round().max(1.0);
    let shortest = (longest * SHORTEST).round().max(1.0);
    let shares = (TAPER * all / longest).max(SHARES);
    let mut lengths = Vec::new();
    let mut left = all;
    while left > 0.0 {
        let share = (left / shares).round().clamp(shortest, longest);
        // The last two are alike, or one: what is left of a share would be too short a chunk, or too long a last one.
        let length = match left / shortest {
            ..1.5 => left,
            ..2.5 => (left / 2.0).round(),
            _ => share,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of units")]
        lengths.push(length as u64);
        left -= length;
    }
    lengths
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_chunks_are_shorter() {
        assert_eq!(chunk_lengths(1500, 0.4), [429, 306, 219, 156, 150, 120, 120]);
        assert_eq!(chunk_lengths(10, 0.4), [3, 2, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn most_chunks_of_a_long_source_are_as_long_as_they_may() {
        let lengths = chunk_lengths(180_000, 600.0 / 180_000.0);
        assert_eq!(lengths.iter().filter(|length| **length == 600).count(), 241);
        assert!(lengths.len() < 400, "{}", lengths.len());
    }

    proptest! {
        #[test]
        fn all_units_are_in_chunks_that_are_not_too_many(units in 1..=1_u64 << 25, part in 1e-9..0.5_f64) {
            let lengths = chunk_lengths(units, part);
            prop_assert_eq!(lengths.iter().sum::<u64>(), units);
            prop_assert!(lengths.iter().all(|length| *length > 0));
            prop_assert!(lengths.len() as u64 <= MAX_CHUNKS, "{}", lengths.len());
        }
    }
}
