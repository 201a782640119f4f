//! The meta-model: what neurons' activations tell of whether the network is right.
//!
//! Two models are fitted to the same samples, a random forest (Breiman, "Random forests", 2001) and
//! a logistic regression, and judged on samples that they were not fitted to.

use std::thread;

use crate::random::KeyedRng;
use smartcore::ensemble::random_forest_regressor::{
    RandomForestRegressor, RandomForestRegressorParameters,
};
use smartcore::error::Failed;
use smartcore::linalg::basic::arrays::MutArray as _;
use smartcore::linalg::basic::matrix::DenseMatrix;

use super::probe::{
    INVERSE_PENALTY, NUM_FOLDS, Scaler, auc_of, dot, fit, folds, joint_power_bytes,
};

/// A tree's leaf has at least so many samples.
const MIN_LEAF: usize = 2;

/// What keeps this module's random numbers apart from those of others with the same seed.
const RANDOM_STREAM: u64 = 0x6d65_7461;

type Forest = RandomForestRegressor<f32, f64, DenseMatrix<f32>, Vec<f64>>;

/// How well a model puts the samples that it was not fitted to in order: the probability that one
/// that the network is right about comes above one that it is wrong about, fold by fold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOutAuc {
    /// Mean over the folds: from 0 to 1, ½ by chance.
    pub mean: f64,
    /// Standard deviation over the folds.
    pub deviation: f64,
}

/// How much a neuron matters to the forest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NeuronImportance {
    /// By how much the forest's AUC falls where the neuron's activations are shuffled among the
    /// samples that it was not fitted to (Breiman, 2001), the mean over the folds. Of neurons that
    /// say the same, each can stand in for the other, and neither is important by itself.
    pub mean: f64,
    /// Its standard deviation over the folds.
    pub deviation: f64,
}

/// What is fitted, and asked of what was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetaModelParts {
    /// A random forest of so many trees; none for no forest.
    pub trees: Option<usize>,
    /// Whether the forest is asked how much each neuron matters to it.
    pub importances: bool,
    /// Whether a logistic regression is fitted.
    pub linear: bool,
}

/// What neurons tell of whether the network is right, as far as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct MetaModel {
    /// Of the random forest.
    pub forest: Option<HeldOutAuc>,
    /// Of the logistic regression.
    pub linear: Option<HeldOutAuc>,
    /// By neuron, how much it matters to the forest.
    pub importances: Option<Vec<NeuronImportance>>,
    /// By neuron, its weight in the logistic regression, by which standardised activations speak for a
    /// sample that the network is right about: the mean over the folds.
    pub coefficients: Option<Vec<f64>>,
}

/// Why there is no meta-model.
#[derive(Debug, thiserror::Error)]
pub enum MetaModelError {
    /// The network is right, or wrong, too seldom.
    #[error(
        "the network is right about {num_right} of {num_samples} samples and wrong about {}, and {NUM_FOLDS} \
         of either are the least that can be learned from",
        num_samples - num_right
    )]
    TooFew {
        /// How many it is right about.
        num_right: usize,
        /// How many there are.
        num_samples: usize,
    },
    /// A neuron's activations are no numbers to learn from.
    #[error("an activation is not finite")]
    NotFinite,
    /// There is nothing to learn from.
    #[error("there are no neurons")]
    NoNeurons,
    /// The forest cannot be grown.
    #[error("the forest cannot be grown: {0}")]
    Forest(#[from] Failed),
}

