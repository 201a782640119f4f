//! `coactivation(top, layer)`: the pairs of neurons that fire together, or one against the other,
//! the most.

use std::ops::Range;
use std::sync::Arc;

use analysis::{Pair, Standardized, num_pairs};
use arrow::array::{Array, ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::cast::{as_float32_array, as_int32_array, as_list_array};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{col, lit};
use trace::{CaptureId, LAYER_COLUMN, Table};

use crate::exec::budget::{Budget, reserve};
use crate::run::snapshot::SharedSnapshot;
use crate::scan::TraceTable;
use crate::tables::call::{Call, RunFunction};
use crate::tables::findings::{Findings, Wanted, ranks, unknown_column};
use crate::tables::operator_table::Queryable;
use crate::tables::per_capture::{CaptureAnalysis, CaptureRows, PerCapture, top_of};

/// Name of the table function.
pub(crate) const COACTIVATION: &str = "coactivation";

/// The table function `coactivation(top, layer)`.
pub(crate) const FUNCTION: RunFunction = RunFunction {
    name: COACTIVATION,
    parameters: &["top", "layer"],
    table,
};

fn table(snapshot: &SharedSnapshot, call: &Call) -> Result<Arc<dyn TableProvider>> {
    let top = top_of(call)?;
    let mut filters = vec![col("phase").eq(lit("eval"))];
    if let Some(layers) = call.texts("layer") {
        let layers = layers.into_iter().map(lit).collect();
        filters.push(col(LAYER_COLUMN).in_list(layers, false));
    }
    Ok(Arc::new(Queryable(PerCapture {
        source: TraceTable::new(Arc::clone(snapshot), Table::Activations, call.scope()),
        columns: vec!["activations", "phase", LAYER_COLUMN],
        filters,
        analysis: Arc::new(Coactivation {
            snapshot: Arc::clone(snapshot),
            top,
        }),
    })))
}

fn schema() -> SchemaRef {
    let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
    Arc::new(Schema::new(vec![
        field("epoch", DataType::Int32, false),
        field("step", DataType::Int64, false),
        field("rank", DataType::Int32, false),
        field("neuron_a", DataType::Int32, false),
        field("neuron_b", DataType::Int32, false),
        field("layer_a", DataType::Utf8, false),
        field("layer_b", DataType::Utf8, false),
        field("correlation", DataType::Float64, true),
    ]))
}

#[derive(Debug)]
struct Coactivation {
    snapshot: SharedSnapshot,
    top: usize,
}

impl CaptureAnalysis for Coactivation {
    fn name(&self) -> &'static str {
        COACTIVATION
    }

    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn order(&self) -> &'static [&'static str] {
        &["rank"]
    }

    fn begin(&self, capture: CaptureId, wanted: &Wanted) -> Box<dyn CaptureRows> {
        let of_pairs = ["neuron_a", "neuron_b", "layer_a", "layer_b", "correlation"];
        Box::new(Activations {
            snapshot: Arc::clone(&self.snapshot),
            top: self.top,
            correlates: wanted.any(&of_pairs),
            capture,
            neurons: Vec::new(),
            list_len: None,
            series: Standardized::default(),
        })
    }
}

/// The activations of a capture's neurons.
struct Activations {
    snapshot: SharedSnapshot,
    top: usize,
    /// Whether a column says which pairs there are, and not only how many.
    correlates: bool,
    capture: CaptureId,
    neurons: Vec<i32>,
    /// How long their lists are.
    list_len: Option<usize>,
    /// Their activations, if they are to be correlated.
    series: Standardized,
}

impl CaptureRows for Activations {
    fn push(&mut self, rows: &RecordBatch, budget: &Budget) -> Result<()> {
        let neurons = as_int32_array(rows.column(2))?;
        let lists = as_list_array(rows.column(3))?;
        let values = as_float32_array(lists.values())?.values();
        let offsets = lists.value_offsets();
        reserve(&mut self.neurons, rows.num_rows(), &budget.memory)?;
        for row in 0..rows.num_rows() {
            // Where statistics alone were kept there is nothing to correlate.
            if lists.is_null(row) {
                continue;
            }
            let series = &values[offsets[row] as usize..offsets[row + 1] as usize];
            let known = *self.list_len.get_or_insert(series.len());
            if series.len() != known {
                return exec_err!(
                    "neuron {} has activations of {} samples at epoch {}, neurons before it of {known}",
                    neurons.value(row),
                    series.len(),
                    self.capture.epoch.0
                );
            }
            let neuron = neurons.value(row);
            if self.snapshot.topology().layer_of(neuron).is_none() {
                return exec_err!("neuron {neuron} has activations, but run.json does not list it");
            }
            self.neurons.push(neuron);
            if self.correlates {
                let bytes = Standardized::num_bytes_of(series.len());
                budget.memory.try_grow(bytes)?;
                self.series.push(series);
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>, budget: &Budget) -> Result<Box<dyn Findings>> {
        let num_pairs = num_pairs(self.neurons.len());
        let mut pairs = Vec::new();
        if self.correlates {
            budget
                .memory
                .try_grow(self.series.num_bytes_of_top(self.top))?;
            pairs = self.series.top_pairs(self.top);
            budget.count("pairs_correlated", num_pairs);
        }
        Ok(Box::new(Pairs {
            snapshot: self.snapshot,
            neurons: self.neurons,
            num_rows: num_pairs.min(self.top),
            pairs,
        }))
    }
}

/// The pairs of a capture's neurons that go together the most.
struct Pairs {
    snapshot: SharedSnapshot,
    neurons: Vec<i32>,
    num_rows: usize,
    /// Neurons by their place; none where they are not asked for.
    pairs: Vec<Pair>,
}

impl Findings for Pairs {
    fn num_rows(&self) -> usize {
        self.num_rows
    }

    fn column(&self, name: &str, rows: Range<usize>) -> Result<ArrayRef> {
        if name == "rank" {
            return Ok(ranks(rows));
        }
        let pairs = &self.pairs[rows];
        let neurons = |of: fn(&Pair) -> usize| -> ArrayRef {
            let neurons = pairs.iter().map(|pair| self.neurons[of(pair)]);
            Arc::new(Int32Array::from_iter_values(neurons))
        };
        let topology = self.snapshot.topology();
        let layers = |of: fn(&Pair) -> usize| -> ArrayRef {
            let layer = |pair: &Pair| {
                let layer = topology.layer_of(self.neurons[of(pair)]);
                layer.expect("push looks every neuron up").layer.as_str()
            };
            Arc::new(StringArray::from_iter_values(pairs.iter().map(layer)))
        };
        Ok(match name {
            "neuron_a" => neurons(|pair| pair.a),
            "neuron_b" => neurons(|pair| pair.b),
            "layer_a" => layers(|pair| pair.a),
            "layer_b" => layers(|pair| pair.b),
            "correlation" => {
                let correlations = pairs.iter().map(|pair| pair.correlation);
                Arc::new(correlations.collect::<Float64Array>())
            }
            other => return unknown_column(COACTIVATION, other),
        })
    }
}
