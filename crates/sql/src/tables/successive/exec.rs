//! The plan that puts rows of `weights` beside those of the captures before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, Int32Array, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{concat_batches, interleave};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};
use datafusion::common::cast::{as_primitive_array, as_string_array};
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::RecordOutput;
use futures::StreamExt;
use futures::stream::BoxStream;

use super::SHOWN;
use crate::exec::operator::{Operator, Task, ordered_if};

/// Where the input has its columns.
const EPOCH: usize = 0;
const LAYER: usize = 1;
const STEP: usize = 2;
const NEURON: usize = 4;
const WEIGHTS: usize = SHOWN.len() - 1;

/// What rows ascend by, in the input and here.
const KEY: [&str; 3] = ["epoch", "step", "neuron"];

/// What a layer's captures come in the order of.
const ORDER: [&str; 2] = ["epoch", "step"];

/// What the rows of one partition belong together by.
const TOGETHER: [&str; 1] = ["layer"];

/// Adds to the rows of each layer's captures the lists of the one before and of the first. Each
/// partition of the input has whole layers, in the order of captures; it is required to, and checked
/// once more as its rows come.
#[derive(Debug)]
pub(super) struct AddLists {
    /// All columns, of which `projection` are shown.
    columns: SchemaRef,
    projection: Vec<usize>,
    /// The partition that each layer was seen in.
    partitions: Arc<Mutex<HashMap<String, usize>>>,
}

impl AddLists {
    /// Adds to `columns`, of which it shows those of `projection`.
    pub(super) fn new(columns: SchemaRef, projection: Vec<usize>) -> Self {
        Self {
            columns,
            projection,
            partitions: Arc::default(),
        }
    }
}

impl Operator for AddLists {
    fn name(&self) -> &'static str {
        "SuccessiveExec"
    }

    fn describe(&self) -> String {
        String::new()
    }

    fn output(&self, input: Option<&Arc<dyn ExecutionPlan>>) -> Result<EquivalenceProperties> {
        let schema = Arc::new(self.columns.project(&self.projection)?);
        ordered_if(input, &KEY, schema, &KEY)
    }

    fn keeps_order(&self) -> bool {
        true
    }

    fn required_order(&self) -> &'static [&'static str] {
        &ORDER
    }

    fn kept_together(&self) -> &'static [&'static str] {
        &TOGETHER
    }

    fn rows(&self, task: Task) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let memory = MemoryConsumer::new(self.name());
        let mut layers = Layers {
            columns: Arc::clone(&self.columns),
            by_name: HashMap::new(),
            partition: task.partition,
            partitions: Arc::clone(&self.partitions),
            memory: memory.register(task.context.memory_pool()),
        };
        let (metrics, projection) = (task.metrics, self.projection.clone());
        let batches = task.input.map(move |rows| -> Result<RecordBatch> {
            let _timer = metrics.elapsed_compute().timer();
            let rows = layers.add(&rows?)?.project(&projection)?;
            Ok(rows.record_output(&metrics))
        });
        Ok(batches.boxed())
    }
}

/// What is known of the layers of a partition so far.
struct Layers {
    columns: SchemaRef,
    by_name: HashMap<String, Captures>,
    partition: usize,
    partitions: Arc<Mutex<HashMap<String, usize>>>,
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

    /// Makes the layer this partition's. Were it another's as well, either would miss captures.
    fn claim(&self, layer: &str) -> Result<()> {
        // Nobody panics while it is locked.
        let mut partitions = self
            .partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let owner = *partitions.entry(layer.to_owned()).or_insert(self.partition);
        if owner != self.partition {
            return internal_err!(
                "layer {layer:?} comes in partition {} after {owner}",
                self.partition
            );
        }
        Ok(())
    }

    fn add_part(&mut self, id: (i32, i64), layer: &str, rows: &RecordBatch) -> Result<RecordBatch> {
        let neurons = as_primitive_array::<Int32Type>(rows.column(NEURON))?;
        let weights = rows.column(WEIGHTS);
        if !self.by_name.contains_key(layer) {
            self.claim(layer)?;
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
        // What is held was reserved: it is given back piece by piece.
        self.memory.try_grow(piece_size(neurons, weights)?)?;
        let current = Arc::make_mut(&mut captures.current);
        current.pieces.push((neurons.clone(), Arc::clone(weights)));

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
