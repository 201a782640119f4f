//! Random numbers from a host generator, keyed by what they are for.
//!
//! The backends' own seeds are process globals that cannot be saved, and each device has its own
//! generator. Everything random in a training run (initial weights, shuffles, drawn samples)
//! comes from here instead: a number depends on the run's seed, its purpose, epoch and step, and
//! on nothing that happened before, recording included (ARCHITECTURE.md, invariant 1).

use analysis::KeyedRng;
use trace::Epoch;

/// What random numbers are for; each purpose has a stream of its own.
///
/// The numbers are part of what a seed means: never give one another meaning. From 16 on they are
/// those of `trace` and `query`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
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
    /// Neurons that are silenced to compare others with.
    SilencedUnits = 7,
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct HostRng(KeyedRng);

impl HostRng {
    /// The stream of one purpose, which does not depend on the epoch.
    pub fn for_run(seed: u64, purpose: Purpose) -> Self {
        Self::new(seed, purpose, Epoch::INITIAL, 0)
    }

    /// The stream of one purpose at one step of an epoch.
    pub fn new(seed: u64, purpose: Purpose, epoch: Epoch, step_in_epoch: u64) -> Self {
        let epoch = i64::from(epoch.0).cast_unsigned();
        Self(KeyedRng::new([seed, purpose as u64, epoch, step_in_epoch]))
    }

    /// A float in `[0, 1)`, one of 2²⁴ equally likely ones.
    pub fn uniform(&mut self) -> f32 {
        const STEP: f32 = 1.0 / (1 << 24) as f32;
        (self.0.next_u32() >> 8) as f32 * STEP
    }

    /// A float in `[-bound, bound)`.
    pub fn uniform_within(&mut self, bound: f32) -> f32 {
        (2.0 * self.uniform() - 1.0) * bound
    }

    /// The numbers `0..len` in random order.
    pub fn permutation(&mut self, len: usize) -> Vec<usize> {
        self.0.permutation(len)
    }

    /// `count` of the numbers `0..len`, ascending, all choices being equally likely.
    pub fn choose(&mut self, len: usize, count: usize) -> Vec<usize> {
        let mut chosen = self.permutation(len);
        chosen.truncate(count);
        chosen.sort_unstable();
        chosen
    }
}

#[cfg(test)]
mod tests;
