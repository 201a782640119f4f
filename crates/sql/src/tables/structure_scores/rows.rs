//! The rows that a capture's scores become: class by class, the strongest neuron first.

use std::ops::Range;
use std::sync::Arc;

use analysis::{Bootstrap, Measure, PValues, Scores};
use arrow::array::{ArrayRef, Int32Array};
use datafusion::common::Result;

use super::STRUCTURE_SCORES;
use crate::exec::budget::{Budget, reserve, reserved};
use crate::run::snapshot::SharedSnapshot;
use crate::tables::findings::{Findings, floats, labels, unknown_column};

/// The neurons of a capture with their scores.
pub(super) struct Scored {
    pub(super) snapshot: SharedSnapshot,
    pub(super) measure: Measure,
    /// After the place of its layer in the topology.
    pub(super) neurons: Vec<(usize, i32)>,
    /// By neuron and class, a neuron's classes in a row; none at all where no column says them.
    pub(super) scores: Vec<Option<Scores>>,
    /// How many samples each class has.
    pub(super) counts: Vec<u32>,
    pub(super) num_samples: usize,
    pub(super) p_values: PValues,
    /// Of neurons by their place.
    pub(super) bootstrap: Bootstrap,
    /// None where there are no scores: neurons come in their own order then.
    pub(super) ranking: Option<Ranking>,
}

/// The neurons of each class by their strength.
pub(super) struct Ranking {
    /// Class by class, neurons by their place, those with a score first, the strongest first of them.
    order: Vec<u32>,
    /// By class, how many have a score.
    num_ranked: Vec<usize>,
}

/// Orders the neurons of each class by their scores.
pub(super) fn by_rank(
    scores: &[Option<Scores>],
    measure: Measure,
    num_classes: usize,
    num_neurons: usize,
    budget: &Budget,
) -> Result<Ranking> {
    let mut order: Vec<u32> = Vec::new();
    reserve(
        &mut order,
        num_classes.saturating_mul(num_neurons),
        &budget.memory,
    )?;
    let mut num_ranked: Vec<usize> = reserved(&budget.memory, num_classes)?;
    let scratch = budget.scratch();
    let mut ranked: Vec<(f64, u32)> = reserved(&scratch, num_neurons)?;
    for class in 0..num_classes {
        let score = |neuron: u32| {
            let scores = scores[neuron as usize * num_classes + class].as_ref()?;
            Some(measure.strength(measure.score(scores)))
        };
        let neurons = || 0..num_neurons as u32;
        ranked.clear();
        ranked.extend(neurons().filter_map(|neuron| Some((score(neuron)?, neuron))));
        // Equals keep the order of the neurons.
        ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        num_ranked.push(ranked.len());
        order.extend(ranked.iter().map(|(_, neuron)| *neuron));
        order.extend(neurons().filter(|neuron| score(*neuron).is_none()));
    }
    Ok(Ranking { order, num_ranked })
}

/// A row: a class, and a neuron by its place.
#[derive(Clone, Copy)]
struct Row {
    class: usize,
    neuron: usize,
    /// Which of the class's rows it is.
    place: usize,
}

impl Scored {
    fn row(&self, row: usize) -> Row {
        let (class, place) = (row / self.neurons.len(), row % self.neurons.len());
        let neuron = match &self.ranking {
            Some(ranking) => ranking.order[row] as usize,
            None => place,
        };
        Row {
            class,
            neuron,
            place,
        }
    }

    fn scores(&self, row: Row) -> Option<&Scores> {
        let place = row.neuron * self.counts.len() + row.class;
        self.scores.get(place)?.as_ref()
    }

    fn score(&self, row: Row) -> Option<f64> {
        Some(self.measure.score(self.scores(row)?))
    }

    fn rank(&self, row: Row) -> Option<i32> {
        let num_ranked = self.ranking.as_ref()?.num_ranked[row.class];
        (row.place < num_ranked).then_some(row.place as i32 + 1)
    }

    fn p_value(&self, row: Row) -> Option<f64> {
        let (score, count) = (self.score(row)?, self.counts[row.class]);
        let statistic = self.measure.statistic(score, count, self.num_samples);
        self.p_values.of(statistic)
    }

    fn stability(&self, row: Row) -> Option<f64> {
        self.scores(row)?;
        self.bootstrap.stability(row.neuron as u32, row.class)
    }
}

impl Findings for Scored {
    fn num_rows(&self) -> usize {
        self.counts.len() * self.neurons.len()
    }

    fn column(&self, name: &str, rows: Range<usize>) -> Result<ArrayRef> {
        let rows = rows.map(|row| self.row(row));
        let neuron = |row: Row| self.neurons[row.neuron];
        if name == "layer" {
            let places = rows.map(|row| Some(neuron(row).0));
            return Ok(labels(self.snapshot.topology(), places));
        }
        let int: Option<&dyn Fn(Row) -> Option<i32>> = match name {
            "neuron" => Some(&|row| Some(neuron(row).1)),
            "class" => Some(&|row| Some(row.class as i32)),
            "rank" => Some(&|row| self.rank(row)),
            _ => None,
        };
        if let Some(of) = int {
            return Ok(Arc::new(rows.map(of).collect::<Int32Array>()));
        }
        let float: &dyn Fn(Row) -> Option<f64> = match name {
            "score" => &|row| self.score(row),
            "p_value" => &|row| self.p_value(row),
            "correlation" => &|row| Some(self.scores(row)?.correlation),
            "mutual_information" => &|row| Some(self.scores(row)?.mutual_information),
            "auc" => &|row| Some(self.scores(row)?.auc),
            "stability" => &|row| self.stability(row),
            other => return unknown_column(STRUCTURE_SCORES, other),
        };
        Ok(floats(rows.map(float)))
    }
}
