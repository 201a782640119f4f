//! What is measured of a network with and without some of its neurons.

use crate::evaluation::Classifications;
use crate::model::{Loss, NetworkConfig};

/// Which of the samples a figure is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleGroup {
    /// All of them.
    All,
    /// Those of one class.
    Class(i32),
    /// Those that are not of the class that the neurons are said to go with.
    Others,
}

impl SampleGroup {
    /// Its name in the table `ablations`.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Class(_) => "class",
            Self::Others => "others",
        }
    }

    /// The class, of those of one.
    pub fn class(self) -> Option<i32> {
        match self {
            Self::Class(class) => Some(class),
            Self::All | Self::Others => None,
        }
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// What [`Score`](crate::Score) measures of such a network, by its name.
    Score(&'static str),
    /// The accuracy of a class, less that of the others.
    AccuracyGap,
    /// The mean loss of a sample.
    Loss,
}

impl Metric {
    /// Its name in the table `ablations`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Score(name) => name,
            Self::AccuracyGap => "accuracy_gap",
            Self::Loss => "loss",
        }
    }

    /// How bad a value is: more is worse, and what is no number is worst.
    fn badness(self, value: f64) -> f64 {
        match self {
            _ if value.is_nan() => f64::INFINITY,
            Self::Loss => value,
            Self::Score(_) | Self::AccuracyGap => -value,
        }
    }
}

/// One figure, before and after neurons were silenced, and with random ones in their place.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Of which samples it is.
    pub samples: SampleGroup,
    /// How many they are.
    pub num_samples: usize,
    /// What it measures.
    pub metric: Metric,
    /// Of the network as it was.
    pub before: f64,
    /// With the neurons silenced.
    pub after: f64,
    /// With random neurons silenced, draw by draw.
    pub random: Vec<f64>,
    /// How many of the samples were predicted to be of which class; of the accuracy of a class alone.
    pub predicted: Option<Predicted>,
}

/// How many samples are predicted to be of class 0, 1, ...
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    /// By the network as it was.
    pub before: Vec<f64>,
    /// With the neurons silenced.
    pub after: Vec<f64>,
    /// With random neurons silenced: the mean over the draws; none without draws.
    pub random: Option<Vec<f64>>,
}

impl Figure {
    /// The probability that random neurons do at least as much harm: (1 + draws that are as bad or
    /// worse) / (1 + draws), which counts the neurons themselves as one of the draws. None without
    /// draws.
    pub fn p_value(&self) -> Option<f64> {
        if self.random.is_empty() {
            return None;
        }
        let after = self.metric.badness(self.after);
        let is_as_bad = |value: &&f64| self.metric.badness(**value) >= after;
        let num_as_bad = self.random.iter().filter(is_as_bad).count();
        Some((1 + num_as_bad) as f64 / (1 + self.random.len()) as f64)
    }

    /// Mean and standard deviation, of the population, over the draws; none without draws.
    pub fn random_mean_and_std(&self) -> Option<(f64, f64)> {
        if self.random.is_empty() {
            return None;
        }
        let n = self.random.len() as f64;
        let mean = self.random.iter().sum::<f64>() / n;
        let squares = self.random.iter().map(|value| (value - mean).powi(2));
        Some((mean, (squares.sum::<f64>() / n).sqrt()))
    }
}

/// How many classes such a network tells apart; 0 where it predicts something else.
pub(super) fn num_classes(config: &NetworkConfig) -> usize {
    match config.loss {
        Loss::SoftmaxCrossEntropy => config.num_outputs,
        Loss::BinaryCrossEntropy => 2,
        Loss::MultiLabelCrossEntropy | Loss::MeanSquaredError => 0,
    }
}

