//! Linear probes: how well a group of neurons tells a class jointly (Alain and Bengio,
//! "Understanding intermediate layers using linear classifier probes", 2016).

use super::association::{Membership, Scorer};

/// How many parts the samples are split into: each is predicted by a probe of the others.
pub const NUM_FOLDS: usize = 5;

/// The inverse strength of the L2 penalty, scikit-learn's `C`.
pub const INVERSE_PENALTY: f64 = 1.0;

/// Newton's method doubles its exact digits every step: this many are never needed.
const MAX_STEPS: usize = 100;

/// A step that lowers the loss by a smaller share of it than this is the last.
const TOLERANCE: f64 = 1e-14;

/// What a probe of a group of neurons tells of a class, on samples that it was not fitted to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JointPower {
    /// The probability that the probe puts a sample of the class above another one of its fold, the
    /// mean over the folds: from 0 to 1, ½ by chance.
    pub auc: f64,
    /// The share of samples that the probe places on the right side.
    pub accuracy: f64,
    /// The share that is right without a look at the neurons: that of the larger side.
    pub majority: f64,
}

/// Cross-validates a probe of a group of neurons: a logistic regression with an L2 penalty
/// ([`INVERSE_PENALTY`]; the intercept is free), on activations that are standardised by the samples
/// that it is fitted to. It is fitted [`NUM_FOLDS`] times; the `j`-th sample of either side is in
/// fold `j` modulo [`NUM_FOLDS`].
///
/// `neurons` are the activations of each by sample, `is_member` says which samples are of the class.
/// None if either side has fewer samples than there are folds, there is no neuron, or an activation
/// is not finite.
///
/// # Panics
/// If a neuron has fewer activations than there are samples.
pub fn joint_power(neurons: &[&[f32]], is_member: &[bool]) -> Option<JointPower> {
    let num_samples = is_member.len();
    let majority = majority(neurons, is_member)?;
    let folds = folds(is_member);
    let (mut auc, mut num_right) = (0.0, 0);
    for fold in 0..NUM_FOLDS {
        let (held_out, fitted): (Vec<usize>, Vec<usize>) =
            (0..num_samples).partition(|&sample| folds[sample] == fold);
        let scaler = Scaler::of(neurons, &fitted);
        let design = scaler.design(neurons, &fitted);
        let labels: Vec<bool> = fitted.iter().map(|&sample| is_member[sample]).collect();
        let weights = fit(&design, &labels, INVERSE_PENALTY);
        let rows = scaler.design(neurons, &held_out);
        let decisions: Vec<f64> = rows.iter().map(|row| dot(row, &weights)).collect();
        let labels: Vec<bool> = held_out.iter().map(|&sample| is_member[sample]).collect();
        auc += auc_of(&decisions, &labels);
        let right = decisions.iter().zip(&labels);
        num_right += right.filter(|&(d, label)| (*d > 0.0) == *label).count();
    }
    Some(JointPower {
        auc: auc / NUM_FOLDS as f64,
        accuracy: num_right as f64 / num_samples as f64,
        majority,
    })
}

/// [`JointPower::majority`] alone, for which no probe is fitted; none where there is no joint power.
///
/// # Panics
/// If a neuron has fewer activations than there are samples.
pub fn majority(neurons: &[&[f32]], is_member: &[bool]) -> Option<f64> {
    let num_samples = is_member.len();
    let num_members = is_member.iter().filter(|member| **member).count();
    let larger_side = num_members.max(num_samples - num_members);
    let is_finite = |neuron: &&[f32]| neuron[..num_samples].iter().all(|v| v.is_finite());
    if num_samples - larger_side < NUM_FOLDS || neurons.is_empty() {
        return None;
    }
    let is_known = neurons.iter().all(is_finite);
    is_known.then(|| larger_side as f64 / num_samples as f64)
}

/// At most how many bytes [`joint_power`] takes.
pub fn joint_power_bytes(num_neurons: usize, num_samples: usize) -> usize {
    let width = num_neurons.saturating_add(1);
    let row = width.saturating_mul(size_of::<f64>());
    let row = row.saturating_add(size_of::<Vec<f64>>());
    // A row a sample, fitted or held out; half a square of the width; a few vectors of either side.
    let of_samples = num_samples.saturating_mul(row.saturating_add(128));
    let square = width.saturating_mul(row) / 2;
    let vectors = width.saturating_mul(8 * size_of::<f64>());
    of_samples.saturating_add(square).saturating_add(vectors)
}

pub(super) fn auc_of(decisions: &[f64], labels: &[bool]) -> f64 {
    let classes: Vec<Option<u32>> = labels.iter().map(|&l| Some(u32::from(l))).collect();
    let membership = Membership::new(&classes, 2);
    let rounded: Vec<f32> = decisions.iter().map(|&decision| decision as f32).collect();
    // Without a score all decisions are the same.
    let scores = Scorer::new(&membership).score(&rounded)[1];
    scores.map_or(0.5, |scores| scores.auc)
}

pub(super) fn folds(is_member: &[bool]) -> Vec<usize> {
    let mut next = [0; 2];
    let deal = |member: &bool| {
        let place = &mut next[usize::from(*member)];
        *place += 1;
        (*place - 1) % NUM_FOLDS
    };
    is_member.iter().map(deal).collect()
}

/// Means and deviations of neurons over some samples.
pub(super) struct Scaler {
    mean_and_scale: Vec<(f64, f64)>,
}

