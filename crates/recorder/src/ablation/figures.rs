//! What is measured of a network with and without some of its neurons.

use super::silence::Outcome;
use crate::dataset::Targets;
use crate::model::{Loss, NetworkConfig};
use capture::{Score, Spread, Sums, target_classes};

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

/// What is asked of the outcomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) loss: Loss,
    pub(super) num_classes: usize,
    /// The class that the neurons are said to go with.
    pub(super) of_class: Option<i32>,
}

/// What is added up of the outcomes, batch by batch: of the network as it was, with neurons silenced,
/// and with random ones silenced, draw by draw. No outcome is kept.
#[derive(Debug)]
pub(super) struct Tallies {
    question: Question,
    groups: Vec<Group>,
}

/// What is added up of a group of samples.
#[derive(Debug)]
struct Group {
    of: SampleGroup,
    /// Ascending.
    samples: Vec<usize>,
    spread: Spread,
    /// By set of silenced neurons, in the order of [`Tallies`].
    sums: Vec<Sums>,
    /// How many are predicted to be of each class: by the first set, by the second, and by all others
    /// together. Of a class alone.
    predicted: Option<[Vec<u64>; 3]>,
}

impl Tallies {
    /// Of some of the held-out samples, and so many sets of silenced neurons.
    pub(super) fn new(
        question: Question,
        targets: &Targets,
        samples: &[usize],
        num_sets: usize,
    ) -> Self {
        let classes = target_classes(targets);
        let of = |keep: &dyn Fn(i32) -> bool| -> Vec<usize> {
            let samples = samples.iter().copied();
            samples.filter(|&s| classes[s].is_some_and(keep)).collect()
        };
        let mut groups = vec![(SampleGroup::All, samples.to_vec())];
        if let Some(of_class) = question.of_class {
            groups.push((SampleGroup::Others, of(&|class| class != of_class)));
        }
        let num_classes = question.num_classes;
        let by_class = (0..num_classes as i32)
            .map(|class| (SampleGroup::Class(class), of(&|other| other == class)));
        groups.extend(by_class);
        groups.retain(|(_, samples)| !samples.is_empty());
        let groups = groups.into_iter().map(|(of, samples)| Group {
            of,
            spread: Spread::of(targets, &samples),
            samples,
            sums: vec![Sums::default(); num_sets],
            predicted: of.class().map(|_| [(); 3].map(|()| vec![0; num_classes])),
        });
        Self {
            question,
            groups: groups.collect(),
        }
    }

    /// Adds what a set of silenced neurons makes of a batch.
    pub(super) fn add(&mut self, outcome: &Outcome) {
        let Outcome {
            set,
            first_sample,
            rows,
        } = outcome;
        for group in &mut self.groups {
            let from = group.samples.partition_point(|s| s < first_sample);
            let to = group
                .samples
                .partition_point(|s| *s < first_sample + rows.len());
            let samples = group.samples[from..to].iter().map(|s| s - first_sample);
            group.sums[*set].add(rows, samples.clone());
            if let Some(predicted) = &mut group.predicted {
                let counts = &mut predicted[(*set).min(2)];
                for class in samples.filter_map(|sample| rows.predicted[sample]) {
                    counts[class as usize] += 1;
                }
            }
        }
    }

    /// All figures, once every outcome was added.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let Question { loss, of_class, .. } = self.question;
        let others = self.groups.iter().find(|g| g.of == SampleGroup::Others);
        let mut figures = Vec::new();
        for group in &self.groups {
            let mut add = |metric, values: Vec<f64>| {
                let has_predicted = matches!(metric, Metric::Score(_));
                figures.push(Figure {
                    samples: group.of,
                    num_samples: group.samples.len(),
                    metric,
                    before: values[0],
                    after: values[1],
                    random: values[2..].to_vec(),
                    predicted: has_predicted.then(|| group.predicted()).flatten(),
                });
            };
            let sums = group.sums.iter();
            let scores = sums.clone().map(|sums| sums.score(loss, &group.spread));
            let scores: Vec<Score> = scores.collect();
            let values = scores.iter().map(|score| score.value()).collect();
            add(Metric::Score(scores[0].name()), values);
            if let (Some(others), true) =
                (others, group.of.class() == of_class && of_class.is_some())
            {
                let gaps = sums.clone().zip(&others.sums);
                let gaps = gaps.map(|(sums, others)| sums.accuracy() - others.accuracy());
                add(Metric::AccuracyGap, gaps.collect());
            }
            add(Metric::Loss, sums.map(Sums::mean_loss).collect());
        }
        figures
    }
}

