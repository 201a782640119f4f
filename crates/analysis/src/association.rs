//! How strongly a neuron's activations go with each class that a network predicts.
//!
//! A neuron's values are sorted once, whatever the number of classes. Classes exclude one another,
//! so that one pass over the samples sums values and ranks for all classes.

use std::str::FromStr;

use crate::random::KeyedRng;

/// How many bins mutual information is estimated with.
///
/// They are of equal frequency as far as ties allow: with `n` samples, one of the rank `r` (from 1,
/// ties have the mean of their ranks) is in bin `⌊(r - ½) × NUM_BINS / n⌋`. Equal values share a
/// rank, so that they share a bin.
pub const NUM_BINS: usize = 8;

/// Which class each of the samples belongs to, as numbers from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Where the samples are among a neuron's activations.
    samples: Vec<u32>,
    /// The class of each of them.
    classes: Vec<u32>,
    /// How many samples each class has.
    counts: Vec<u32>,
}

impl Membership {
    /// Of the samples of a neuron's activations, in their order. Those without a class, or with one
    /// that is not below `num_classes`, are left out of everything.
    pub fn new(classes: &[Option<u32>], num_classes: usize) -> Self {
        let known = classes.iter().enumerate().filter_map(|(sample, class)| {
            let class = class.filter(|class| (*class as usize) < num_classes)?;
            Some((sample as u32, class))
        });
        let (samples, classes): (Vec<u32>, Vec<u32>) = known.unzip();
        Self::of(samples, classes, num_classes)
    }

    /// At most how many bytes a membership takes.
    pub fn num_bytes_of(num_samples: usize, num_classes: usize) -> usize {
        // While they are collected, vectors have room for up to twice of what there is.
        let of_samples = num_samples.saturating_mul(4 * size_of::<u32>());
        of_samples.saturating_add(num_classes.saturating_mul(size_of::<u32>()))
    }

    fn of(samples: Vec<u32>, classes: Vec<u32>, num_classes: usize) -> Self {
        let mut counts = vec![0; num_classes];
        for &class in &classes {
            counts[class as usize] += 1;
        }
        Self {
            samples,
            classes,
            counts,
        }
    }

    /// How many samples there are.
    pub fn num_samples(&self) -> usize {
        self.samples.len()
    }

    /// How many classes there are, those without samples included.
    pub fn num_classes(&self) -> usize {
        self.counts.len()
    }

    /// How many samples each class has.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// The class of each sample.
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// Whether a class can be told from the others: it has samples, and so have they.
    pub fn is_distinct(&self, class: usize) -> bool {
        let count = self.counts[class] as usize;
        count > 0 && count < self.num_samples()
    }

    /// As many of the samples, drawn with replacement (Efron, "Bootstrap methods: another look at
    /// the jackknife", 1979).
    pub fn resampled(&self, rng: &mut KeyedRng) -> Self {
        let drawn = (0..self.num_samples()).map(|_| rng.below(self.num_samples() as u64) as usize);
        let (samples, classes) = drawn.map(|i| (self.samples[i], self.classes[i])).unzip();
        Self::of(samples, classes, self.num_classes())
    }

    /// A neuron's activations at these samples.
    ///
    /// # Panics
    /// If there are fewer activations than the membership was made of samples.
    pub fn of_samples<'a>(&'a self, activations: &'a [f32]) -> impl Iterator<Item = f32> {
        self.samples
            .iter()
            .map(|&sample| activations[sample as usize])
    }
}

/// How a neuron's activation goes with one class: that a sample is of it, against all others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// The point-biserial correlation, which is Pearson's with a membership of 0 or 1: from -1 to 1.
    pub correlation: f64,
    /// The mutual information of the membership and the activation's bin, in nats, as the
    /// frequencies have it (see [`NUM_BINS`]). Not corrected for its bias: by chance alone about
    /// `(bins - 1) / 2n` are to be expected of `n` samples.
    pub mutual_information: f64,
    /// The probability that the activation is larger for a sample of the class than for another,
    /// ties counted half (Mann and Whitney, 1947): from 0 to 1, ½ where they are not told apart.
    pub auc: f64,
}

/// Which of the [`Scores`] decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// [`Scores::correlation`].
    Correlation,
    /// [`Scores::mutual_information`].
    MutualInformation,
    /// [`Scores::auc`].
    Auc,
}

impl Measure {
    /// All of them.
    pub const ALL: [Measure; 3] = [
        Measure::Correlation,
        Measure::MutualInformation,
        Measure::Auc,
    ];

