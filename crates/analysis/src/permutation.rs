//! What chance makes of association: a permutation test, corrected for how much is compared.
//!
//! Which sample has which class is permuted, and of each permutation the largest statistic over all
//! neurons and classes is kept. A score is unlikely by chance if few of those maxima reach it: that
//! holds the probability of any false discovery among all neurons and classes together, whatever
//! their dependence on one another (Westfall and Young, "Resampling-Based Multiple Testing", 1993:
//! the single-step maxT procedure).

use std::thread;

use crate::random::KeyedRng;

use super::association::{Measure, Membership, NUM_BINS, Scorer, information, k_ln_k};

/// What the permutations' random numbers are for, as the second number of a [`KeyedRng`]'s key.
const PURPOSE: u64 = 17;

/// How many neurons are summed up side by side.
const LANES: usize = 32;

/// How many permutations a thread makes before it goes through the neurons.
const PERMUTATIONS_AT_ONCE: usize = 64;

/// Sums in another order differ in their last digits: a maximum that is smaller than a score by this
/// share of it reaches it still.
const ROUNDING: f64 = 1e-9;

/// Neurons, kept in the form in which permutations go through them.
#[derive(Debug)]
pub struct Candidates {
    measure: Measure,
    num_samples: usize,
    num_neurons: usize,
    /// Of measures that are sums over a class: by 32 neurons, the values of a sample in a row, in
    /// units of their spread over the samples.
    blocks: Vec<Vec<[f64; LANES]>>,
    /// Of mutual information: by neuron.
    binned: Vec<Binned>,
}

#[derive(Debug)]
struct Binned {
    bins: Vec<u8>,
    bin_counts: [u32; NUM_BINS],
}

impl Candidates {
    /// No neuron yet, of so many samples each.
    pub fn new(measure: Measure, num_samples: usize) -> Self {
        Self {
            measure,
            num_samples,
            num_neurons: 0,
            blocks: Vec::new(),
            binned: Vec::new(),
        }
    }

    /// At most how many bytes so many neurons take.
    pub fn num_bytes_of(measure: Measure, num_samples: usize, num_neurons: usize) -> usize {
        match measure {
            Measure::MutualInformation => {
                // Vectors grow by doubling.
                let of_neuron = num_samples.saturating_add(2 * size_of::<Binned>());
                num_neurons.saturating_mul(of_neuron)
            }
            Measure::Correlation | Measure::Auc => {
                let block = num_samples.saturating_mul(size_of::<[f64; LANES]>());
                let block = block.saturating_add(2 * size_of::<Vec<[f64; LANES]>>());
                num_neurons.div_ceil(LANES).saturating_mul(block)
            }
        }
    }

    /// Takes in the neuron that was scored last, if it has any score.
    pub fn push(&mut self, scorer: &Scorer<'_>) {
        let Some(ranked) = scorer.ranked() else {
            return;
        };
        let lane = self.num_neurons % LANES;
        let num_samples = self.num_samples as f64;
        match self.measure {
            Measure::MutualInformation => self.binned.push(Binned {
                bins: ranked.bins.clone(),
                bin_counts: ranked.bin_counts,
            }),
            Measure::Correlation => {
                let scale = ranked.square.sqrt().recip();
                let values = ranked.centred.iter().map(|value| value * scale);
                fill_lane(self.block(lane), lane, values);
            }
            Measure::Auc => {
                let scale = num_samples.sqrt().recip();
                let mean = (num_samples + 1.0) / 2.0;
                let ranks = ranked.doubled_ranks.iter();
                let values = ranks.map(|rank| (f64::from(*rank) / 2.0 - mean) * scale);
                fill_lane(self.block(lane), lane, values);
            }
        }
        self.num_neurons += 1;
    }

    fn block(&mut self, lane: usize) -> &mut [[f64; LANES]] {
        if lane == 0 {
            self.blocks.push(vec![[0.0; LANES]; self.num_samples]);
        }
        self.blocks.last_mut().expect("pushed with its first lane")
    }
}

fn fill_lane(block: &mut [[f64; LANES]], lane: usize, values: impl Iterator<Item = f64>) {
    for (lanes, value) in block.iter_mut().zip(values) {
        lanes[lane] = value;
    }
}

/// The largest statistic of each permutation, over the neurons that were taken in so far.
#[derive(Debug)]
pub struct NullMaxima {
    measure: Measure,
    seed: u64,
    maxima: Vec<f64>,
}

impl NullMaxima {
    /// So many permutations, which follow from the seed.
    pub fn new(measure: Measure, num_permutations: usize, seed: u64) -> Self {
        Self {
            measure,
            seed,
            maxima: vec![0.0; num_permutations],
        }
    }

    /// How many bytes so many permutations take.
    pub fn num_bytes_of(num_permutations: usize) -> usize {
        num_permutations.saturating_mul(size_of::<f64>())
    }

    /// How many bytes [`add`](Self::add) takes on each thread.
    pub fn num_bytes_of_thread(membership: &Membership) -> usize {
        let permuted = PERMUTATIONS_AT_ONCE * size_of::<u32>();
        let of_samples = membership.num_samples().saturating_mul(permuted);
        // The sums of a class, or its table, and what all threads have in common.
        let of_class = size_of::<([f64; LANES], [u32; NUM_BINS], f64)>();
        let of_classes = membership.num_classes().saturating_mul(of_class);
        let shared = (membership.num_samples() + 1).saturating_mul(size_of::<f64>());
        of_samples.saturating_add(of_classes).saturating_add(shared)
    }