/// All figures of the outcomes, of which the first is the network's as it was, the second that with
/// neurons silenced, and the others those with random ones silenced.
pub(super) fn measure(
    outcomes: &[Classifications],
    loss: Loss,
    num_classes: usize,
    of_class: Option<i32>,
) -> Vec<Figure> {
    let targets = &outcomes[0].target;
    let of = |keep: &dyn Fn(i32) -> bool| -> Vec<usize> {
        let is_kept = |sample: &usize| targets[*sample].is_some_and(keep);
        (0..targets.len()).filter(is_kept).collect()
    };
    let mut groups = vec![(SampleGroup::All, (0..targets.len()).collect())];
    if let Some(of_class) = of_class {
        groups.push((SampleGroup::Others, of(&|class| class != of_class)));
    }
    groups
        .extend((0..num_classes as i32).map(|c| (SampleGroup::Class(c), of(&|class| class == c))));
    groups.retain(|(_, samples)| !samples.is_empty());

    let others = groups
        .iter()
        .find(|(group, _)| *group == SampleGroup::Others)
        .map(|(_, samples)| samples.as_slice());
    let mut figures = Vec::new();
    for (group, samples) in &groups {
        let selected: Vec<Classifications> = outcomes
            .iter()
            .map(|outcome| outcome.select(samples))
            .collect();
        let score = selected[0].score(loss).name();
        let mut add = |metric, values: Vec<f64>| {
            figures.push(Figure {
                samples: *group,
                num_samples: samples.len(),
                metric,
                before: values[0],
                after: values[1],
                random: values[2..].to_vec(),
                predicted: (group.class().is_some() && matches!(metric, Metric::Score(_)))
                    .then(|| predicted(&selected, num_classes)),
            });
        };
        let scores = selected.iter().map(|rows| rows.score(loss).value());
        add(Metric::Score(score), scores.collect());
        if let (Some(others), true) = (others, group.class() == of_class && of_class.is_some()) {
            let gap = |(outcome, rows): (&Classifications, &Classifications)| {
                rows.accuracy() - outcome.select(others).accuracy()
            };
            let gaps = outcomes.iter().zip(&selected).map(gap);
            add(Metric::AccuracyGap, gaps.collect());
        }
        let losses = selected.iter().map(Classifications::mean_loss);
        add(Metric::Loss, losses.collect());
    }
    figures
}

