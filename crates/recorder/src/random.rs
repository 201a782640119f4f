//! Random numbers from a host generator, keyed by what they are for.
//!
//! The backends' own seeds are process globals that cannot be saved, and each device has its own
//! generator. Everything random in a training run (initial weights, shuffles, drawn samples)
//! comes from here instead: a number depends on the run's seed, its purpose, epoch and step, and
//! on nothing that happened before, recording included (ARCHITECTURE.md, invariant 1). The draws are
//! written out, not taken from `rand`, whose algorithms may change between versions.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use trace::Epoch;

/// What random numbers are for; each purpose has a stream of its own.
///
/// The numbers are part of what a seed means: never give one another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Weights and biases before the first step.
    InitialWeights = 1,
    /// The order of the training samples in an epoch.
    Shuffle = 2,
    /// Training samples of a set that is drawn anew every epoch.
    TrainSamples = 3,
    /// Held-out samples of a set that is drawn.
    HeldOutSamples = 4,
    /// Which samples of a file are held out.
    HeldOutSplit = 5,
    /// Units of a wide layer that are recorded.
    RecordedUnits = 6,
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct HostRng(ChaCha8Rng);

impl HostRng {
    /// The stream of one purpose, which does not depend on the epoch.
    pub(crate) fn for_run(seed: u64, purpose: Purpose) -> Self {
        Self::new(seed, purpose, Epoch::INITIAL, 0)
    }

    /// The stream of one purpose at one step of an epoch.
    pub(crate) fn new(seed: u64, purpose: Purpose, epoch: Epoch, step_in_epoch: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
        key[16..24].copy_from_slice(&i64::from(epoch.0).to_le_bytes());
        key[24..].copy_from_slice(&step_in_epoch.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A float in `[0, 1)`, one of 2²⁴ equally likely ones.
    pub(crate) fn uniform(&mut self) -> f32 {
        const STEP: f32 = 1.0 / (1 << 24) as f32;
        (self.0.next_u32() >> 8) as f32 * STEP
    }

    /// A float in `[-bound, bound)`.
    pub(crate) fn uniform_within(&mut self, bound: f32) -> f32 {
        (2.0 * self.uniform() - 1.0) * bound
    }

    /// The numbers `0..len` in random order (Fisher and Yates; Durstenfeld, 1964).
    pub(crate) fn permutation(&mut self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        for last in (1..len).rev() {
            order.swap(last, self.below(last as u64 + 1) as usize);
        }
        order
    }

    /// A number below `bound`, all equally likely (Lemire, "Fast random integer generation in an
    /// interval", 2019).
    fn below(&mut self, bound: u64) -> u64 {
        let num_biased = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(bound);
            if product as u64 >= num_biased {
                return (product >> 64) as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests;
