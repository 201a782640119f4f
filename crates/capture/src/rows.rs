//! From host values to the rows of a part file.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray,
    RecordBatch, StringArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use trace::{CaptureId, Layer, Rank, Table};

use crate::evaluation::Classifications;
use crate::histogram::Histogram;
use crate::layout::{transpose_columns_into, transpose_into};
use crate::precision::Precision;
use crate::saved_state::StateTensor;
use crate::statistics::Statistics;

/// The word in the column `phase` for what was measured on held-out samples.
pub const PHASE_EVAL: &str = "eval";
/// The word in the column `phase` for what was measured while training.
pub const PHASE_TRAIN: &str = "train";

/// A figure of the table `metrics`.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// `train`, `eval`, or none where it is neither's.
    pub phase: Option<&'static str>,
    /// Its name, with its unit where it has one.
    pub name: String,
    /// Its value.
    pub value: f64,
}

/// What every row of a capture has in common.
#[derive(Debug, Clone, Copy)]
pub struct RowKey {
    /// Epoch and step.
    pub id: CaptureId,
    /// Who recorded it.
    pub rank: Rank,
}

impl RowKey {
    /// `step` and `rank`, followed by the table's other columns.
    fn batch(self, table: Table, num_rows: usize, columns: Vec<ArrayRef>) -> RecordBatch {
        let mut all: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_value(self.id.step.0, num_rows)),
            Arc::new(Int32Array::from_value(self.rank.0, num_rows)),
        ];
        all.extend(columns);
        RecordBatch::try_new(table.schema(), all).expect("the columns are the table's")
    }
}

/// The rows of `weights` for the recorded units of one layer: `weights` is row-major
/// `[num_units, fan_in]`, of all units; its values
/// are recorded in the precision of `lists`, none of them if that is `None`.
pub fn weights(
    key: RowKey,
    layer: &Layer,
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
    lists: Option<Precision>,
) -> RecordBatch {
    let units: Vec<u32> = layer.units().collect();
    let weights = of_recorded_units(layer, weights, layer.fan_in as usize);
    let bias = bias.map(|bias| of_recorded_units(layer, bias, 1));
    let table = (Table::Weights, None);
    parameters(key, table, layer, &units, weights, bias, lists)
}

/// The rows of `weights`, or of a table with its columns, for some units of one layer: `weights` is row-major
/// `[units.len(), fan_in]`. The table is named with which tensor it is, where it has several.
pub(crate) fn parameters(
    key: RowKey,
    (table, name): (Table, Option<&str>),
    layer: &Layer,
    of_units: &[u32],
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
    lists: Option<Precision>,
) -> RecordBatch {
    let num_units = of_units.len();
    let fan_in = layer.fan_in as usize;
    let statistics = Statistics::of_rows(&weights, num_units, fan_in);
    let zeros = Int32Array::from_iter_values(statistics.iter().map(|s| s.zeros as i32));
    let bias_nonfinite = |unit: usize| bias.as_ref().is_some_and(|bias| !bias[unit].is_finite());
    let nonfinite =
        Int32Array::from_iter_values(statistics.iter().enumerate().map(|(unit, statistics)| {
            statistics.nonfinite as i32 + i32::from(bias_nonfinite(unit))
        }));
    let column = |value: fn(&Statistics) -> Option<f32>| -> ArrayRef {
        Arc::new(statistics.iter().map(value).collect::<Float32Array>())
    };
    let name = name.map(|name| StringArray::from_iter_values(vec![name; num_units]));
    let mut columns: Vec<ArrayRef> = name.into_iter().map(|n| Arc::new(n) as ArrayRef).collect();
    columns.extend::<[ArrayRef; 13]>([
        Arc::new(neurons(layer, of_units)),
        Arc::new(units(of_units)),
        Arc::new(match bias {
            Some(bias) => Float32Array::from(bias),
            None => Float32Array::new_null(num_units),
        }),
        Arc::new(match lists {
            Some(precision) => equal_lists(precision.round(weights), num_units),
            None => null_lists(num_units),
        }),
        column(|s| s.mean),
        column(|s| s.std),
        column(|s| s.min),
        column(|s| s.max),
        column(|s| s.l2),
        column(|s| s.median),
        column(|s| s.l1),
        Arc::new(zeros),
        Arc::new(nonfinite),
    ]);
    key.batch(table, num_units, columns)
}