/// How many of the samples are predicted to be of each class, by the outcomes of [`measure`].
fn predicted(outcomes: &[Classifications], num_classes: usize) -> Predicted {
    let mean = |outcomes: &[Classifications]| -> Vec<f64> {
        let mut counts = vec![0_u32; num_classes];
        for class in outcomes.iter().flat_map(|rows| &rows.predicted).flatten() {
            counts[*class as usize] += 1;
        }
        let num_outcomes = outcomes.len() as f64;
        counts
            .into_iter()
            .map(|count| f64::from(count) / num_outcomes)
            .collect()
    };
    let random = &outcomes[2..];
    Predicted {
        before: mean(&outcomes[..1]),
        after: mean(&outcomes[1..2]),
        random: (!random.is_empty()).then(|| mean(random)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{TargetRows, Targets};
    use crate::evaluation::classify;

    /// Outcomes of four samples of classes 0, 1, 1, 2 whose predictions are given; sure ones.
    fn outcomes(predictions: &[[usize; 4]]) -> Vec<Classifications> {
        let targets = Targets::Classes(vec![0, 1, 1, 2]);
        let of = |predicted: &[usize; 4]| {
            let mut logits = vec![0.0; 12];
            for (sample, class) in predicted.iter().enumerate() {
                logits[3 * sample + class] = 10.0;
            }
            classify(Loss::SoftmaxCrossEntropy, &logits, &targets)
        };
        predictions.iter().map(of).collect()
    }

    fn find(figures: &[Figure], samples: SampleGroup, metric: &str) -> Figure {
        let is_it = |f: &&Figure| f.samples == samples && f.metric.name() == metric;
        figures.iter().find(is_it).unwrap().clone()
    }

    #[test]
    fn figures_of_four_samples_by_hand() {
        let outcomes = outcomes(&[
            [0, 1, 1, 2],
            // Silenced: class 1 is lost, half of it to class 2.
            [0, 0, 2, 2],
            // Random ones: nothing, one of class 1, one of class 1 and class 0.
            [0, 1, 1, 2],
            [0, 1, 0, 2],
            [1, 0, 1, 2],
        ]);
        let figures = measure(&outcomes, Loss::SoftmaxCrossEntropy, 3, Some(1));

        let all = find(&figures, SampleGroup::All, "accuracy");
        assert_eq!((all.before, all.after, all.num_samples), (1.0, 0.5, 4));
        assert_eq!(all.random, [1.0, 0.75, 0.5]);
        // One of three draws is as bad: (1 + 1) / (1 + 3).
        assert_eq!(all.p_value(), Some(0.5));
        let (mean, std) = all.random_mean_and_std().unwrap();
        assert_eq!(mean, 0.75);
        assert!((std - (0.125_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(all.predicted, None);

        let class = find(&figures, SampleGroup::Class(1), "accuracy");
        assert_eq!(
            (class.before, class.after, class.num_samples),
            (1.0, 0.0, 2)
        );
        assert_eq!(class.random, [1.0, 0.5, 0.5]);
        assert_eq!(class.p_value(), Some(0.25));
        // The draws take two, one and one of the two for class 1, the others for class 0.
        let predicted = Predicted {
            before: vec![0.0, 2.0, 0.0],
            after: vec![1.0, 0.0, 1.0],
            random: Some([2.0, 4.0, 0.0].map(|count: f64| count / 3.0).to_vec()),
        };
        assert_eq!(class.predicted, Some(predicted));

        let others = find(&figures, SampleGroup::Others, "accuracy");
        assert_eq!(
            (others.before, others.after, others.num_samples),
            (1.0, 1.0, 2)
        );
        assert_eq!(others.random, [1.0, 1.0, 0.5]);
        // All three draws are as bad as no harm at all.
        assert_eq!(others.p_value(), Some(1.0));

        let gap = find(&figures, SampleGroup::Class(1), "accuracy_gap");
        assert_eq!((gap.before, gap.after), (0.0, -1.0));
        assert_eq!(gap.random, [0.0, -0.5, 0.0]);
        assert_eq!(gap.p_value(), Some(0.25));
        // Of the class that is meant alone.
        let num_gaps = figures.iter().filter(|f| f.metric == Metric::AccuracyGap);
        assert_eq!(num_gaps.count(), 1);

        // Worse is more: a wrong sure answer costs about 10 nats.
        let loss = find(&figures, SampleGroup::Class(1), "loss");
        assert!(loss.before < 0.001 && (9.9..10.1).contains(&loss.after));
        assert_eq!(loss.p_value(), Some(0.25));
        assert_eq!(loss.predicted, None);
    }

    #[test]
    fn without_a_class_or_samples_of_it_there_are_no_such_figures() {
        let outcomes = outcomes(&[[0, 1, 1, 2], [0, 1, 1, 2]]);
        let select = |samples: &[usize]| -> Vec<Classifications> {
            outcomes.iter().map(|o| o.select(samples)).collect()
        };
        let figures = measure(&select(&[0, 1]), Loss::SoftmaxCrossEntropy, 3, None);
        let told: Vec<(SampleGroup, &str)> = figures
            .iter()
            .map(|f| (f.samples, f.metric.name()))
            .collect();
        use SampleGroup::{All, Class};
        assert_eq!(
            told,
            [
                (All, "accuracy"),
                (All, "loss"),
                (Class(0), "accuracy"),
                (Class(0), "loss"),
                (Class(1), "accuracy"),
                (Class(1), "loss"),
            ]
        );
        assert_eq!(figures[0].p_value(), None);
        assert_eq!(figures[0].random_mean_and_std(), None);
        // Every sample is of the class: there are no others to set it against.
        let figures = measure(&select(&[1, 2]), Loss::SoftmaxCrossEntropy, 3, Some(1));
        assert!(figures.iter().all(|f| f.samples != SampleGroup::Others));
        assert!(figures.iter().all(|f| f.metric != Metric::AccuracyGap));
    }

    #[test]
    fn numbers_have_the_figures_of_numbers() {
        let targets = Targets::Values(TargetRows {
            values: vec![1.0, 3.0],
            width: 1,
        });
        let of = |outputs: [f32; 2]| classify(Loss::MeanSquaredError, &outputs, &targets);
        let outcomes = [
            of([1.0, 3.0]),
            of([2.0, 2.0]),
            of([1.0, 3.0]),
            of([f32::NAN, 3.0]),
        ];
        let figures = measure(&outcomes, Loss::MeanSquaredError, 0, None);
        let [r2, loss] = &figures[..] else {
            panic!("{figures:?}");
        };
        assert_eq!((r2.metric.name(), r2.before, r2.after), ("r2", 1.0, 0.0));
        assert_eq!(
            (loss.metric.name(), loss.before, loss.after),
            ("loss", 0.0, 1.0)
        );
        // What is no number is worse than any: one of two draws is as bad.
        assert_eq!(r2.p_value(), Some(2.0 / 3.0));
        assert_eq!(loss.p_value(), Some(2.0 / 3.0));
    }
}
