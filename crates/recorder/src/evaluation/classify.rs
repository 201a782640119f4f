//! From logits to what is recorded of a sample: one pure function, so that a replay of the same
//! logits gives the same rows.

use crate::dataset::Targets;
use crate::model::Loss;

/// What the network said of each sample, column by column as the table `classifications` has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Classifications {
    /// The class; a soft target counts as 1 above 0.5.
    pub target: Vec<i32>,
    /// The soft target, where targets are soft.
    pub expected: Option<Vec<f32>>,
    /// The likeliest class by `outputs`, the lowest on a tie; none if an output is not finite.
    pub predicted: Vec<Option<i32>>,
    /// Whether `predicted` is `target`.
    pub correct: Vec<Option<bool>>,
    /// The probability of `predicted`.
    pub confidence: Vec<Option<f32>>,
    /// The sample's loss.
    pub loss: Vec<f32>,
    /// Row-major `[num_samples, num_outputs]`: probabilities.
    pub outputs: Vec<f32>,
    /// Number of outputs of a sample.
    pub num_outputs: usize,
}

impl Classifications {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.loss.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.loss.is_empty()
    }

    /// The mean of `loss`; NaN where there are no samples.
    pub fn mean_loss(&self) -> f64 {
        let sum: f64 = self.loss.iter().map(|&loss| f64::from(loss)).sum();
        sum / self.len() as f64
    }

    /// The share of samples that were predicted correctly; NaN where there are none. A sample
    /// without a prediction is not correct.
    pub fn accuracy(&self) -> f64 {
        let num_correct = self.correct.iter().filter(|&&c| c == Some(true)).count();
        num_correct as f64 / self.len() as f64
    }
}

/// Works out predictions and losses from logits, row-major `[num_samples, num_outputs]`.
///
/// Everything is computed in f64 in a fixed order and rounded once. Predictions and confidences
/// are taken from the rounded probabilities, so that a row agrees with itself.
///
/// # Panics
/// If there are not as many logits for every target, or the targets are of another kind than the
/// loss: classes for softmax cross-entropy, one probability for binary cross-entropy.
pub fn classify(loss: Loss, logits: &[f32], targets: &Targets) -> Classifications {
    if targets.is_empty() {
        return Classifications::default();
    }
    let num_outputs = logits.len() / targets.len();
    assert_eq!(
        num_outputs * targets.len(),
        logits.len(),
        "whole rows of logits"
    );
    let mut rows = Classifications {
        num_outputs,
        outputs: Vec::with_capacity(logits.len()),
        ..Classifications::default()
    };
    match (loss, targets) {
        (Loss::SoftmaxCrossEntropy, Targets::Classes(classes)) => {
            for (logits, &class) in logits.chunks_exact(num_outputs).zip(classes) {
                rows.push_softmax(logits, class);
            }
        }
        (Loss::BinaryCrossEntropy, Targets::Soft(soft)) => {
            assert_eq!(num_outputs, 1, "one logit a sample");
            for (&logit, &target) in logits.iter().zip(soft) {
                rows.push_binary(logit, target);
            }
            rows.expected = Some(soft.clone());
        }
        (loss, _) => panic!("{loss:?} has no use for these targets"),
    }
    rows
}

impl Classifications {
    fn push_softmax(&mut self, logits: &[f32], class: i32) {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shifted = |logit: f32| f64::from(logit) - f64::from(max);
        let sum: f64 = logits.iter().map(|&logit| shifted(logit).exp()).sum();
        let first = self.outputs.len();
        self.outputs.extend(
            logits
                .iter()
                .map(|&logit| (shifted(logit).exp() / sum) as f32),
        );
        let outputs = &self.outputs[first..];

        let mut predicted = 0;
        for (index, &output) in outputs.iter().enumerate() {
            if output > outputs[predicted] {
                predicted = index;
            }
        }
        let confidence = outputs[predicted];
        let finite = outputs.iter().all(|output| output.is_finite());
        self.loss
            .push((sum.ln() - shifted(logits[class as usize])) as f32);
        self.push_prediction(class, finite.then_some((predicted as i32, confidence)));
    }

    fn push_binary(&mut self, logit: f32, target: f32) {
        let (z, t) = (f64::from(logit), f64::from(target));
        // Never the exponential of a large number: exp(-|z|) is at most 1.
        let small = (-z.abs()).exp();
        let probability = if z >= 0.0 { 1.0 } else { small } / (1.0 + small);
        let probability = probability as f32;
        self.outputs.push(probability);
        self.loss.push((z.max(0.0) - z * t + small.ln_1p()) as f32);
        let prediction = probability.is_finite().then(|| {
            let predicted = i32::from(probability > 0.5);
            (predicted, probability.max(1.0 - probability))
        });
        self.push_prediction(i32::from(target > 0.5), prediction);
    }

    fn push_prediction(&mut self, target: i32, prediction: Option<(i32, f32)>) {
        self.target.push(target);
        self.predicted
            .push(prediction.map(|(predicted, _)| predicted));
        self.correct
            .push(prediction.map(|(predicted, _)| predicted == target));
        self.confidence
            .push(prediction.map(|(_, confidence)| confidence));
    }
}