    /// Goes through more neurons, on so many threads. All neurons must be of the same samples and
    /// classes: each permutation is the same for all of them.
    pub fn add(&mut self, membership: &Membership, neurons: &Candidates, num_threads: usize) {
        if neurons.num_neurons == 0 || self.maxima.is_empty() {
            return;
        }
        let pass = Pass {
            membership,
            neurons,
            seed: self.seed,
            scales: scales(membership),
            k_ln_k: match self.measure {
                Measure::MutualInformation => k_ln_k(membership.num_samples()),
                Measure::Correlation | Measure::Auc => Vec::new(),
            },
        };
        let share = self.maxima.len().div_ceil(num_threads.max(1));
        let mut shares = self.maxima.chunks_mut(share).enumerate();
        let own = shares.next();
        thread::scope(|scope| {
            for (index, maxima) in shares {
                let pass = &pass;
                scope.spawn(move || pass.raise(maxima, index * share));
            }
            if let Some((_, maxima)) = own {
                pass.raise(maxima, 0);
            }
        });
    }

    /// What the maxima say of scores, once all neurons are in.
    pub fn p_values(mut self) -> PValues {
        self.maxima.sort_unstable_by(f64::total_cmp);
        PValues {
            maxima: self.maxima,
        }
    }
}

/// By class, what a sum of its values is multiplied by, so that all classes have the same spread; 0
/// where there is nothing to compare.
fn scales(membership: &Membership) -> Vec<f64> {
    let num_samples = membership.num_samples() as f64;
    let counts = membership.counts().iter().enumerate();
    let scale = |(class, count): (usize, &u32)| match membership.is_distinct(class) {
        true => {
            let own = f64::from(*count);
            (own * (num_samples - own) / num_samples).sqrt().recip()
        }
        false => 0.0,
    };
    counts.map(scale).collect()
}

/// One way through neurons under all permutations.
struct Pass<'a> {
    membership: &'a Membership,
    neurons: &'a Candidates,
    seed: u64,
    scales: Vec<f64>,
    k_ln_k: Vec<f64>,
}

impl Pass<'_> {
    /// Raises the maxima of the permutations from number `first` on.
    fn raise(&self, maxima: &mut [f64], first: usize) {
        let num_samples = self.membership.num_samples();
        let mut classes = Vec::with_capacity(PERMUTATIONS_AT_ONCE * num_samples);
        for (part, maxima) in maxima.chunks_mut(PERMUTATIONS_AT_ONCE).enumerate() {
            classes.clear();
            for index in 0..maxima.len() {
                let number = first + part * PERMUTATIONS_AT_ONCE + index;
                let start = classes.len();
                classes.extend_from_slice(self.membership.classes());
                KeyedRng::new([self.seed, PURPOSE, number as u64, 0])
                    .shuffle(&mut classes[start..]);
            }
            for block in &self.neurons.blocks {
                let mut sums = vec![[0.0; LANES]; self.scales.len()];
                for (maximum, classes) in maxima.iter_mut().zip(classes.chunks(num_samples)) {
                    *maximum = maximum.max(self.largest_sum(block, classes, &mut sums));
                }
            }
            for neuron in &self.neurons.binned {
                let mut table = vec![[0; NUM_BINS]; self.scales.len()];
                for (maximum, classes) in maxima.iter_mut().zip(classes.chunks(num_samples)) {
                    *maximum = maximum.max(self.most_information(neuron, classes, &mut table));
                }
            }
        }
    }

    fn largest_sum(
        &self,
        block: &[[f64; LANES]],
        classes: &[u32],
        sums: &mut [[f64; LANES]],
    ) -> f64 {
        sums.fill([0.0; LANES]);
        for (values, &class) in block.iter().zip(classes) {
            for (sum, value) in sums[class as usize].iter_mut().zip(values) {
                *sum += value;
            }
        }
        let mut largest = [0.0_f64; LANES];
        for (sums, &scale) in sums.iter().zip(&self.scales) {
            for (largest, sum) in largest.iter_mut().zip(sums) {
                *largest = largest.max(sum.abs() * scale);
            }
        }
        largest.into_iter().fold(0.0, f64::max)
    }

    fn most_information(
        &self,
        neuron: &Binned,
        classes: &[u32],
        table: &mut [[u32; NUM_BINS]],
    ) -> f64 {
        table.fill([0; NUM_BINS]);
        for (&bin, &class) in neuron.bins.iter().zip(classes) {
            table[class as usize][usize::from(bin)] += 1;
        }
        let mut most = 0.0_f64;
        for (class, in_bin) in table.iter().enumerate() {
            if self.membership.is_distinct(class) {
                let count = self.membership.counts()[class] as usize;
                let found = information(&self.k_ln_k, &neuron.bin_counts, in_bin, count);
                most = most.max(found);
            }
        }
        most
    }
}

/// How likely chance reaches a score in any of the neurons and classes that were compared.
#[derive(Debug)]
pub struct PValues {
    /// Ascending.
    maxima: Vec<f64>,
}

impl PValues {
    /// The corrected p-value of a [`Measure::statistic`]: `(1 + r) / (1 + permutations)` with `r`
    /// permutations that reach it (Phipson and Smyth, "Permutation P-values should never be zero",
    /// 2010). None without permutations.
    pub fn of(&self, statistic: f64) -> Option<f64> {
        let all = self.maxima.len();
        let needed = statistic * (1.0 - ROUNDING);
        let reached = all - self.maxima.partition_point(|maximum| *maximum < needed);
        (all > 0).then(|| (1 + reached) as f64 / (1 + all) as f64)
    }
}

#[cfg(test)]
mod tests;