impl Group {
    fn predicted(&self) -> Option<Predicted> {
        let [before, after, random] = self.predicted.as_ref()?;
        let num_draws = self.sums.len() - 2;
        let mean = |counts: &Vec<u64>, num_outcomes: usize| -> Vec<f64> {
            let counts = counts.iter();
            counts.map(|&n| n as f64 / num_outcomes as f64).collect()
        };
        Some(Predicted {
            before: mean(before, 1),
            after: mean(after, 1),
            random: (num_draws > 0).then(|| mean(random, num_draws)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::TargetRows;
    use capture::classify;

    /// The logits of a set of silenced neurons, of all samples.
    type Logits = Vec<f32>;

    /// Logits of four samples whose predictions are given; sure ones.
    fn outcomes(predictions: &[[usize; 4]]) -> Vec<Logits> {
        let of = |predicted: &[usize; 4]| {
            let mut logits = vec![0.0; 12];
            for (sample, class) in predicted.iter().enumerate() {
                logits[3 * sample + class] = 10.0;
            }
            logits
        };
        predictions.iter().map(of).collect()
    }

    /// The classes of the four samples.
    fn classes() -> Targets {
        Targets::Classes(vec![0, 1, 1, 2])
    }

    /// The figures of some of the samples, which come in batches of `batch_size`.
    fn figures_of(
        question: Question,
        targets: &Targets,
        samples: &[usize],
        outcomes: &[Logits],
        batch_size: usize,
    ) -> Vec<Figure> {
        let mut tallies = Tallies::new(question, targets, samples, outcomes.len());
        for first_sample in (0..targets.len()).step_by(batch_size) {
            let batch = first_sample..targets.len().min(first_sample + batch_size);
            let of_batch = targets.select(&batch.clone().collect::<Vec<_>>());
            for (set, logits) in outcomes.iter().enumerate() {
                let width = logits.len() / targets.len();
                let logits = &logits[batch.start * width..batch.end * width];
                tallies.add(&Outcome {
                    set,
                    first_sample,
                    rows: classify(question.loss, logits, &of_batch),
                });
            }
        }
        tallies.figures()
    }

    /// The figures of [`outcomes`], whatever the batches.
    fn measure(outcomes: &[Logits], samples: &[usize], of_class: Option<i32>) -> Vec<Figure> {
        let question = Question {
            loss: Loss::SoftmaxCrossEntropy,
            num_classes: 3,
            of_class,
        };
        let figures = figures_of(question, &classes(), samples, outcomes, 4);
        for batch_size in [1, 3] {
            let same = figures_of(question, &classes(), samples, outcomes, batch_size);
            assert_eq!(same, figures);
        }
        figures
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
        let figures = measure(&outcomes, &[0, 1, 2, 3], Some(1));

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
        let figures = measure(&outcomes, &[0, 1], None);
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
        let figures = measure(&outcomes, &[1, 2], Some(1));
        assert!(figures.iter().all(|f| f.samples != SampleGroup::Others));
        assert!(figures.iter().all(|f| f.metric != Metric::AccuracyGap));
    }

    #[test]
    fn numbers_have_the_figures_of_numbers() {
        let targets = Targets::Values(TargetRows {
            values: vec![1.0, 3.0],
            width: 1,
        });
        let outcomes = [
            vec![1.0, 3.0],
            vec![2.0, 2.0],
            vec![1.0, 3.0],
            vec![f32::NAN, 3.0],
        ];
        let question = Question {
            loss: Loss::MeanSquaredError,
            num_classes: 0,
            of_class: None,
        };
        let figures = figures_of(question, &targets, &[0, 1], &outcomes, 1);
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
