//! Sorted partitions merged by slices of their batches instead of row by row.
//!
//! Part files are dealt out to partitions and read at the same time; what has to come in the order
//! of the epochs is merged again. DataFusion's merge copies every row, and with it every list of
//! weights, while the rows of a file nearly always belong together: here the whole batch goes on
//! as it is, or the part of it that comes before the other partitions' rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::row::{OwnedRow, Row, RowConverter, Rows, SortField};
use datafusion::common::Result;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::metrics::BaselineMetrics;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use crate::exec::replace::Replace;
use crate::exec::stand_in::{StandIn, StandInExec};

/// Bytes of a partition that are made before they are asked for; one batch may have more.
const BYTES_AHEAD: u32 = 4 << 20;

/// Batches of a partition that are made before they are asked for. Those of small files are small,
/// and whenever one side has to wait for the other, two threads change places.
const BATCHES_AHEAD: usize = 256;

/// Slices with fewer rows are copied together, so that no flood of tiny batches goes on.
const MIN_SLICE_ROWS: usize = 32;

/// How many rows of small slices are copied together.
const GATHERED_ROWS: usize = 1024;

/// Replaces DataFusion's merge where the order is that of the part files.
pub(crate) const MERGE_BY_SLICES: Replace = Replace {
    name: "merge_by_slices",
    replacement: SliceMergeExec::replacement,
};

type SliceMergeExec = StandInExec<SliceMerge>;

/// Whether rows of `plan`, of one input at least, come as their source has them: nothing in between
/// sorts them anew or deals them out.
fn is_in_order_of_files(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if plan.is::<SortExec>() || plan.is::<RepartitionExec>() || plan.is::<AggregateExec>() {
        return false;
    }
    plan.is::<DataSourceExec>() || plan.children().into_iter().any(is_in_order_of_files)
}

/// The merge of an input's partitions, each of which is in order.
#[derive(Debug)]
struct SliceMerge {
    /// The merge that this one is, without a limit.
    merge: Arc<SortPreservingMergeExec>,
}

impl StandIn for SliceMerge {
    type Node = SortPreservingMergeExec;

    const NAME: &'static str = "SliceMergeExec";

    fn of(merge: &SortPreservingMergeExec) -> Result<Option<Self>> {
        // With a limit DataFusion copies no more rows than are asked for.
        let is_better = merge.fetch().is_none() && is_in_order_of_files(merge.input());
        Ok(is_better.then(|| Self {
            merge: Arc::new(merge.clone()),
        }))
    }

    fn node(&self) -> &Arc<SortPreservingMergeExec> {
        &self.merge
    }

    fn describe(&self) -> String {
        format!("[{}]", self.merge.expr())
    }