/// The rows of `resume` for some units of one tensor of a layer: `weights` is row-major `[units.len(), fan_in]`.
pub(crate) fn resume(
    key: RowKey,
    layer: &Layer,
    of_units: &[u32],
    tensor: StateTensor,
    updates: i64,
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
) -> RecordBatch {
    let num_units = of_units.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(neurons(layer, of_units)),
        Arc::new(units(of_units)),
        Arc::new(StringArray::from_iter_values(vec![
            tensor.name();
            num_units
        ])),
        Arc::new(Int64Array::from_value(updates, num_units)),
        Arc::new(match bias {
            Some(bias) => Float32Array::from(bias),
            None => Float32Array::new_null(num_units),
        }),
        Arc::new(equal_lists(weights, num_units)),
    ];
    key.batch(Table::Resume, num_units, columns)
}

/// Which samples activations are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleSet {
    phase: &'static str,
    /// The number of a training batch in its epoch.
    batch: i32,
}

impl SampleSet {
    /// The whole held-out set.
    pub const HELD_OUT: Self = Self {
        phase: PHASE_EVAL,
        batch: 0,
    };

    /// A batch of training samples.
    pub fn train(batch: i32) -> Self {
        Self {
            phase: PHASE_TRAIN,
            batch,
        }
    }
}

thread_local! {
    /// Activations by unit, of which statistics alone remain, or those of some samples: memory that was used before
    /// is there, new memory has to be cleared first.
    static BY_UNIT: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// So many values a thread keeps the memory of, at most: 4 MiB.
const MOST_VALUES_BY_UNIT: usize = 1 << 20;

/// The rows of `activations` for some units of one layer, which ascend: `values` is row-major
/// `[num_samples, num_units]`, of all units; those of the first `kept_samples` samples are recorded, none of
/// them if that is `None`.
pub(crate) fn activations(
    key: RowKey,
    layer: &Layer,
    of_units: &[u32],
    samples: SampleSet,
    values: Cow<'_, [f32]>,
    kept_samples: Option<usize>,
    precision: Precision,
) -> RecordBatch {
    let num_samples = values.len() / layer.num_units as usize;
    let is_all_kept = kept_samples.is_some_and(|kept| kept >= num_samples);
    let mut by_unit = match is_all_kept {
        true => Vec::new(),
        false => BY_UNIT.take(),
    };
    let width = layer.num_units as usize;
    match of_units.len() == width {
        true => transpose_into(&mut by_unit, &values, num_samples, width),
        false => transpose_columns_into(&mut by_unit, &values, num_samples, width, of_units),
    }
    // Before more is made of them: they are many.
    drop(values);
    let num_units = of_units.len();
    let row = |unit: usize| &by_unit[unit * num_samples..][..num_samples];

    let statistics = Statistics::of_rows(&by_unit, num_units, num_samples);
    let lists = match kept_samples {
        Some(_) if is_all_kept => equal_lists(precision.round(by_unit), num_units),
        kept_samples => {
            let lists = match kept_samples {
                None => null_lists(num_units),
                Some(kept) => {
                    let mut values = Vec::with_capacity(num_units * kept);
                    for unit in 0..num_units {
                        values.extend_from_slice(&row(unit)[..kept]);
                    }
                    equal_lists(precision.round(values), num_units)
                }
            };
            if by_unit.capacity() <= MOST_VALUES_BY_UNIT {
                BY_UNIT.set(by_unit);
            }
            lists
        }
    };
    let column = |value: fn(&Statistics) -> Option<f32>| -> ArrayRef {
        Arc::new(statistics.iter().map(value).collect::<Float32Array>())
    };
    let count = |value: fn(&Statistics) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(statistics.iter().map(value)))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(vec![
            samples.phase;
            num_units
        ])),
        Arc::new(Int32Array::from_value(samples.batch, num_units)),
        Arc::new(neurons(layer, of_units)),
        Arc::new(units(of_units)),
        Arc::new(Int64Array::from_value(num_samples as i64, num_units)),
        Arc::new(lists),
        column(|s| s.mean),
        column(|s| s.median),
        column(|s| s.std),
        column(|s| s.min),
        column(|s| s.max),
        column(|s| s.l1),
        column(|s| s.l2),
        count(|s| s.zeros),
        count(|s| s.nonfinite),
    ];
    key.batch(Table::Activations, num_units, columns)
}