/// Cross-validates the models: each is fitted [`NUM_FOLDS`] times, and judged on the fold that is
/// left out; the `j`-th sample of either side is in fold `j` modulo [`NUM_FOLDS`].
///
/// `neurons` are the activations of each by sample, `is_right` says which samples the network is
/// right about. With one seed the result is the same, however many threads there are.
///
/// # Errors
/// If there is too little to learn from, or an activation is not finite.
///
/// # Panics
/// If a neuron has fewer activations than there are samples.
pub fn meta_model(
    neurons: &[&[f32]],
    is_right: &[bool],
    parts: MetaModelParts,
    seed: u64,
    num_threads: usize,
) -> Result<MetaModel, MetaModelError> {
    let num_samples = is_right.len();
    let num_right = is_right.iter().filter(|right| **right).count();
    if num_right.min(num_samples - num_right) < NUM_FOLDS {
        return Err(MetaModelError::TooFew {
            num_right,
            num_samples,
        });
    }
    if neurons.is_empty() {
        return Err(MetaModelError::NoNeurons);
    }
    let is_finite = |neuron: &&[f32]| neuron[..num_samples].iter().all(|v| v.is_finite());
    if !neurons.iter().all(is_finite) {
        return Err(MetaModelError::NotFinite);
    }
    let of_sample = folds(is_right);
    let share = NUM_FOLDS.div_ceil(num_threads.max(1));
    let all: Vec<usize> = (0..NUM_FOLDS).collect();
    let judged = thread::scope(|scope| {
        let parts = all.chunks(share).map(|part| {
            let of_sample = &of_sample;
            scope.spawn(move || {
                let judge = |&fold: &usize| {
                    let fold = Fold::new(neurons, is_right, of_sample, fold);
                    fold.judge(parts, seed)
                };
                part.iter().map(judge).collect::<Result<Vec<Judged>, _>>()
            })
        });
        let parts: Vec<_> = parts.collect();
        let joined = parts.into_iter().map(|part| {
            part.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        joined.collect::<Result<Vec<_>, Failed>>()
    })?;
    let judged: Vec<Judged> = judged.into_iter().flatten().collect();
    Ok(MetaModel {
        forest: auc_of_folds(&judged, |fold| Some(fold.forest.as_ref()?.auc)),
        linear: auc_of_folds(&judged, |fold| Some(fold.linear.as_ref()?.auc)),
        importances: of_neurons(&judged, |fold| fold.forest.as_ref()?.falls.as_deref()).map(
            |of_neurons| {
                let of_neurons = of_neurons.into_iter();
                of_neurons
                    .map(|(mean, deviation)| NeuronImportance { mean, deviation })
                    .collect()
            },
        ),
        coefficients: of_neurons(&judged, |fold| Some(&fold.linear.as_ref()?.coefficients))
            .map(|of_neurons| of_neurons.into_iter().map(|(mean, _)| mean).collect()),
    })
}

/// At most how many bytes [`meta_model`] takes on each thread.
pub fn meta_model_bytes(num_neurons: usize, num_samples: usize, parts: MetaModelParts) -> usize {
    let linear = match parts.linear {
        true => joint_power_bytes(num_neurons, num_samples),
        false => 0,
    };
    let forest = parts.trees.map_or(0, |num_trees| {
        // Activations; samples in the order of each neuron, and those that a tree is grown from.
        let of_value = size_of::<f32>() + 3 * size_of::<usize>();
        let values = num_samples.saturating_mul(num_neurons);
        // A tree has fewer nodes than samples, of ten words each; a vector may have grown to twice that.
        let tree = num_samples.saturating_mul(2 * 10 * size_of::<usize>());
        let of_samples = num_samples.saturating_mul(128);
        values
            .saturating_mul(of_value)
            .saturating_add(num_trees.saturating_mul(tree))
            .saturating_add(of_samples)
    });
    let of_neurons = num_neurons.saturating_mul(64);
    linear.saturating_add(forest).saturating_add(of_neurons)
}

fn auc_of_folds(judged: &[Judged], of: fn(&Judged) -> Option<f64>) -> Option<HeldOutAuc> {
    let aucs = judged.iter().map(of).collect::<Option<Vec<f64>>>()?;
    let (mean, deviation) = mean_and_deviation(aucs.iter().copied());
    Some(HeldOutAuc { mean, deviation })
}

/// By neuron, the mean and deviation over the folds of what each says of it.
fn of_neurons(judged: &[Judged], of: fn(&Judged) -> Option<&[f64]>) -> Option<Vec<(f64, f64)>> {
    let folds = judged.iter().map(of).collect::<Option<Vec<&[f64]>>>()?;
    let num_neurons = folds.first().map_or(0, |fold| fold.len());
    let of_neuron = |neuron| mean_and_deviation(folds.iter().map(move |fold| fold[neuron]));
    Some((0..num_neurons).map(of_neuron).collect())
}

/// How well a score that needs no fitting, as the network's own confidence, puts the samples of each
/// fold in order. None if either side has fewer samples than there are folds.
///
/// # Panics
/// If there are not as many scores as samples.
pub fn held_out_auc(scores: &[f32], is_right: &[bool]) -> Option<HeldOutAuc> {
    assert_eq!(scores.len(), is_right.len(), "one score a sample");
    let num_right = is_right.iter().filter(|right| **right).count();
    if num_right.min(is_right.len() - num_right) < NUM_FOLDS {
        return None;
    }
    let of_sample = folds(is_right);
    let of_fold = (0..NUM_FOLDS).map(|fold| {
        let samples = || (0..scores.len()).filter(|&sample| of_sample[sample] == fold);
        let decisions: Vec<f64> = samples().map(|sample| scores[sample].into()).collect();
        let labels: Vec<bool> = samples().map(|sample| is_right[sample]).collect();
        auc_of(&decisions, &labels)
    });
    let (mean, deviation) = mean_and_deviation(of_fold);
    Some(HeldOutAuc { mean, deviation })
}

/// Samples that models are fitted to, and those that they are judged on.
struct Fold<'a> {
    number: usize,
    neurons: &'a [&'a [f32]],
    fitted: Vec<usize>,
    held_out: Vec<usize>,
    fitted_labels: Vec<bool>,
    held_out_labels: Vec<bool>,
}

