//! The plan that takes rows of `weights` apart.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::cast::{as_list_array, as_string_array};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::{Stream, StreamExt, stream};

use super::sources::Sources;
use super::{REPEATED, schema};

/// Position of the list among the input's columns.
const LIST_COLUMN: usize = REPEATED.len();
/// Position of the layer among the input's columns.
const LAYER_COLUMN: usize = 1;

/// Turns a batch of neurons into batches of connections, in the same order.
#[derive(Debug)]
pub(super) struct ConnectionsExec {
    input: Arc<dyn ExecutionPlan>,
    sources: Arc<Sources>,
    projection: Vec<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ConnectionsExec {
    pub(super) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        sources: Arc<Sources>,
        projection: Vec<usize>,
    ) -> Result<Self> {
        let schema = Arc::new(schema().project(&projection)?);
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            equivalences(&input, &schema)?,
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            input,
            sources,
            projection,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

/// Ordered by epoch, step, neuron and position, if the neurons come ordered.
fn equivalences(
    input: &Arc<dyn ExecutionPlan>,
    schema: &SchemaRef,
) -> Result<EquivalenceProperties> {
    const KEY: [&str; 4] = ["epoch", "step", "neuron", "position"];
    let ascending = |schema: &Schema, names: &[&str]| {
        let columns = names
            .iter()
            .map(|name| Column::new_with_schema(name, schema));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let ascending = columns.into_iter().map(|column| {
            PhysicalSortExpr::new_default(Arc::new(column))
                .asc()
                .nulls_last()
        });
        Ok::<_, datafusion::error::DataFusionError>(ascending.collect::<Vec<_>>())
    };
    let neurons = ascending(&input.schema(), &KEY[..3])?;
    let mut properties = EquivalenceProperties::new(Arc::clone(schema));
    if input.equivalence_properties().ordering_satisfy(neurons)?
        && let Ok(connections) = ascending(schema, &KEY)
    {
        properties.add_orderings(LexOrdering::new(connections));
    }
    Ok(properties)
}

impl DisplayAs for ConnectionsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let schema = self.schema();
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        write!(f, "ConnectionsExec: projection=[{}]", names.join(", "))
    }
}

impl ExecutionPlan for ConnectionsExec {
    fn name(&self) -> &str {
        "ConnectionsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[_; 1]>::try_from(children) else {
            return internal_err!("ConnectionsExec has one child");
        };
        let sources = Arc::clone(&self.sources);
        Ok(Arc::new(Self::try_new(
            input,
            sources,
            self.projection.clone(),
        )?))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let explode = Arc::new(Explode {
            sources: Arc::clone(&self.sources),
            projection: self.projection.clone(),
            schema: self.schema(),
            max_rows: context.session_config().batch_size(),
            metrics,
        });
        let input = self.input.execute(partition, context)?;
        let batches = input.flat_map(move |batch| Explode::batches(&explode, batch));
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            batches,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
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
