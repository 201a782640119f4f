//! How well samples were predicted: what of them is added up, and what follows from that.

use std::fmt;

use super::{Classifications, Loss, TargetRows, Targets};

/// How well samples were predicted, beside the loss: the figure depends on what is predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Score {
    /// The share of samples whose class was predicted.
    Accuracy(f64),
    /// Of samples with several labels, the share of labels whose probability is on the right side
    /// of 0.5.
    LabelAccuracy(f64),
    /// Of numbers, the coefficient of determination: 1 where they are met exactly, 0 where they
    /// are met no better than by their mean. The mean over the outputs whose targets differ at
    /// all; NaN where there are none.
    R2(f64),
}

impl Score {
    /// Its name in the table `metrics`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy(_) => "accuracy",
            Self::LabelAccuracy(_) => "label_accuracy",
            Self::R2(_) => "r2",
        }
    }

    /// Its value.
    pub fn value(self) -> f64 {
        match self {
            Self::Accuracy(value) | Self::LabelAccuracy(value) | Self::R2(value) => value,
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accuracy(share) => write!(f, "accuracy {:.1}%", 100.0 * share),
            Self::LabelAccuracy(share) => write!(f, "label accuracy {:.1}%", 100.0 * share),
            Self::R2(value) => write!(f, "R² {value:.4}"),
        }
    }
}

/// By output, how far numbers to predict are from their mean: the sum of their squared distances.
/// Empty where no numbers are predicted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spread(Vec<f64>);

impl Spread {
    /// Of some of the samples.
    pub fn of(targets: &Targets, samples: &[usize]) -> Self {
        let Targets::Values(TargetRows { values, width }) = targets else {
            return Self::default();
        };
        let column = |output: usize| {
            let samples = samples.iter();
            samples.map(move |&sample| f64::from(values[sample * width + output]))
        };
        Self::of_columns(*width, column)
    }

    fn of_columns<I: Iterator<Item = f64>>(width: usize, column: impl Fn(usize) -> I) -> Self {
        let of_output = |output| {
            let num_samples = column(output).count() as f64;
            let mean = column(output).sum::<f64>() / num_samples;
            column(output).map(|value| (value - mean).powi(2)).sum()
        };
        Self((0..width).map(of_output).collect())
    }
}

/// What of samples is added up, so that batches need not be kept: those of one batch after another
/// make the same bits as all samples at once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sums {
    num_samples: usize,
    loss: f64,
    num_correct: usize,
    num_outputs: usize,
    /// Outputs that are on the same side of 0.5 as their label.
    num_right: usize,
    /// By output, the squared distances from the numbers to predict.
    distances: Vec<f64>,
}

impl Sums {
    /// Adds some of the rows, in order.
    pub fn add(&mut self, rows: &Classifications, samples: impl IntoIterator<Item = usize>) {
        let width = rows.num_outputs;
        self.num_outputs = width;
        self.distances.resize(width, 0.0);
        for sample in samples {
            self.num_samples += 1;
            self.loss += f64::from(rows.loss[sample]);
            self.num_correct += usize::from(rows.correct[sample] == Some(true));
            let Some(expected) = &rows.expected else {
                continue;
            };
            let of_sample = sample * width..(sample + 1) * width;
            let pairs = rows.outputs[of_sample.clone()].iter();
            let pairs = pairs.zip(&expected[of_sample]);
            for ((&output, &target), distance) in pairs.zip(&mut self.distances) {
                let is_right = output.is_finite() && (output > 0.5) == (target > 0.5);
                self.num_right += usize::from(is_right);
                *distance += (f64::from(target) - f64::from(output)).powi(2);
            }
        }
    }

    /// The mean loss; NaN where there are no samples.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.num_samples as f64
    }

    /// The share of samples that were predicted correctly; NaN where there are none.
    pub fn accuracy(&self) -> f64 {
        self.num_correct as f64 / self.num_samples as f64
    }

    /// The figure that fits what the loss asks for; `spread` is that of the samples' targets.
    pub fn score(&self, loss: Loss, spread: &Spread) -> Score {
        match loss {
            Loss::SoftmaxCrossEntropy | Loss::BinaryCrossEntropy => {
                Score::Accuracy(self.accuracy())
            }
            Loss::MultiLabelCrossEntropy => {
                let num_labels = self.num_samples * self.num_outputs;
                Score::LabelAccuracy(self.num_right as f64 / num_labels as f64)
            }
            Loss::MeanSquaredError => {
                let of_outputs = spread.0.iter().zip(&self.distances);
                let of_outputs = of_outputs.filter(|(spread, _)| **spread > 0.0);
                let of_outputs = of_outputs.map(|(spread, distance)| 1.0 - distance / spread);
                let of_outputs: Vec<f64> = of_outputs.collect();
                Score::R2(of_outputs.iter().sum::<f64>() / of_outputs.len() as f64)
            }
        }
    }
}

impl Classifications {
    /// The mean of `loss`; NaN where there are no samples.
    pub fn mean_loss(&self) -> f64 {
        self.sums().mean_loss()
    }

    /// The share of samples that were predicted correctly; NaN where there are none. A sample
    /// without a prediction is not correct.
    pub fn accuracy(&self) -> f64 {
        self.sums().accuracy()
    }

    /// How well the samples were predicted, by the figure that fits what the loss asks for.
    pub fn score(&self, loss: Loss) -> Score {
        let expected = self.expected.as_deref().unwrap_or_default();
        let column = |output: usize| {
            let values = expected
                .iter()
                .skip(output)
                .step_by(self.num_outputs.max(1));
            values.map(|&value| f64::from(value))
        };
        let spread = match loss {
            Loss::MeanSquaredError => Spread::of_columns(self.num_outputs, column),
            _ => Spread::default(),
        };
        self.sums().score(loss, &spread)
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        sums.add(self, 0..self.len());
        sums
    }
}