/// What a fold showed.
struct Judged {
    forest: Option<JudgedForest>,
    linear: Option<JudgedLinear>,
}

struct JudgedForest {
    auc: f64,
    /// By neuron: how much less the forest tells with its activations shuffled.
    falls: Option<Vec<f64>>,
}

struct JudgedLinear {
    auc: f64,
    /// By neuron.
    coefficients: Vec<f64>,
}

impl<'a> Fold<'a> {
    fn new(
        neurons: &'a [&'a [f32]],
        is_right: &[bool],
        of_sample: &[usize],
        number: usize,
    ) -> Self {
        let (held_out, fitted): (Vec<usize>, Vec<usize>) =
            (0..is_right.len()).partition(|&sample| of_sample[sample] == number);
        let labels = |samples: &[usize]| samples.iter().map(|&sample| is_right[sample]).collect();
        Self {
            number,
            neurons,
            fitted_labels: labels(&fitted),
            held_out_labels: labels(&held_out),
            fitted,
            held_out,
        }
    }

    fn judge(&self, parts: MetaModelParts, seed: u64) -> Result<Judged, Failed> {
        let forest = parts
            .trees
            .map(|num_trees| self.forest(num_trees, parts.importances, seed));
        Ok(Judged {
            linear: parts.linear.then(|| self.linear()),
            forest: forest.transpose()?,
        })
    }

    fn linear(&self) -> JudgedLinear {
        let scaler = Scaler::of(self.neurons, &self.fitted);
        let design = scaler.design(self.neurons, &self.fitted);
        let mut weights = fit(&design, &self.fitted_labels, INVERSE_PENALTY);
        let rows = scaler.design(self.neurons, &self.held_out);
        let decisions: Vec<f64> = rows.iter().map(|row| dot(row, &weights)).collect();
        let auc = auc_of(&decisions, &self.held_out_labels);
        weights.truncate(self.neurons.len());
        JudgedLinear {
            auc,
            coefficients: weights,
        }
    }

    fn forest(
        &self,
        num_trees: usize,
        with_importances: bool,
        seed: u64,
    ) -> Result<JudgedForest, Failed> {
        let targets: Vec<f64> = self.fitted_labels.iter().map(|&l| l.into()).collect();
        // A regression of 0 and 1: the mean over the trees is a probability, where a vote is a class.
        let parameters = RandomForestRegressorParameters::default()
            .with_n_trees(num_trees)
            .with_min_samples_leaf(MIN_LEAF)
            .with_seed(
                KeyedRng::new([seed, RANDOM_STREAM, self.number as u64, 0])
                    .next_u32()
                    .into(),
            );
        let forest = Forest::fit(&self.matrix(&self.fitted)?, &targets, parameters)?;
        let mut held_out = self.matrix(&self.held_out)?;
        let auc = |rows: &DenseMatrix<f32>| -> Result<f64, Failed> {
            Ok(auc_of(&forest.predict(rows)?, &self.held_out_labels))
        };
        let undisturbed = auc(&held_out)?;
        if !with_importances {
            return Ok(JudgedForest {
                auc: undisturbed,
                falls: None,
            });
        }
        let mut falls = Vec::with_capacity(self.neurons.len());
        for (neuron, activations) in self.neurons.iter().enumerate() {
            let key = [seed, RANDOM_STREAM, self.number as u64, neuron as u64 + 1];
            let mut shuffled = self.held_out.clone();
            KeyedRng::new(key).shuffle(&mut shuffled);
            put(&mut held_out, neuron, activations, &shuffled);
            falls.push(undisturbed - auc(&held_out)?);
            put(&mut held_out, neuron, activations, &self.held_out);
        }
        Ok(JudgedForest {
            auc: undisturbed,
            falls: Some(falls),
        })
    }

    /// A row a sample.
    fn matrix(&self, samples: &[usize]) -> Result<DenseMatrix<f32>, Failed> {
        let of_neuron = |neuron: &&'a [f32]| {
            let neuron: &'a [f32] = neuron;
            samples.iter().map(move |&sample| neuron[sample])
        };
        let mut by_column = Vec::with_capacity(samples.len() * self.neurons.len());
        by_column.extend(self.neurons.iter().flat_map(of_neuron));
        DenseMatrix::new(samples.len(), self.neurons.len(), by_column, true)
    }
}

/// Writes a neuron's activations of these samples, a row each.
fn put(rows: &mut DenseMatrix<f32>, neuron: usize, activations: &[f32], samples: &[usize]) {
    for (row, &sample) in samples.iter().enumerate() {
        rows.set((row, neuron), activations[sample]);
    }
}

fn mean_and_deviation(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let num_values = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / num_values;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / num_values).sqrt())
}

#[cfg(test)]
mod tests;
