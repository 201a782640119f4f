//! `coactivation(top, layer)`: the pairs of neurons that fire together, or one against the other,
//! the most.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::cast::{as_float32_array, as_int32_array, as_list_array};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{col, lit};
use trace::{CaptureId, LAYER_COLUMN, Table};

use crate::analysis::correlation::Standardized;
use crate::call::{Call, RunFunction};
use crate::per_capture::{CaptureAnalysis, CaptureRows, PerCapture, top_of};
use crate::snapshot::SharedSnapshot;
use crate::table::TraceTable;

/// Name of the table function.
pub(crate) const COACTIVATION: &str = "coactivation";

/// The table function `coactivation(top, layer)`.
#[derive(Debug)]
pub(crate) struct CoactivationFunction {
    snapshot: SharedSnapshot,
}

impl CoactivationFunction {
    pub(crate) fn new(snapshot: SharedSnapshot) -> Self {
        Self { snapshot }
    }
}

impl RunFunction for CoactivationFunction {
    fn name(&self) -> &'static str {
        COACTIVATION
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["top", "layer"]
    }

    fn table(&self, call: &Call) -> Result<Arc<dyn TableProvider>> {
        let top = top_of(call)?;
        let mut filters = vec![col("phase").eq(lit("eval"))];
        if let Some(layers) = call.texts("layer") {
            let layers = layers.into_iter().map(lit).collect();
            filters.push(col(LAYER_COLUMN).in_list(layers, false));
        }
        Ok(Arc::new(PerCapture {
            source: TraceTable::new(Arc::clone(&self.snapshot), Table::Activations, call.scope()),
            columns: vec!["activations", "phase", LAYER_COLUMN],
            filters,
            analysis: Arc::new(Coactivation {
                snapshot: Arc::clone(&self.snapshot),
                top,
            }),
        }))
    }
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

    fn begin(&self, capture: CaptureId) -> Box<dyn CaptureRows> {
        Box::new(Activations {
            snapshot: Arc::clone(&self.snapshot),
            top: self.top,
            capture,
            neurons: Vec::new(),
            series: Standardized::default(),
        })
    }
}

/// The activations of a capture's neurons.
struct Activations {
    snapshot: SharedSnapshot,
    top: usize,
    capture: CaptureId,
    neurons: Vec<i32>,
    series: Standardized,
}

impl CaptureRows for Activations {
    fn push(&mut self, rows: &RecordBatch) -> Result<()> {
        let neurons = as_int32_array(rows.column(2))?;
        let lists = as_list_array(rows.column(3))?;
        let values = as_float32_array(lists.values())?.values();
        let offsets = lists.value_offsets();
        for row in 0..rows.num_rows() {
            // Where statistics alone were kept there is nothing to correlate.
            if lists.is_null(row) {
                continue;
            }
            let series = &values[offsets[row] as usize..offsets[row + 1] as usize];
            let known = self.series.series_len();
            if self.series.len() > 0 && series.len() != known {
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
            self.series.push(series);
        }
        Ok(())
    }

    fn num_bytes(&self) -> usize {
        self.series.num_bytes() + self.neurons.capacity() * size_of::<i32>()
    }

    fn finish(self: Box<Self>) -> Result<RecordBatch> {
        let pairs = self.series.top_pairs(self.top);
        let topology = self.snapshot.topology();
        let neuron = |place: usize| self.neurons[place];
        let layer = |place: usize| {
            let layer = topology.layer_of(neuron(place));
            layer.expect("push looks every neuron up").layer.as_str()
        };
        let num_rows = pairs.len();
        let ints = |values: Vec<i32>| -> ArrayRef { Arc::new(Int32Array::from(values)) };
        let columns: Vec<ArrayRef> = vec![
            ints(vec![self.capture.epoch.0; num_rows]),
            Arc::new(Int64Array::from(vec![self.capture.step.0; num_rows])),
            ints((1..=num_rows as i32).collect()),
            ints(pairs.iter().map(|pair| neuron(pair.a)).collect()),
            ints(pairs.iter().map(|pair| neuron(pair.b)).collect()),
            Arc::new(StringArray::from_iter_values(
                pairs.iter().map(|pair| layer(pair.a)),
            )),
            Arc::new(StringArray::from_iter_values(
                pairs.iter().map(|pair| layer(pair.b)),
            )),
            Arc::new(Float64Array::from_iter(
                pairs.iter().map(|pair| pair.correlation),
            )),
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}
