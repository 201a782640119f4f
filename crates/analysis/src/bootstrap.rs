//! How steady the strongest neurons of a class are: whether others would have been found on other
//! samples.
//!
//! Samples are drawn anew, with replacement, and of each draw the strongest neurons are kept. A
//! neuron's stability is the share of draws that has it among them (Meinshausen and Bühlmann,
//! "Stability selection", 2010, with bootstrap samples).

use std::thread;

use crate::random::KeyedRng;

use super::association::{Measure, Membership, Scorer};

/// What the draws' random numbers are for, as the second number of a [`KeyedRng`]'s key.
const PURPOSE: u64 = 18;

/// Draws of the samples, with the strongest neurons of each so far.
#[derive(Debug)]
pub struct Bootstrap {
    measure: Measure,
    size: usize,
    draws: Vec<Draw>,
}

#[derive(Debug)]
struct Draw {
    membership: Membership,
    /// By class: the strongest neurons, by their strength and number, the strongest first.
    strongest: Vec<Vec<(f64, u32)>>,
}

impl Bootstrap {
    /// So many draws from the samples of `membership`, which follow from the seed; `size` neurons of
    /// each class are kept.
    pub fn new(
        membership: &Membership,
        measure: Measure,
        num_draws: usize,
        size: usize,
        seed: u64,
    ) -> Self {
        let draw = |number: usize| Draw {
            membership: membership.resampled(&mut KeyedRng::new([seed, PURPOSE, number as u64, 0])),
            strongest: vec![Vec::new(); membership.num_classes()],
        };
        Self {
            measure,
            size,
            draws: (0..num_draws).map(draw).collect(),
        }
    }

    /// At most how many bytes so many draws take, whatever neurons they are shown.
    pub fn num_bytes_of(membership: &Membership, num_draws: usize, size: usize) -> usize {
        let (num_samples, num_classes) = (membership.num_samples(), membership.num_classes());
        // A vector grows by doubling, from four values on.
        let kept = size.max(4).checked_next_power_of_two().unwrap_or(size);
        let of_class = kept.saturating_mul(size_of::<(f64, u32)>());
        let of_class = of_class.saturating_add(size_of::<Vec<(f64, u32)>>());
        let of_draw = Membership::num_bytes_of(num_samples, num_classes)
            .saturating_add(num_classes.saturating_mul(of_class))
            .saturating_add(size_of::<Draw>());
        num_draws.saturating_mul(of_draw)
    }

    /// How many bytes [`add`](Self::add) takes on each thread.
    pub fn num_bytes_of_thread(membership: &Membership) -> usize {
        Scorer::num_bytes_of(membership)
    }

    /// Scores neurons on every draw, on so many threads. Of equally strong ones the lower number
    /// comes first, if numbers ascend.
    ///
    /// # Panics
    /// As [`Scorer::score`].
    pub fn add(&mut self, neurons: &[(u32, &[f32])], num_threads: usize) {
        let share = self.draws.len().div_ceil(num_threads.max(1)).max(1);
        let (measure, size) = (self.measure, self.size);
        thread::scope(|scope| {
            for draws in self.draws.chunks_mut(share) {
                scope.spawn(move || {
                    for draw in draws {
                        draw.add(neurons, measure, size);
                    }
                });
            }
        });
    }

    /// The share of the draws that has a neuron among the strongest of a class. None if no draw tells
    /// the class apart.
    pub fn stability(&self, neuron: u32, class: usize) -> Option<f64> {
        let is_distinct = |draw: &&Draw| draw.membership.is_distinct(class);
        let has = |draw: &&Draw| draw.strongest[class].iter().any(|kept| kept.1 == neuron);
        let num_distinct = self.draws.iter().filter(is_distinct).count();
        let num_kept = self.draws.iter().filter(has).count();
        (num_distinct > 0).then(|| num_kept as f64 / num_distinct as f64)
    }
}

impl Draw {
    fn add(&mut self, neurons: &[(u32, &[f32])], measure: Measure, size: usize) {
        let mut scorer = Scorer::new(&self.membership);
        for &(neuron, activations) in neurons {
            let scores = scorer.score(activations).iter();
            for (scores, strongest) in scores.zip(&mut self.strongest) {
                let Some(scores) = scores else { continue };
                let strength = measure.strength(measure.score(scores));
                let place = strongest.partition_point(|(kept, _)| *kept >= strength);
                if place < size {
                    strongest.truncate(size - 1);
                    strongest.insert(place, (strength, neuron));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forty samples of two classes in turn.
    fn membership() -> Membership {
        let classes: Vec<Option<u32>> = (0..40).map(|sample| Some(sample % 2)).collect();
        Membership::new(&classes, 3)
    }

    fn noise(seed: u64) -> Vec<f32> {
        let mut rng = KeyedRng::new([seed, 1000, 0, 0]);
        (0..40)
            .map(|_| rng.next_u32() as f32 / u32::MAX as f32)
            .collect()
    }

    #[test]
    fn what_is_strong_on_all_samples_is_strong_on_others() {
        let membership = membership();
        let follows: Vec<f32> = (0..40).map(|sample| (sample % 2) as f32).collect();
        let others: Vec<Vec<f32>> = (0..9).map(noise).collect();
        let mut neurons: Vec<(u32, &[f32])> = vec![(7, &follows)];
        neurons.extend((10..).zip(others.iter().map(Vec::as_slice)));
        for measure in Measure::ALL {
            let mut bootstrap = Bootstrap::new(&membership, measure, 50, 2, 1);
            // Layer by layer.
            bootstrap.add(&neurons[..4], 2);
            bootstrap.add(&neurons[4..], 3);
            assert_eq!(bootstrap.stability(7, 0), Some(1.0));
            assert_eq!(bootstrap.stability(7, 1), Some(1.0));
            // Nine neurons of noise share one place in each draw.
            let shares = (10..19).map(|neuron| bootstrap.stability(neuron, 0));
            let shares: Vec<f64> = shares.flatten().collect();
            assert!(
                (shares.iter().sum::<f64>() - 1.0).abs() < 1e-12,
                "{shares:?}"
            );
            assert!(shares.iter().all(|share| *share < 0.9), "{shares:?}");
            // Class 2 has no samples.
            assert_eq!(bootstrap.stability(7, 2), None);
        }
    }

    #[test]
    fn draws_follow_from_the_seed_and_threads_change_nothing() {
        let membership = membership();
        let others: Vec<Vec<f32>> = (0..9).map(noise).collect();
        let neurons: Vec<(u32, &[f32])> = (0..).zip(others.iter().map(Vec::as_slice)).collect();
        let of = |seed, num_threads| {
            let mut bootstrap = Bootstrap::new(&membership, Measure::Auc, 20, 3, seed);
            bootstrap.add(&neurons, num_threads);
            (0..9)
                .map(|neuron| bootstrap.stability(neuron, 1))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(1, 1), of(1, 8));
        assert_ne!(of(1, 1), of(2, 1));
    }
}
