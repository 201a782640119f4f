//! The plan that puts rows of `weights` beside those of the captures before.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{concat_batches, interleave};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};
use datafusion::common::cast::{as_primitive_array, as_string_array};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
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
use futures::StreamExt;

use super::SHOWN;

/// Where the input has its columns.
const EPOCH: usize = 0;
const LAYER: usize = 1;
const STEP: usize = 2;
const NEURON: usize = 4;
const WEIGHTS: usize = SHOWN.len() - 1;

/// What rows ascend by, in the input and here.
const KEY: [&str; 3] = ["epoch", "step", "neuron"];

/// Adds to the rows of each layer's captures the lists of the one before and of the first. Each
/// partition of the input has whole layers, in the order of captures.
#[derive(Debug)]
pub(super) struct SuccessiveExec {
    input: Arc<dyn ExecutionPlan>,
    /// All columns, of which `projection` are shown.
    columns: SchemaRef,
    projection: Vec<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SuccessiveExec {
    pub(super) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        columns: SchemaRef,
        projection: Vec<usize>,
    ) -> Result<Self> {
        let schema = Arc::new(columns.project(&projection)?);
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            equivalences(&input, &schema)?,
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            input,
            columns,
            projection,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

/// Ordered as the input is, as far as the columns are shown.
fn equivalences(
    input: &Arc<dyn ExecutionPlan>,
    schema: &SchemaRef,
) -> Result<EquivalenceProperties> {
    let ascending = |schema: &SchemaRef| -> Vec<PhysicalSortExpr> {
        let shown = KEY
            .iter()
            .map_while(|name| Column::new_with_schema(name, schema).ok());
        let ascending = shown.map(|column| {
            PhysicalSortExpr::new_default(Arc::new(column))
                .asc()
                .nulls_last()
        });
        ascending.collect()
    };
    let mut properties = EquivalenceProperties::new(Arc::clone(schema));
    let known = input.equivalence_properties();
    if known.ordering_satisfy(ascending(&input.schema()))? {
        properties.add_orderings(LexOrdering::new(ascending(schema)));
    }
    Ok(properties)
}

impl DisplayAs for SuccessiveExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "SuccessiveExec")
    }
}

