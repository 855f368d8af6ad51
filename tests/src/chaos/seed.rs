//! Numbers that look random and are a function of the seed alone, on every machine and in every version.

use std::time::Duration;

/// `SplitMix64`: small, fast, and good enough to choose faults with.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of a seed. `purpose` keeps sequences for different ends apart.
    #[must_use]
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut dice = Self(seed ^ purpose.wrapping_mul(0xA076_1D64_78BD_642F));
        dice.roll();
        dice
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `count`, which is not 0.
    pub fn below(&mut self, count: u64) -> u64 {
        self.roll() % count
    }

    /// True that often of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these, of which there is at least one.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let index = self.below(choices.len() as u64);
        &choices[usize::try_from(index).expect("below a length")]
    }

    /// A time between these, in milliseconds.
    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        let mut dice = Dice::new(1, 0);
        let rolls: Vec<_> = (0..3).map(|_| dice.below(1_000)).collect();
        let mut again = Dice::new(1, 0);
        assert_eq!(rolls, (0..3).map(|_| again.below(1_000)).collect::<Vec<_>>());
        let mut other = Dice::new(1, 1);
        assert_ne!(rolls, (0..3).map(|_| other.below(1_000)).collect::<Vec<_>>());
    }

    #[test]
    fn times_lie_between_their_bounds() {
        let mut dice = Dice::new(7, 0);
        for _ in 0..1_000 {
            let time = dice.millis(10, 12).as_millis();
            assert!((10..=12).contains(&time), "{time}");
        }
    }
}