/// The rows of `classifications` for the held-out set.
pub fn classifications(key: RowKey, rows: Classifications) -> RecordBatch {
    let num_samples = rows.len();
    let expected = match rows.expected {
        Some(expected) => equal_lists(expected, num_samples),
        None => null_lists(num_samples),
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(vec![PHASE_EVAL; num_samples])),
        Arc::new(Int64Array::from_iter_values(0..num_samples as i64)),
        Arc::new(Int32Array::from(rows.target)),
        Arc::new(expected),
        Arc::new(Int32Array::from(rows.predicted)),
        Arc::new(BooleanArray::from(rows.correct)),
        Arc::new(Float32Array::from(rows.confidence)),
        Arc::new(Float32Array::from(rows.loss)),
        Arc::new(equal_lists(rows.outputs, num_samples)),
    ];
    key.batch(Table::Classifications, num_samples, columns)
}

/// The rows of `histograms` for one layer: what each is of, and how that is spread, all in as many
/// bins.
pub(crate) fn histograms(key: RowKey, histograms: &[(&'static str, Histogram)]) -> RecordBatch {
    let num_rows = histograms.len();
    let of = histograms.iter().map(|(of, _)| *of);
    let edges = histograms.iter().flat_map(|(_, h)| h.edges.iter().copied());
    let counts = histograms.iter().flat_map(|(_, h)| &h.counts);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(of)),
        Arc::new(equal_lists(edges.collect(), num_rows)),
        Arc::new(equal_lists(counts.map(|&n| n as f32).collect(), num_rows)),
    ];
    key.batch(Table::Histograms, num_rows, columns)
}

/// The rows of `metrics`.
pub fn metrics(key: RowKey, metrics: &[Metric]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(metrics.iter().map(|m| m.phase).collect::<StringArray>()),
        Arc::new(StringArray::from_iter_values(
            metrics.iter().map(|m| &m.name),
        )),
        Arc::new(Float64Array::from_iter_values(
            metrics.iter().map(|m| m.value),
        )),
    ];
    key.batch(Table::Metrics, metrics.len(), columns)
}

/// The rows of the units that are recorded, of `width` values each, from those of all units.
fn of_recorded_units(layer: &Layer, rows: Vec<f32>, width: usize) -> Vec<f32> {
    if layer.recorded_units.is_none() {
        return rows;
    }
    let row = |unit: u32| &rows[unit as usize * width..][..width];
    layer.units().flat_map(row).copied().collect()
}

fn units(units: &[u32]) -> Int32Array {
    Int32Array::from_iter_values(units.iter().map(|unit| unit.cast_signed()))
}

fn neurons(layer: &Layer, units: &[u32]) -> Int32Array {
    let first = layer.first_neuron;
    Int32Array::from_iter_values(units.iter().map(|unit| first + unit.cast_signed()))
}

fn null_lists(num_lists: usize) -> ListArray {
    ListArray::new_null(Arc::new(trace::float_item()), num_lists)
}

/// Splits `values` into `num_lists` lists of one length, without copying them.
fn equal_lists(values: Vec<f32>, num_lists: usize) -> ListArray {
    let length = values.len().checked_div(num_lists).unwrap_or(0);
    let offsets = OffsetBuffer::from_repeated_length(length, num_lists);
    let values = Float32Array::new(ScalarBuffer::from(values), None);
    ListArray::new(
        Arc::new(trace::float_item()),
        offsets,
        Arc::new(values),
        None,
    )
}

#[cfg(test)]
mod tests;