impl ExecutionPlan for SuccessiveExec {
    fn name(&self) -> &str {
        "SuccessiveExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    // Another partitioning would tear layers apart.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
            return internal_err!("SuccessiveExec has one child");
        };
        Ok(Arc::new(Self::try_new(
            input,
            Arc::clone(&self.columns),
            self.projection.clone(),
        )?))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut layers = Layers {
            columns: Arc::clone(&self.columns),
            by_name: HashMap::new(),
            memory: MemoryConsumer::new("SuccessiveExec").register(context.memory_pool()),
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let projection = self.projection.clone();
        let input = self.input.execute(partition, context)?;
        let batches = input.map(move |rows| -> Result<RecordBatch> {
            let _timer = metrics.elapsed_compute().timer();
            let rows = layers.add(&rows?)?.project(&projection)?;
            Ok(rows.record_output(&metrics))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            batches,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// What is known of the layers of a partition so far.
struct Layers {
    columns: SchemaRef,
    by_name: HashMap<String, Captures>,
    memory: MemoryReservation,
}

/// The captures of a layer that are still needed.
#[derive(Default)]
struct Captures {
    /// Epoch and step of `current`.
    id: (i32, i64),
    first: Arc<Capture>,
    previous: Arc<Capture>,
    current: Arc<Capture>,
}

/// A layer's weights at one step, in the pieces in which they were read.
#[derive(Default, Clone)]
struct Capture {
    pieces: Vec<(Int32Array, ArrayRef)>,
}

impl Layers {
    /// The rows of a batch with the lists that were before.
    fn add(&mut self, rows: &RecordBatch) -> Result<RecordBatch> {
        let epochs = as_primitive_array::<Int32Type>(rows.column(EPOCH))?;
        let steps = as_primitive_array::<Int64Type>(rows.column(STEP))?;
        let layers = as_string_array(rows.column(LAYER))?;
        let source = |row: usize| (epochs.value(row), steps.value(row), layers.value(row));
        // The rows of a file have all of these in common, and a batch is of one file, unless
        // somebody put batches together.
        let mut parts = Vec::with_capacity(1);
        let mut start = 0;
        while start < rows.num_rows() {
            let (epoch, step, layer) = source(start);
            let same = |row: &usize| source(*row) == (epoch, step, layer);
            let len = (start..rows.num_rows()).take_while(same).count();
            parts.push(self.add_part((epoch, step), layer, &rows.slice(start, len))?);
            start += len;
        }
        match parts.len() {
            1 => Ok(parts.remove(0)),
            _ => Ok(concat_batches(&self.columns, &parts)?),
        }
    }

    fn add_part(&mut self, id: (i32, i64), layer: &str, rows: &RecordBatch) -> Result<RecordBatch> {
        let neurons = as_primitive_array::<Int32Type>(rows.column(NEURON))?;
        let weights = rows.column(WEIGHTS);
        if !self.by_name.contains_key(layer) {
            let captures = Captures {
                id,
                ..Captures::default()
            };
            self.by_name.insert(layer.to_owned(), captures);
        }
        let captures = self.by_name.get_mut(layer).expect("inserted above");
        if captures.id > id {
            return internal_err!(
                "layer {layer:?} comes with {id:?} (epoch, step) after {:?}",
                captures.id
            );
        }
        if captures.id < id {
            let ended = std::mem::take(&mut captures.current);
            if captures.first.pieces.is_empty() {
                captures.first = Arc::clone(&ended);
            }
            let unneeded = std::mem::replace(&mut captures.previous, ended);
            if !Arc::ptr_eq(&unneeded, &captures.first) {
                self.memory.shrink(unneeded.size()?);
            }
            captures.id = id;
        }
        let is_first = captures.first.pieces.is_empty();
        let current = Arc::make_mut(&mut captures.current);
        current.pieces.push((neurons.clone(), Arc::clone(weights)));
        self.memory.try_grow(piece_size(neurons, weights)?)?;

        let first = match is_first {
            true => Arc::clone(weights),
            false => captures.first.weights_of(neurons, weights)?,
        };
        let previous = captures.previous.weights_of(neurons, weights)?;
        let mut columns = rows.columns().to_vec();
        columns.extend([previous, first]);
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.columns),
            columns,
            &options,
        )?)
    }
}

impl Capture {
    /// The lists of these neurons, null for one that has none; of the type of `like`.
    fn weights_of(&self, neurons: &Int32Array, like: &ArrayRef) -> Result<ArrayRef> {
        // As a rule captures are read in the same pieces.
        let same = self.pieces.iter().find(|(known, _)| known == neurons);
        if let Some((_, weights)) = same {
            return Ok(Arc::clone(weights));
        }
        let places: HashMap<i32, (usize, usize)> = self
            .pieces
            .iter()
            .enumerate()
            .flat_map(|(piece, (known, _))| {
                let rows = known.values().iter().enumerate();
                rows.map(move |(row, neuron)| (*neuron, (piece, row)))
            })
            .collect();
        let absent = new_null_array(like.data_type(), 1);
        let mut arrays: Vec<&dyn Array> = self.pieces.iter().map(|(_, lists)| &**lists).collect();
        arrays.push(&absent);
        let nowhere = (self.pieces.len(), 0);
        let found = neurons.values().iter();
        let found: Vec<(usize, usize)> = found
            .map(|neuron| places.get(neuron).copied().unwrap_or(nowhere))
            .collect();
        Ok(interleave(&arrays, &found)?)
    }

    fn size(&self) -> Result<usize> {
        let sizes = self.pieces.iter();
        sizes
            .map(|(neurons, lists)| piece_size(neurons, lists))
            .sum()
    }
}

/// The bytes of a piece's own rows: the buffers may be those of a whole file.
fn piece_size(neurons: &Int32Array, lists: &ArrayRef) -> Result<usize> {
    Ok(neurons.to_data().get_slice_memory_size()? + lists.to_data().get_slice_memory_size()?)
}
