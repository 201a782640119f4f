//! The rows that a capture's scores become: class by class, the strongest neuron first.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::common::Result;

use super::StructureScores;
use super::scoring::Scored;
use crate::analysis::{Measure, Scores};
use crate::held_out::{Capture, HeldOutAnalysis};
use crate::snapshot::Snapshot;

/// The scores of one class.
struct ClassRows<'a> {
    scored: &'a Scored,
    measure: Measure,
    class: usize,
    /// Neurons by their place, those with a score first, the strongest first of them.
    order: Vec<usize>,
    /// How many have a score.
    num_ranked: usize,
}

impl<'a> ClassRows<'a> {
    fn new(scored: &'a Scored, measure: Measure, class: usize) -> Self {
        let mut rows = Self {
            scored,
            measure,
            class,
            order: Vec::new(),
            num_ranked: 0,
        };
        let all = 0..scored.neurons.len();
        let (ranked, others): (Vec<usize>, Vec<usize>) =
            all.partition(|&neuron| rows.scores(neuron).is_some());
        let strength = |neuron: usize| rows.score(neuron).map(|s| measure.strength(s));
        let mut ranked: Vec<(f64, usize)> = ranked
            .into_iter()
            .map(|neuron| (strength(neuron).unwrap_or(0.0), neuron))
            .collect();
        // Equals keep the order of the neurons.
        ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        rows.num_ranked = ranked.len();
        rows.order = ranked.into_iter().map(|(_, neuron)| neuron).collect();
        rows.order.extend(others);
        rows
    }

    fn scores(&self, neuron: usize) -> Option<&'a Scores> {
        let num_classes = self.scored.counts.len();
        self.scored.scores[neuron * num_classes + self.class].as_ref()
    }

    fn score(&self, neuron: usize) -> Option<f64> {
        let scores = self.scores(neuron)?;
        Some(self.measure.score(scores))
    }

    fn p_value(&self, neuron: usize) -> Option<f64> {
        let score = self.score(neuron)?;
        let count = self.scored.counts[self.class];
        let statistic = self
            .measure
            .statistic(score, count, self.scored.num_samples);
        self.scored.p_values.of(statistic)
    }

    fn stability(&self, neuron: usize) -> Option<f64> {
        self.scores(neuron)?;
        self.scored.bootstrap.stability(neuron as u32, self.class)
    }
}

/// All rows of a capture, ordered by class, rank and neuron.
pub(super) fn rows(
    asked: &StructureScores,
    snapshot: &Snapshot,
    capture: &Capture,
    scored: &Scored,
) -> Result<RecordBatch> {
    let classes: Vec<ClassRows> = (0..scored.counts.len())
        .map(|class| ClassRows::new(scored, asked.measure, class))
        .collect();
    let num_rows = classes.len() * scored.neurons.len();
    let neurons = || classes.iter().flat_map(|rows| rows.order.iter().copied());
    let float = |of: &dyn Fn(&ClassRows, usize) -> Option<f64>| -> ArrayRef {
        let values = classes.iter().flat_map(|rows| {
            let order = rows.order.iter();
            order.map(move |&neuron| of(rows, neuron).map(|value| value as f32))
        });
        Arc::new(values.collect::<Float32Array>())
    };
    let score = |of: fn(&Scores) -> f64| float(&move |rows, neuron| rows.scores(neuron).map(of));
    let layers = snapshot.topology().layers();
    let labels = neurons().map(|neuron| layers[scored.neurons[neuron].0].layer.as_str());
    let of_class = |rows: &ClassRows| std::iter::repeat_n(rows.class as i32, rows.order.len());
    let ranks = classes.iter().flat_map(|rows| {
        let places = 0..rows.order.len();
        places.map(|place| (place < rows.num_ranked).then_some(place as i32 + 1))
    });
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_value(capture.epoch, num_rows)),
        Arc::new(Int64Array::from_value(capture.step, num_rows)),
        Arc::new(StringArray::from(labels.collect::<Vec<&str>>())),
        Arc::new(Int32Array::from_iter_values(
            neurons().map(|neuron| scored.neurons[neuron].1),
        )),
        Arc::new(Int32Array::from_iter_values(
            classes.iter().flat_map(of_class),
        )),
        float(&|rows, neuron| rows.score(neuron)),
        float(&|rows, neuron| rows.p_value(neuron)),
        Arc::new(Int32Array::from_iter(ranks)),
        score(|scores| scores.correlation),
        score(|scores| scores.mutual_information),
        score(|scores| scores.auc),
        float(&|rows, neuron| rows.stability(neuron)),
    ];
    Ok(RecordBatch::try_new(asked.schema(), columns)?)
}