    /// Its name, that of a column of `structure_scores`.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Correlation => "correlation",
            Measure::MutualInformation => "mutual_information",
            Measure::Auc => "auc",
        }
    }

    /// The score that decides.
    pub fn score(self, scores: &Scores) -> f64 {
        match self {
            Measure::Correlation => scores.correlation,
            Measure::MutualInformation => scores.mutual_information,
            Measure::Auc => scores.auc,
        }
    }

    /// How far a score is from what an activation has that says nothing of the class; neurons are
    /// ranked by it.
    pub fn strength(self, score: f64) -> f64 {
        match self {
            Measure::Correlation => score.abs(),
            Measure::MutualInformation => score,
            Measure::Auc => (score - 0.5).abs(),
        }
    }

    /// The strength on a scale on which chance makes about the same of every class: that of an AUC
    /// by the standard deviation that it has for a class of `count` among `num_samples` samples, up
    /// to a factor that all classes share.
    pub fn statistic(self, score: f64, count: u32, num_samples: usize) -> f64 {
        let strength = self.strength(score);
        match self {
            Measure::Correlation | Measure::MutualInformation => strength,
            Measure::Auc => {
                let (count, others) = (f64::from(count), num_samples as f64 - f64::from(count));
                strength * (count * others).sqrt()
            }
        }
    }
}

impl FromStr for Measure {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|measure| measure.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Measure::name).join(", ");
            format!("{name:?} is no measure of association (measures: {names})")
        })
    }
}

/// Scores neurons, one after the other, against the same samples and classes.
#[derive(Debug)]
pub struct Scorer<'a> {
    membership: &'a Membership,
    /// `k ln k` by `k`.
    k_ln_k: Vec<f64>,
    ranked: Ranked,
    /// Whether the neuron that was scored last could be.
    is_ranked: bool,
    /// By class: sums of centred values, sums of doubled ranks.
    values: Vec<f64>,
    ranks: Vec<u64>,
    /// How many samples of a class are in a bin, bins of a class in a row.
    in_bin: Vec<[u32; NUM_BINS]>,
    scores: Vec<Option<Scores>>,
}

impl<'a> Scorer<'a> {
    /// A scorer for the classes of `membership`.
    pub fn new(membership: &'a Membership) -> Self {
        let num_classes = membership.num_classes();
        Self {
            membership,
            k_ln_k: k_ln_k(membership.num_samples()),
            ranked: Ranked::default(),
            is_ranked: false,
            values: vec![0.0; num_classes],
            ranks: vec![0; num_classes],
            in_bin: vec![[0; NUM_BINS]; num_classes],
            scores: vec![None; num_classes],
        }
    }

    /// How many bytes a scorer for these classes takes.
    pub fn num_bytes_of(membership: &Membership) -> usize {
        let of_sample = size_of::<(f64, f64, u32, u8, u64)>();
        let of_class = size_of::<(f64, u64, [u32; NUM_BINS], Option<Scores>)>();
        let of_samples = (membership.num_samples() + 1).saturating_mul(of_sample);
        of_samples.saturating_add(membership.num_classes().saturating_mul(of_class))
    }

    /// The scores of a neuron by class, from its activations by sample.
    ///
    /// None where there is nothing to compare: the class has no samples or no others, the neuron's
    /// activation is the same for all of them, or not a finite number for one.
    ///
    /// # Panics
    /// If there are fewer activations than `membership` was made of samples.
    pub fn score(&mut self, activations: &[f32]) -> &[Option<Scores>] {
        self.scores.fill(None);
        self.is_ranked = self.ranked.rank(self.membership.of_samples(activations));
        if self.is_ranked {
            self.sum_up();
            for class in 0..self.scores.len() {
                if self.membership.is_distinct(class) {
                    self.scores[class] = Some(self.scores_of(class));
                }
            }
        }
        &self.scores
    }

    /// What was made of the values of the neuron that was scored last, if it has scores.
    pub(super) fn ranked(&self) -> Option<&Ranked> {
        self.is_ranked.then_some(&self.ranked)
    }

    fn sum_up(&mut self) {
        self.values.fill(0.0);
        self.ranks.fill(0);
        self.in_bin.fill([0; NUM_BINS]);
        let classes = self.membership.classes.iter().map(|&class| class as usize);
        let of_samples = self.ranked.centred.iter().zip(&self.ranked.doubled_ranks);
        let of_samples = of_samples.zip(&self.ranked.bins);
        for (class, ((value, rank), bin)) in classes.zip(of_samples) {
            self.values[class] += value;
            self.ranks[class] += u64::from(*rank);
            self.in_bin[class][usize::from(*bin)] += 1;
        }
    }