impl Scaler {
    pub(super) fn of(neurons: &[&[f32]], samples: &[usize]) -> Self {
        let num_samples = samples.len() as f64;
        let of_neuron = |neuron: &&[f32]| {
            let values = || samples.iter().map(|&sample| f64::from(neuron[sample]));
            let mean = values().sum::<f64>() / num_samples;
            let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / num_samples;
            // A neuron that is constant here stays at 0.
            let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
            (mean, deviation.recip())
        };
        Self {
            mean_and_scale: neurons.iter().map(of_neuron).collect(),
        }
    }

    /// A row a sample: its standardised activations, and a 1 for the intercept.
    pub(super) fn design(&self, neurons: &[&[f32]], samples: &[usize]) -> Vec<Vec<f64>> {
        let row = |&sample: &usize| {
            let values = neurons.iter().zip(&self.mean_and_scale);
            let values =
                values.map(|(neuron, (mean, scale))| (f64::from(neuron[sample]) - mean) * scale);
            values.chain([1.0]).collect()
        };
        samples.iter().map(row).collect()
    }
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The weights that minimise `inverse_penalty × Σ log(1 + exp(-y f)) + ½ |w|²` with `f` a row times
/// the weights, of which the last is not penalised; by Newton's method, each step halved until it
/// lowers the sum.
pub(super) fn fit(design: &[Vec<f64>], labels: &[bool], inverse_penalty: f64) -> Vec<f64> {
    let width = design[0].len();
    let mut weights = vec![0.0; width];
    let mut loss = loss_of(design, labels, inverse_penalty, &weights);
    for _ in 0..MAX_STEPS {
        let (gradient, mut hessian) = derivatives(design, labels, inverse_penalty, &weights);
        let Some(step) = solve(&mut hessian, gradient) else {
            break;
        };
        let mut share = 1.0;
        let moved = loop {
            let moved: Vec<f64> = weights
                .iter()
                .zip(&step)
                .map(|(w, s)| w - share * s)
                .collect();
            let lower = loss_of(design, labels, inverse_penalty, &moved);
            if lower < loss {
                break Some((moved, lower));
            }
            share /= 2.0;
            if share < 1e-10 {
                break None;
            }
        };
        let Some((moved, lower)) = moved else { break };
        let gain = loss - lower;
        (weights, loss) = (moved, lower);
        if gain <= TOLERANCE * loss {
            break;
        }
    }
    weights
}

fn loss_of(design: &[Vec<f64>], labels: &[bool], inverse_penalty: f64, weights: &[f64]) -> f64 {
    let of_sample = |(row, label): (&Vec<f64>, &bool)| {
        let margin = if *label {
            dot(row, weights)
        } else {
            -dot(row, weights)
        };
        // log(1 + exp(-margin)), without overflow.
        (-margin.abs()).exp().ln_1p() + (-margin).max(0.0)
    };
    let (_, penalised) = weights.split_last().expect("there is an intercept");
    let data: f64 = design.iter().zip(labels).map(of_sample).sum();
    inverse_penalty * data + 0.5 * dot(penalised, penalised)
}

/// Gradient and Hessian, of which the lower triangle is filled, row by row.
fn derivatives(
    design: &[Vec<f64>],
    labels: &[bool],
    inverse_penalty: f64,
    weights: &[f64],
) -> (Vec<f64>, Vec<Vec<f64>>) {
    let width = weights.len();
    let penalty = |i: usize| if i + 1 < width { 1.0 } else { 0.0 };
    let mut gradient: Vec<f64> = (0..width).map(|i| penalty(i) * weights[i]).collect();
    let mut hessian: Vec<Vec<f64>> = (0..width).map(|i| vec![0.0; i + 1]).collect();
    for (i, row) in hessian.iter_mut().enumerate() {
        row[i] = penalty(i);
    }
    for (row, label) in design.iter().zip(labels) {
        let probability = 1.0 / (1.0 + (-dot(row, weights)).exp());
        let error = inverse_penalty * (probability - f64::from(u8::from(*label)));
        let curvature = inverse_penalty * probability * (1.0 - probability);
        for (i, value) in row.iter().enumerate() {
            gradient[i] += error * value;
            let scaled = curvature * value;
            for (entry, other) in hessian[i].iter_mut().zip(row) {
                *entry += scaled * other;
            }
        }
    }
    (gradient, hessian)
}

/// Solves `matrix × x = right` by Cholesky's decomposition, in place; `matrix` is the lower triangle
/// of a symmetric one. None if it is not positive definite as far as the digits go.
fn solve(matrix: &mut [Vec<f64>], mut right: Vec<f64>) -> Option<Vec<f64>> {
    let width = right.len();
    for i in 0..width {
        let (above, row) = matrix.split_at_mut(i);
        let row = &mut row[0];
        for (j, other) in above.iter().enumerate() {
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let rest = row[i] - dot(&row[..i], &row[..i]);
        if rest <= 0.0 {
            return None;
        }
        row[i] = rest.sqrt();
        right[i] = (right[i] - dot(&row[..i], &right[..i])) / row[i];
    }
    for i in (0..width).rev() {
        right[i] /= matrix[i][i];
        let solved = right[i];
        for (j, entry) in matrix[i][..i].iter().enumerate() {
            right[j] -= entry * solved;
        }
    }
    Some(right)
}

#[cfg(test)]
mod tests;
