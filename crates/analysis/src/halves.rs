//! Halves of the held-out samples: neurons that were chosen on one are judged on the other.

use std::fmt;
use std::str::FromStr;

/// Which held-out samples something was worked out from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Half {
    /// One of two halves.
    First,
    /// The other one.
    Second,
    /// All of them.
    #[default]
    All,
}

impl Half {
    /// Its name: on command lines and in the tables `structures` and `ablations`.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
            Self::All => "all",
        }
    }

    /// The samples that are not in it; of all of them, all again.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
            Self::All => Self::All,
        }
    }

    /// The samples of the half, ascending, where sample `i` has the class `classes[i]`, or none.
    ///
    /// The halves are stratified: they have every class, and all samples, in equal numbers or with
    /// one more. They follow from the seed and the classes alone, so whoever chooses neurons and
    /// whoever judges them agree on them: the samples of each class are ordered by a hash of seed
    /// and sample (the finalizer of SplitMix64: Steele, Lea and Flood, "Fast splittable
    /// pseudorandom number generators", 2014), and dealt out one by one, class after class.
    pub fn samples(self, classes: &[Option<i32>], seed: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..classes.len()).collect();
        if self == Self::All {
            return order;
        }
        order.sort_by_key(|&sample| (classes[sample], hash(seed, sample as u64), sample));
        let first = usize::from(self == Self::Second);
        let mut samples: Vec<usize> = order.into_iter().skip(first).step_by(2).collect();
        samples.sort_unstable();
        samples
    }
}

/// The sample's number in a SplitMix64 sequence that starts at the mixed seed.
fn hash(seed: u64, sample: u64) -> u64 {
    const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    let start = mix(seed.wrapping_add(GOLDEN_GAMMA));
    mix(start.wrapping_add((sample + 1).wrapping_mul(GOLDEN_GAMMA)))
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no half.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no half of the held-out samples: there are first, second and all")]
pub struct ParseHalfError(pub String);

impl FromStr for Half {
    type Err = ParseHalfError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::First, Self::Second, Self::All]
            .into_iter()
            .find(|half| half.name() == text)
            .ok_or_else(|| ParseHalfError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests;
