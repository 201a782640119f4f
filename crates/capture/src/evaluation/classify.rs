//! From logits to what is recorded of a sample: one pure function, so that a replay of the same
//! logits gives the same rows.

use super::{Loss, TargetRows, Targets};

/// What the network said of each sample, column by column as the table `classifications` has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Classifications {
    /// The class, a soft target counting as 1 above 0.5; none where there are no classes.
    pub target: Vec<Option<i32>>,
    /// The targets, where they are no classes: row-major `[num_samples, num_outputs]`.
    pub expected: Option<Vec<f32>>,
    /// The likeliest class by `outputs`, the lowest on a tie; none if an output is not finite, or
    /// there are no classes.
    pub predicted: Vec<Option<i32>>,
    /// Whether `predicted` is `target`.
    pub correct: Vec<Option<bool>>,
    /// The probability of `predicted`.
    pub confidence: Vec<Option<f32>>,
    /// The sample's loss.
    pub loss: Vec<f32>,
    /// Row-major `[num_samples, num_outputs]`: probabilities; the logits themselves where they are
    /// numbers to come close to targets.
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
}

/// What the network said of samples and should have said: [`Classifications`] before they are worked out.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    /// What the logits mean.
    pub loss: Loss,
    /// Row-major `[num_samples, num_outputs]`.
    pub logits: Vec<f32>,
    /// What they should have said; [`check_targets`] has looked at them.
    pub targets: Targets,
}

impl Logits {
    /// Works out predictions and losses.
    ///
    /// # Panics
    /// As [`classify`].
    pub fn classify(&self) -> Classifications {
        classify(self.loss, &self.logits, &self.targets)
    }
}

/// Checks that [`classify`] can make rows of such logits; an error says what does not fit.
pub fn check_targets(
    loss: Loss,
    num_samples: usize,
    num_outputs: usize,
    targets: &Targets,
) -> Result<(), String> {
    if targets.len() != num_samples {
        let num_targets = targets.len();
        return Err(format!(
            "there are {num_targets} targets for {num_samples} samples"
        ));
    }
    match (loss, targets) {
        (Loss::SoftmaxCrossEntropy, Targets::Classes(classes)) => {
            let is_class = |class: i32| usize::try_from(class).is_ok_and(|c| c < num_outputs);
            match classes.iter().find(|class| !is_class(**class)) {
                None => Ok(()),
                Some(class) => Err(format!(
                    "target {class} is no class: there are {num_outputs} outputs, from 0"
                )),
            }
        }
        (Loss::BinaryCrossEntropy, Targets::Soft(_)) => check_width(loss, num_outputs, 1),
        (Loss::MultiLabelCrossEntropy, Targets::Labels(rows))
        | (Loss::MeanSquaredError, Targets::Values(rows)) => {
            check_width(loss, num_outputs, rows.width)
        }
        (loss, _) => Err(format!("{loss:?} has no use for these targets")),
    }
}

fn check_width(loss: Loss, num_outputs: usize, width: usize) -> Result<(), String> {
    if num_outputs == width {
        return Ok(());
    }
    Err(format!(
        "{loss:?} has {width} targets a sample, there are {num_outputs} outputs"
    ))
}

/// Works out predictions and losses from logits, row-major `[num_samples, num_outputs]`.
///
/// Everything is computed in f64 in a fixed order and rounded once. Predictions and confidences
/// are taken from the rounded probabilities, so that a row agrees with itself.
///
/// # Panics
/// If there are not as many logits for every target, or the targets are of another kind than the
/// loss: classes for softmax cross-entropy, one probability for binary cross-entropy, several for
/// that of several labels, numbers for the squared error.
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
        (Loss::MultiLabelCrossEntropy, Targets::Labels(TargetRows { values, width })) => {
            assert_eq!(num_outputs, *width, "one logit a label");
            for (logits, labels) in logits.chunks_exact(*width).zip(values.chunks_exact(*width)) {
                rows.push_labels(logits, labels);
            }
            rows.expected = Some(values.clone());
        }
        (Loss::MeanSquaredError, Targets::Values(TargetRows { values, width })) => {
            assert_eq!(num_outputs, *width, "one output a number");
            for (outputs, targets) in logits.chunks_exact(*width).zip(values.chunks_exact(*width)) {
                rows.push_values(outputs, targets);
            }
            rows.expected = Some(values.clone());
        }
        (loss, _) => panic!("{loss:?} has no use for these targets"),
    }
    rows
}

/// The classes that samples belong to, as [`classify`] has them; none where there are no classes.
pub fn target_classes(targets: &Targets) -> Vec<Option<i32>> {
    match targets {
        Targets::Classes(classes) => classes.iter().copied().map(Some).collect(),
        Targets::Soft(soft) => soft.iter().map(|&t| Some(class_of_soft(t))).collect(),
        Targets::Labels(rows) | Targets::Values(rows) => vec![None; rows.len()],
    }
}

/// The class that a probability of class 1 stands for.
fn class_of_soft(target: f32) -> i32 {
    i32::from(target > 0.5)
}

/// Sigmoid and binary cross-entropy of a logit whose target is a probability.
fn binary(logit: f32, target: f32) -> (f32, f64) {
    let (z, t) = (f64::from(logit), f64::from(target));
    // Never the exponential of a large number: exp(-|z|) is at most 1.
    let small = (-z.abs()).exp();
    let probability = if z >= 0.0 { 1.0 } else { small } / (1.0 + small);
    (probability as f32, z.max(0.0) - z * t + small.ln_1p())
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
        let (probability, loss) = binary(logit, target);
        self.outputs.push(probability);
        self.loss.push(loss as f32);
        let prediction = probability.is_finite().then(|| {
            let predicted = i32::from(probability > 0.5);
            (predicted, probability.max(1.0 - probability))
        });
        self.push_prediction(class_of_soft(target), prediction);
    }

    fn push_labels(&mut self, logits: &[f32], labels: &[f32]) {
        let mut loss = 0.0;
        for (&logit, &label) in logits.iter().zip(labels) {
            let (probability, of_label) = binary(logit, label);
            self.outputs.push(probability);
            loss += of_label;
        }
        self.push_without_class(loss / labels.len() as f64);
    }

    fn push_values(&mut self, outputs: &[f32], targets: &[f32]) {
        let pairs = outputs.iter().zip(targets);
        let squares = pairs.map(|(&y, &t)| (f64::from(y) - f64::from(t)).powi(2));
        let loss = squares.sum::<f64>() / targets.len() as f64;
        self.outputs.extend_from_slice(outputs);
        self.push_without_class(loss);
    }

    fn push_without_class(&mut self, loss: f64) {
        self.loss.push(loss as f32);
        self.target.push(None);
        self.predicted.push(None);
        self.correct.push(None);
        self.confidence.push(None);
    }

    fn push_prediction(&mut self, target: i32, prediction: Option<(i32, f32)>) {
        self.target.push(Some(target));
        self.predicted
            .push(prediction.map(|(predicted, _)| predicted));
        self.correct
            .push(prediction.map(|(predicted, _)| predicted == target));
        self.confidence
            .push(prediction.map(|(_, confidence)| confidence));
    }
}
