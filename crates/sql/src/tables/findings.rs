//! What an analysis finds in a capture, made into rows as far as they are asked for.
//!
//! A table function says which columns somebody wants before it is worked out: what an analysis has
//! not been asked for it does not do. What it found becomes a batch of rows at a time, so that the
//! rows of a capture are never there all at once.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{Result, internal_err};
use datafusion::physical_expr::EquivalenceProperties;
use trace::{CaptureId, EPOCH_COLUMN, Topology};

use crate::exec::operator::ordered;

/// The column of the optimization step.
const STEP_COLUMN: &str = "step";

/// What an analysis found in a capture.
pub(crate) trait Findings: Send {
    /// How many rows there are.
    fn num_rows(&self) -> usize;

    /// The values of a column in some of the rows; `epoch` and `step` are not asked for.
    ///
    /// # Errors
    /// If there is no such column.
    fn column(&self, name: &str, rows: Range<usize>) -> Result<ArrayRef>;
}

/// The error of an analysis that is asked for a column which it does not know.
pub(crate) fn unknown_column<T>(function: &str, name: &str) -> Result<T> {
    internal_err!("{function}() is asked for a column {name:?} which it does not have")
}

/// A column of 32-bit floats, of values that were worked out in 64 bits.
pub(crate) fn floats(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    let values = values.map(|value| value.map(|value| value as f32));
    Arc::new(values.collect::<Float32Array>())
}

/// A column of layers, of their places in the topology.
pub(crate) fn labels(topology: &Topology, places: impl Iterator<Item = Option<usize>>) -> ArrayRef {
    let layers = topology.layers();
    let labels = places.map(|place| Some(layers[place?].layer.as_str()));
    Arc::new(labels.collect::<StringArray>())
}

/// The column `rank` of rows that come in the order of their ranks, from 1.
pub(crate) fn ranks(rows: Range<usize>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(rows.map(|row| row as i32 + 1)))
}

/// The columns that are asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    schema: SchemaRef,
}

impl Wanted {
    /// Those of a projection, or all that there are.
    pub(crate) fn new(all: &Schema, projection: Option<&Vec<usize>>) -> Result<Self> {
        let schema = match projection {
            Some(columns) => all.project(columns)?,
            None => all.clone(),
        };
        Ok(Self {
            schema: Arc::new(schema),
        })
    }

    /// The columns, in the order in which they are asked for.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether any column of these names is asked for.
    pub(crate) fn any(&self, names: &[&str]) -> bool {
        let fields = self.schema.fields().iter();
        fields
            .map(|field| field.name().as_str())
            .any(|name| names.contains(&name))
    }

    /// Rows of these columns, one capture after another, each of which ascends by `of_capture`.
    pub(crate) fn in_order(&self, of_capture: &[&str]) -> EquivalenceProperties {
        let order = [&[EPOCH_COLUMN, STEP_COLUMN], of_capture].concat();
        ordered(Arc::clone(&self.schema), &order)
    }

    /// Their names, for whoever reads a plan.
    pub(crate) fn describe(&self) -> String {
        let fields = self.schema.fields().iter();
        let names: Vec<&str> = fields.map(|field| field.name().as_str()).collect();
        format!("projection=[{}]", names.join(", "))
    }
}

/// The rows of a capture that are still to come.
pub(crate) struct Rows {
    capture: CaptureId,
    found: Box<dyn Findings>,
    /// The first that has not come yet.
    next: usize,
}

impl Rows {
    pub(crate) fn new(capture: CaptureId, found: Box<dyn Findings>) -> Self {
        Self {
            capture,
            found,
            next: 0,
        }
    }

    /// At most `max_rows` more, of the columns that are wanted; none after the last.
    pub(crate) fn next_batch(
        &mut self,
        wanted: &Wanted,
        max_rows: usize,
    ) -> Option<Result<RecordBatch>> {
        let start = self.next;
        let end = self.found.num_rows().min(start + max_rows.max(1));
        self.next = end;
        (start < end).then(|| self.batch(wanted, start..end))
    }

    fn batch(&self, wanted: &Wanted, rows: Range<usize>) -> Result<RecordBatch> {
        let num_rows = rows.len();
        let column = |name: &str| -> Result<ArrayRef> {
            Ok(match name {
                EPOCH_COLUMN => Arc::new(Int32Array::from_value(self.capture.epoch.0, num_rows)),
                STEP_COLUMN => Arc::new(Int64Array::from_value(self.capture.step.0, num_rows)),
                other => self.found.column(other, rows.clone())?,
            })
        };
        let fields = wanted.schema.fields().iter();
        let columns = fields.map(|field| column(field.name()));
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        // Whoever counts rows asks for no column at all.
        let options = RecordBatchOptions::new().with_row_count(Some(num_rows));
        let schema = Arc::clone(&wanted.schema);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}

#[cfg(test)]
mod tests;