    fn rows(
        &self,
        _partition: usize,
        context: Arc<TaskContext>,
        metrics: BaselineMetrics,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.merge.schema();
        let input = self.merge.input();
        let partitions = input.output_partitioning().partition_count();
        let inputs = (0..partitions).map(|partition| -> Result<Input> {
            let rows = input.execute(partition, Arc::clone(&context))?;
            Ok(Input {
                rows: ahead(rows),
                head: None,
            })
        });
        let merge = Merge {
            keys: Keys::try_new(self.merge.expr(), &schema)?,
            inputs: inputs.collect::<Result<_>>()?,
            schema: Arc::clone(&schema),
            small: Vec::new(),
            next: None,
        };
        let batches = stream::try_unfold(merge, async |mut merge: Merge| {
            let batch = merge.next().await?;
            Ok(batch.map(|batch| (batch, merge)))
        });
        let batches = batches.inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// The same rows, made by a task of their own.
fn ahead(mut rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let mut receiver = RecordBatchReceiverStream::builder(Arc::clone(&schema), BATCHES_AHEAD);
    let sender = receiver.tx();
    let room = Arc::new(Semaphore::new(BYTES_AHEAD as usize));
    let left = Arc::clone(&room);
    receiver.spawn(async move {
        while let Some(batch) = rows.next().await {
            let is_error = batch.is_err();
            let bytes = batch.as_ref().map_or(0, bytes_ahead);
            let Ok(taken) = left.acquire_many(bytes).await else {
                break;
            };
            taken.forget();
            // Behind an error there is nothing, and nobody may want more.
            if sender.send(batch).await.is_err() || is_error {
                break;
            }
        }
        Ok(())
    });
    let batches = receiver.build();
    let batches = batches.inspect_ok(move |batch| room.add_permits(bytes_ahead(batch) as usize));
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

/// What a batch takes of [`BYTES_AHEAD`].
fn bytes_ahead(batch: &RecordBatch) -> u32 {
    let bytes = u32::try_from(batch.get_array_memory_size());
    bytes.map_or(BYTES_AHEAD, |bytes| bytes.min(BYTES_AHEAD))
}

/// Makes rows comparable.
struct Keys {
    converter: RowConverter,
    order: LexOrdering,
}

impl Keys {
    fn try_new(order: &LexOrdering, schema: &SchemaRef) -> Result<Self> {
        let fields = order.iter().map(|key| -> Result<SortField> {
            let data_type = key.expr.data_type(schema)?;
            Ok(SortField::new_with_options(data_type, key.options))
        });
        Ok(Self {
            converter: RowConverter::new(fields.collect::<Result<_>>()?)?,
            order: order.clone(),
        })
    }

    fn of(&self, rows: &RecordBatch) -> Result<Rows> {
        let columns = self.order.iter().map(|key| {
            let values = key.expr.evaluate(rows)?;
            values.into_array(rows.num_rows())
        });
        Ok(self
            .converter
            .convert_columns(&columns.collect::<Result<Vec<_>>>()?)?)
    }

    fn of_one(&self, rows: &RecordBatch, row: usize) -> Result<OwnedRow> {
        Ok(self.of(&rows.slice(row, 1))?.row(0).owned())
    }
}

/// A partition, and its next rows.
struct Input {
    rows: SendableRecordBatchStream,
    head: Option<Head>,
}

/// Rows of a partition that come next.
struct Head {
    rows: RecordBatch,
    /// How many of them have gone already.
    start: usize,
    first: OwnedRow,
    last: OwnedRow,
    /// The keys of all rows, made when they have to be told apart.
    keys: Option<Rows>,
}

impl Input {
    /// Waits for the partition's next rows, if it has none at hand; there are none at its end.
    async fn fill(&mut self, keys: &Keys) -> Result<()> {
        while self.head.is_none() {
            let Some(rows) = self.rows.next().await.transpose()? else {
                return Ok(());
            };
            if rows.num_rows() > 0 {
                self.head = Some(Head {
                    first: keys.of_one(&rows, 0)?,
                    last: keys.of_one(&rows, rows.num_rows() - 1)?,
                    rows,
                    start: 0,
                    keys: None,
                });
            }
        }
        Ok(())
    }
}

impl Head {
    /// The rows that have not gone yet.
    fn rest(&self) -> RecordBatch {
        self.rows
            .slice(self.start, self.rows.num_rows() - self.start)
    }

    /// Takes the rows up to `bound` away: the first one at least, and not the last one.
    fn take_up_to(&mut self, bound: &OwnedRow, keys: &Keys) -> Result<RecordBatch> {
        let keys = match self.keys.take() {
            Some(keys) => keys,
            None => keys.of(&self.rows)?,
        };
        let mut end = self.start + 1;
        while keys.row(end) <= bound.row() {
            end += 1;
        }
        let taken = self.rows.slice(self.start, end - self.start);
        self.start = end;
        self.first = keys.row(end).owned();
        self.keys = Some(keys);
        Ok(taken)
    }
}

/// The key that a partition's rows go on with.
fn first(head: &Option<Head>) -> Option<Row<'_>> {
    head.as_ref().map(|head| head.first.row())
}

struct Merge {
    keys: Keys,
    inputs: Vec<Input>,
    schema: SchemaRef,
    /// Small slices that come before `next`.
    small: Vec<RecordBatch>,
    next: Option<RecordBatch>,
}

impl Merge {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        let mut num_small = 0;
        while num_small < GATHERED_ROWS {
            match self.slice().await? {
                Some(slice) if slice.num_rows() < MIN_SLICE_ROWS => {
                    num_small += slice.num_rows();
                    self.small.push(slice);
                }
                slice if self.small.is_empty() => return Ok(slice),
                slice => {
                    self.next = slice;
                    break;
                }
            }
        }
        let small = std::mem::take(&mut self.small);
        Ok(Some(match &small[..] {
            [slice] => slice.clone(),
            slices => concat_batches(&self.schema, slices)?,
        }))
    }

    /// The longest run of the next rows that one batch holds.
    async fn slice(&mut self) -> Result<Option<RecordBatch>> {
        for input in &mut self.inputs {
            input.fill(&self.keys).await?;
        }
        let mut heads: Vec<&mut Option<Head>> = self
            .inputs
            .iter_mut()
            .map(|input| &mut input.head)
            .filter(|head| head.is_some())
            .collect();
        heads.sort_by(|a, b| first(a).cmp(&first(b)));
        let mut heads = heads.into_iter();
        let Some(lowest) = heads.next() else {
            return Ok(None);
        };
        let bound = heads.next().and_then(|head| head.as_ref());
        match (&mut *lowest, bound) {
            (Some(head), Some(bound)) if head.last > bound.first => {
                head.take_up_to(&bound.first, &self.keys).map(Some)
            }
            _ => Ok(lowest.take().map(|head| head.rest())),
        }
    }
}

#[cfg(test)]
mod tests;
