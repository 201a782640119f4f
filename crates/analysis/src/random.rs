//! Random numbers that are the same on every machine and in every version, by what they are for.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A stream of random numbers that its key alone decides about: ChaCha8, the key's numbers in little
/// endian.
///
/// What is drawn from the stream is written out here, not taken from `rand`, whose algorithms may
/// change between versions: what a seed means is part of what a run can be repeated by.
#[derive(Debug, Clone)]
pub struct KeyedRng(ChaCha8Rng);

impl KeyedRng {
    /// The stream of a key: by convention a seed, a purpose that nothing else has, and two numbers
    /// that tell the purpose's streams apart.
    pub fn new(key: [u64; 4]) -> Self {
        let mut bytes = [0; 32];
        for (bytes, number) in bytes.chunks_exact_mut(8).zip(key) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(bytes))
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A number below `bound`, all equally likely (Lemire, "Fast random integer generation in an
    /// interval", 2019). `bound` is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(bound);
            let low = product as u64;
            // The remainder, a slow division, is below `bound`: mostly it need not be known.
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }

    /// Puts values into a random order (Fisher and Yates; Durstenfeld, 1964).
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// The numbers `0..len` in random order.
    pub fn permutation(&mut self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        self.shuffle(&mut order);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Computed by an implementation of ChaCha8 of another language, checked against the published
    // zero-key vector: the key layout and the use of the bits are what a seed means.
    #[test]
    fn the_stream_is_chacha8_of_the_key() {
        let mut rng = KeyedRng::new([42, 2, 3, 7]);
        let high: Vec<u32> = (0..3).map(|_| rng.next_u32() >> 8).collect();
        assert_eq!(high, [742_486, 2_241_356, 3_974_204]);
    }

    #[test]
    fn a_permutation_is_what_fisher_yates_makes_of_the_stream() {
        let order = KeyedRng::new([42, 2, 3, 0]).permutation(8);
        assert_eq!(order, [0, 7, 5, 4, 3, 6, 1, 2]);
    }

    #[test]
    fn permutations_hold_every_number_once() {
        for len in [0, 1, 2, 1_500] {
            let mut order = KeyedRng::new([1, 2, 0, 0]).permutation(len);
            order.sort_unstable();
            assert!(order.into_iter().eq(0..len));
        }
    }

    #[test]
    fn all_permutations_are_about_equally_likely() {
        let mut counts = std::collections::HashMap::new();
        for stream in 0..6_000 {
            let order = KeyedRng::new([9, 2, stream, 0]).permutation(3);
            *counts.entry(order).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        // Six standard deviations of a binomial with n = 6000 and p = 1/6 are 173.
        assert!(
            counts.values().all(|&n| (827..=1_173).contains(&n)),
            "{counts:?}"
        );
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_it() {
        let mut rng = KeyedRng::new([5, 0, 0, 0]);
        let drawn: Vec<u64> = (0..1_000).map(|_| rng.below(3)).collect();
        for number in 0..3 {
            // Six standard deviations of a binomial with n = 1000 and p = 1/3 are 89.
            let count = drawn.iter().filter(|&&n| n == number).count();
            assert!((244..=422).contains(&count), "{count} times {number}");
        }
        assert!(drawn.iter().all(|&n| n < 3));
        assert_eq!(rng.below(1), 0);
    }
}
