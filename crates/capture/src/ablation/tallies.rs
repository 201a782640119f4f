//! What is added up of a network's outcomes, and the figures that come of it.

use super::figures::{AblationMetric, Figure, Predicted, SampleGroup};
use crate::evaluation::{Classifications, Loss, Score, Spread, Sums, Targets, target_classes};

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

    /// Adds what the network makes of a batch, which begins with a sample, with a set of neurons silenced.
    pub(super) fn add(&mut self, set: usize, first_sample: usize, rows: &Classifications) {
        for group in &mut self.groups {
            let from = group.samples.partition_point(|&s| s < first_sample);
            let to = group
                .samples
                .partition_point(|&s| s < first_sample + rows.len());
            let samples = group.samples[from..to].iter().map(|s| s - first_sample);
            group.sums[set].add(rows, samples.clone());
            if let Some(predicted) = &mut group.predicted {
                let counts = &mut predicted[set.min(2)];
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
                let has_predicted = matches!(metric, AblationMetric::Score(_));
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
            add(AblationMetric::Score(scores[0].name()), values);
            if let (Some(others), true) =
                (others, group.of.class() == of_class && of_class.is_some())
            {
                let gaps = sums.clone().zip(&others.sums);
                let gaps = gaps.map(|(sums, others)| sums.accuracy() - others.accuracy());
                add(AblationMetric::AccuracyGap, gaps.collect());
            }
            add(AblationMetric::Loss, sums.map(Sums::mean_loss).collect());
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
mod tests;
