//! The plan that takes rows of `weights` apart.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use datafusion::common::cast::{as_list_array, as_string_array};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{BaselineMetrics, RecordOutput};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};

use super::sources::Sources;
use super::{REPEATED, schema};
use crate::exec::operator::{Operator, Task, ordered_if};

/// Position of the list among the input's columns.
const LIST_COLUMN: usize = REPEATED.len();
/// Position of the layer among the input's columns.
const LAYER_COLUMN: usize = 1;

/// What rows ascend by, if the neurons come ordered.
const KEY: [&str; 4] = ["epoch", "step", "neuron", "position"];

/// Turns a batch of neurons into batches of connections, in the same order.
#[derive(Debug)]
pub(super) struct Unnest {
    pub(super) sources: Arc<Sources>,
    pub(super) projection: Vec<usize>,
}

impl Operator for Unnest {
    fn name(&self) -> &'static str {
        "ConnectionsExec"
    }

    fn describe(&self) -> String {
        let schema = schema();
        let shown = self.projection.iter();
        let names: Vec<&str> = shown.map(|&i| schema.field(i).name().as_str()).collect();
        format!("projection=[{}]", names.join(", "))
    }

    fn output(&self, input: Option<&Arc<dyn ExecutionPlan>>) -> Result<EquivalenceProperties> {
        let schema = Arc::new(schema().project(&self.projection)?);
        ordered_if(input, &KEY[..3], schema, &KEY)
    }

    fn rows(&self, task: Task) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let explode = Arc::new(Explode {
            sources: Arc::clone(&self.sources),
            projection: self.projection.clone(),
            schema: task.schema,
            max_rows: task.context.session_config().batch_size(),
            metrics: task.metrics,
        });
        let batches = move |batch| Explode::batches(&explode, batch);
        Ok(task.input.flat_map(batches).boxed())
    }
}

struct Explode {
    sources: Arc<Sources>,
    projection: Vec<usize>,
    schema: SchemaRef,
    max_rows: usize,
    metrics: BaselineMetrics,
}

/// Connections `start..end` of the neuron in a row.
#[derive(Debug, Clone, Copy)]
struct Piece {
    row: usize,
    start: usize,
    end: usize,
}

impl Explode {
    /// The connections of a batch, made one chunk at a time as they are asked for.
    fn batches(
        this: &Arc<Self>,
        batch: Result<RecordBatch>,
    ) -> impl Stream<Item = Result<RecordBatch>> + use<> {
        let chunks = batch.and_then(|batch| Ok((this.chunks(&batch)?, batch)));
        let this = Arc::clone(this);
        match chunks {
            Ok((chunks, batch)) => stream::iter(chunks)
                .map(move |chunk| {
                    let _timer = this.metrics.elapsed_compute().timer();
                    this.build(&batch, &chunk).record_output(&this.metrics)
                })
                .left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        }
    }

    /// Cuts the connections of a batch into chunks of one layer and at most `max_rows` rows.
    fn chunks(&self, batch: &RecordBatch) -> Result<Vec<Vec<Piece>>> {
        let layers = as_string_array(batch.column(LAYER_COLUMN))?;
        let lists = as_list_array(batch.column(LIST_COLUMN))?;
        let mut chunks: Vec<Vec<Piece>> = Vec::new();
        let mut room = 0;
        let mut layer = None;
        for row in 0..batch.num_rows() {
            let len = lists.value_length(row) as usize;
            if lists.is_null(row) || len == 0 {
                continue;
            }
            if layer != Some(layers.value(row)) {
                layer = Some(layers.value(row));
                room = 0;
            }
            let mut start = 0;
            while start < len {
                if room == 0 {
                    chunks.push(Vec::new());
                    room = self.max_rows;
                }
                let end = len.min(start + room);
                let chunk = chunks.last_mut().expect("pushed above");
                chunk.push(Piece { row, start, end });
                room -= end - start;
                start = end;
            }
        }
        Ok(chunks)
    }

    fn build(&self, batch: &RecordBatch, chunk: &[Piece]) -> Result<RecordBatch> {
        let layer = as_string_array(batch.column(LAYER_COLUMN))?.value(chunk[0].row);
        let sources = self.sources.layer(layer).ok_or_else(|| {
            exec_datafusion_err!("layer {layer:?} has weights, but run.json does not list it")
        })?;
        let lists = as_list_array(batch.column(LIST_COLUMN))?;
        for piece in chunk {
            sources.check(layer, lists.value_length(piece.row) as usize)?;
        }

        let rows = || {
            chunk
                .iter()
                .flat_map(|p| std::iter::repeat_n(p.row, p.end - p.start))
        };
        let positions = || chunk.iter().flat_map(|p| p.start..p.end);
        let indices = UInt32Array::from_iter_values(rows().map(|row| row as u32));
        let places = UInt32Array::from_iter_values(positions().map(|position| position as u32));
        let column = |index: usize| -> Result<ArrayRef> {
            Ok(match self.projection[index] {
                repeated @ 0..LIST_COLUMN => take(batch.column(repeated), &indices, None)?,
                5 => Arc::new(Int32Array::from_iter_values(positions().map(|p| p as i32))),
                6 => take(&sources.name, &places, None)?,
                7 => take(&sources.input, &places, None)?,
                8 => take(&sources.neuron, &places, None)?,
                _ => {
                    let offsets = lists.value_offsets();
                    let in_values = chunk.iter().flat_map(|piece| {
                        let first = offsets[piece.row] as u32;
                        first + piece.start as u32..first + piece.end as u32
                    });
                    take(
                        lists.values(),
                        &UInt32Array::from_iter_values(in_values),
                        None,
                    )?
                }
            })
        };
        let columns = (0..self.projection.len())
            .map(column)
            .collect::<Result<Vec<_>>>()?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(indices.len()));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &options,
        )?)
    }
}