    fn scores_of(&self, class: usize) -> Scores {
        let num_samples = self.membership.num_samples() as f64;
        let count = self.membership.counts[class];
        let (own, others) = (f64::from(count), num_samples - f64::from(count));
        // Of a membership, 0 or 1, the sum of squares about the mean.
        let membership_square = own * others / num_samples;
        let correlation = self.values[class] / (self.ranked.square * membership_square).sqrt();
        let count = u64::from(count);
        // Twice the number of pairs that the class wins.
        let won = self.ranks[class] - count * (count + 1);
        Scores {
            correlation: correlation.clamp(-1.0, 1.0),
            mutual_information: self.information(&self.in_bin[class], count as usize),
            auc: won as f64 / (2.0 * own * others),
        }
    }

    fn information(&self, in_bin: &[u32; NUM_BINS], count: usize) -> f64 {
        information(&self.k_ln_k, &self.ranked.bin_counts, in_bin, count)
    }
}

/// `k ln k` for `k` from 0 to `len`.
pub(super) fn k_ln_k(len: usize) -> Vec<f64> {
    let entropy = |k: f64| if k == 0.0 { 0.0 } else { k * k.ln() };
    (0..=len).map(|k| entropy(k as f64)).collect()
}

/// The mutual information of a bin and a membership of `count` samples, `in_bin` of them by bin, in
/// nats.
pub(super) fn information(
    k_ln_k: &[f64],
    bin_counts: &[u32; NUM_BINS],
    in_bin: &[u32; NUM_BINS],
    count: usize,
) -> f64 {
    let num_samples = k_ln_k.len() - 1;
    let mut sum = k_ln_k[num_samples] - k_ln_k[count] - k_ln_k[num_samples - count];
    for (&all, &own) in bin_counts.iter().zip(in_bin) {
        let (all, own) = (all as usize, own as usize);
        sum += k_ln_k[own] + k_ln_k[all - own] - k_ln_k[all];
    }
    (sum / num_samples as f64).max(0.0)
}

/// A neuron's values in the order of the samples, as all classes need them.
#[derive(Debug, Default)]
pub(super) struct Ranked {
    /// Values less their mean.
    pub(super) centred: Vec<f64>,
    /// The sum of their squares.
    pub(super) square: f64,
    /// Twice the ranks, from 1, so that those of ties are whole numbers, too.
    pub(super) doubled_ranks: Vec<u32>,
    pub(super) bins: Vec<u8>,
    /// How many samples a bin has.
    pub(super) bin_counts: [u32; NUM_BINS],
    /// A value as an integer of the same order above its sample.
    keys: Vec<u64>,
}

impl Ranked {
    /// Takes a neuron's values; false if they are all the same or not all finite.
    fn rank(&mut self, values: impl Iterator<Item = f32>) -> bool {
        self.keys.clear();
        self.centred.clear();
        let mut is_finite = true;
        for (sample, value) in values.enumerate() {
            is_finite &= value.is_finite();
            self.centred.push(f64::from(value));
            self.keys.push(sort_key(value) << 32 | sample as u64);
        }
        self.keys.sort_unstable();
        let is_constant = match (self.keys.first(), self.keys.last()) {
            (Some(first), Some(last)) => first >> 32 == last >> 32,
            _ => true,
        };
        if is_constant || !is_finite {
            return false;
        }
        let num_samples = self.centred.len();
        let mean = self.centred.iter().sum::<f64>() / num_samples as f64;
        self.centred.iter_mut().for_each(|value| *value -= mean);
        self.square = self.centred.iter().map(|value| value * value).sum();

        self.doubled_ranks.resize(num_samples, 0);
        self.bins.resize(num_samples, 0);
        self.bin_counts = [0; NUM_BINS];
        let mut start = 0;
        for ties in self.keys.chunk_by(|a, b| a >> 32 == b >> 32) {
            let end = start + ties.len();
            // The mean of the ranks `start + 1 ..= end`, twice.
            let doubled = start + 1 + end;
            let bin = (doubled - 1) * NUM_BINS / (2 * num_samples);
            for &key in ties {
                let sample = key as u32 as usize;
                self.doubled_ranks[sample] = doubled as u32;
                self.bins[sample] = bin as u8;
            }
            self.bin_counts[bin] += ties.len() as u32;
            start = end;
        }
        true
    }
}

/// An integer of 32 bits that orders as the number does; 0 and -0 are one number.
fn sort_key(value: f32) -> u64 {
    let bits = (value + 0.0).to_bits();
    let key = match bits >> 31 {
        0 => bits | 1 << 31,
        _ => !bits,
    };
    u64::from(key)
}

#[cfg(test)]
mod tests;
