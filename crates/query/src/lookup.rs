//! Hash joins that leave lists where they are.
//!
//! DataFusion's hash join copies every row that it lets through, and then once more to fill up its
//! batches. Where each row of weights is joined to one row that says more about its epoch or its
//! neuron, nearly all of that is lists. Here the columns of the large side go on as they are, and
//! only those of the small side are gathered, unless a row has no partner or several.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, take_arrays};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, NullEquality, Result, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, PhysicalExprRef};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
    apply_expression_roots,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

/// Replaces DataFusion's hash join where it would copy lists.
#[derive(Debug)]
pub(crate) struct JoinByLookup;

impl PhysicalOptimizerRule for JoinByLookup {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let by_lookup = match node.downcast_ref::<HashJoinExec>() {
                Some(join) => LookupJoinExec::of(join)?,
                None => None,
            };
            Ok(match by_lookup {
                Some(join) => Transformed::yes(Arc::new(join) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "join_by_lookup"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A column of the output: of the side that is looked up in, or of the one that streams.
#[derive(Debug, Clone, Copy)]
enum OutputColumn {
    Built(usize),
    Streamed(usize),
}

/// The join of a side that is read first, whole, and of one that streams.
#[derive(Debug)]
struct LookupJoinExec {
    built: Arc<dyn ExecutionPlan>,
    streamed: Arc<dyn ExecutionPlan>,
    on: Vec<(PhysicalExprRef, PhysicalExprRef)>,
    /// Whether rows of the streamed side that have no partner go on, with nulls.
    keeps_unmatched: bool,
    columns: Vec<OutputColumn>,
    properties: Arc<PlanProperties>,
    table: Arc<OnceCell<Table>>,
}

impl LookupJoinExec {
    /// None if that join is better left to DataFusion.
    fn of(join: &HashJoinExec) -> Result<Option<Self>> {
        let keeps_unmatched = match join.join_type() {
            JoinType::Inner => false,
            JoinType::Right => true,
            _ => return Ok(None),
        };
        let streamed_schema = join.right().schema();
        let mut fields = streamed_schema.fields().iter();
        let has_lists = fields.any(|field| matches!(field.data_type(), DataType::List(_)));
        let is_plain = *join.partition_mode() == PartitionMode::CollectLeft
            && join.filter().is_none()
            && join.null_equality() == NullEquality::NullEqualsNothing
            && !join.null_aware;
        if !has_lists || !is_plain {
            return Ok(None);
        }
        let built_schema = join.left().schema();
        for (built, streamed) in join.on() {
            let key = built.data_type(&built_schema)?;
            // Of other types, values that are equal may differ as bytes.
            if key != streamed.data_type(&streamed_schema)?
                || !(key.is_integer() || key == DataType::Utf8)
            {
                return Ok(None);
            }
        }
        let num_built = built_schema.fields().len();
        let column = |index: usize| match index.checked_sub(num_built) {
            None => OutputColumn::Built(index),
            Some(index) => OutputColumn::Streamed(index),
        };
        let columns = match &join.projection {
            Some(projection) => projection.iter().copied().map(column).collect(),
            None => (0..num_built + streamed_schema.fields().len())
                .map(column)
                .collect(),
        };
        Ok(Some(Self {
            built: Arc::clone(join.left()),
            streamed: Arc::clone(join.right()),
            on: join.on().to_vec(),
            keeps_unmatched,
            columns,
            properties: Arc::clone(join.properties()),
            table: Arc::default(),
        }))
    }
}

impl DisplayAs for LookupJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let kind = if self.keeps_unmatched {
            "Right"
        } else {
            "Inner"
        };
        write!(f, "LookupJoinExec: join_type={kind}, on=[")?;
        for (index, (built, streamed)) in self.on.iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}({built}, {streamed})")?;
        }
        write!(f, "]")
    }
}

impl ExecutionPlan for LookupJoinExec {
    fn name(&self) -> &str {
        "LookupJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![
            Distribution::SinglePartition,
            Distribution::UnspecifiedDistribution,
        ]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false, true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.built, &self.streamed]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let keys = self
            .on
            .iter()
            .flat_map(|(built, streamed)| [built, streamed]);
        apply_expression_roots(keys, f)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([built, streamed]) = <[_; 2]>::try_from(children) else {
            return internal_err!("LookupJoinExec has two children");
        };
        Ok(Arc::new(Self {
            built,
            streamed,
            on: self.on.clone(),
            keeps_unmatched: self.keeps_unmatched,
            columns: self.columns.clone(),
            properties: Arc::clone(&self.properties),
            table: Arc::default(),
        }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let (built_keys, streamed_keys) = self.on.iter().cloned().unzip();
        let lookup = Arc::new(Lookup {
            streamed_keys,
            keeps_unmatched: self.keeps_unmatched,
            columns: self.columns.clone(),
            schema: self.schema(),
            batch_rows: context.session_config().batch_size(),
        });
        let streamed = self.streamed.execute(partition, Arc::clone(&context))?;
        let built = Arc::clone(&self.built);
        let table = Arc::clone(&self.table);
        let batches = stream::once(async move {
            // Whichever partition comes first reads the side that all look up in.
            let read = || async { Table::read(&built, built_keys, &context).await };
            table.get_or_try_init(read).await?;
            let batches = streamed.and_then(move |rows| {
                let joined = table.get().map(|table| lookup.join(table, &rows));
                std::future::ready(joined.expect("the table was made above"))
            });
            Ok::<_, datafusion::common::DataFusionError>(batches.map_ok(stream::iter).try_flatten())
        });
        let batches = batches.try_flatten().boxed();
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            batches,
        )))
    }
}

/// The rows that are looked up in.
#[derive(Debug)]
struct Table {
    rows: RecordBatch,
    converter: RowConverter,
    /// Rows in the order of their keys.
    sorted: Vec<u32>,
    /// Which of `sorted` have a key.
    ranges: HashMap<Box<[u8]>, Range<usize>>,
    _memory: MemoryReservation,
}

impl Table {
    async fn read(
        plan: &Arc<dyn ExecutionPlan>,
        keys: Vec<PhysicalExprRef>,
        context: &Arc<TaskContext>,
    ) -> Result<Self> {
        let schema = plan.schema();
        let memory = MemoryConsumer::new("LookupJoinExec").register(context.memory_pool());
        let mut batches = Vec::new();
        let mut stream = plan.execute(0, Arc::clone(context))?;
        while let Some(batch) = stream.next().await.transpose()? {
            // Once as it comes, and once more in one piece with its keys.
            memory.try_grow(3 * batch.get_array_memory_size())?;
            batches.push(batch);
        }
        let rows = concat_batches(&schema, &batches)?;
        let fields = keys.iter().map(|key| key.data_type(&schema));
        let fields = fields.map(|data_type| Ok(SortField::new(data_type?)));
        let converter = RowConverter::new(fields.collect::<Result<_>>()?)?;
        let keys = Keys::of(&converter, &keys, &rows)?;

        let with_key = (0..rows.num_rows()).filter(|&row| keys.is_valid(row));
        let mut sorted: Vec<u32> = with_key.map(|row| row as u32).collect();
        sorted.sort_by(|&a, &b| keys.bytes(a as usize).cmp(keys.bytes(b as usize)));
        let mut ranges = HashMap::new();
        let mut start = 0;
        let same_key = |a: &u32, b: &u32| keys.bytes(*a as usize) == keys.bytes(*b as usize);
        for rows_of_key in sorted.chunk_by(same_key) {
            let range = start..start + rows_of_key.len();
            start = range.end;
            ranges.insert(keys.bytes(rows_of_key[0] as usize).into(), range);
        }
        Ok(Self {
            rows,
            converter,
            sorted,
            ranges,
            _memory: memory,
        })
    }
}

/// The keys of a batch as bytes.
struct Keys {
    rows: Rows,
    columns: Vec<ArrayRef>,
}

impl Keys {
    fn of(converter: &RowConverter, keys: &[PhysicalExprRef], rows: &RecordBatch) -> Result<Self> {
        let columns = keys.iter().map(|key| {
            let values = key.evaluate(rows)?;
            values.into_array(rows.num_rows())
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(Self {
            rows: converter.convert_columns(&columns)?,
            columns,
        })
    }

    /// Null is equal to nothing.
    fn is_valid(&self, row: usize) -> bool {
        self.columns.iter().all(|column| column.is_valid(row))
    }

    fn bytes(&self, row: usize) -> &[u8] {
        self.rows.row(row).data()
    }
}

/// What joins the rows that stream.
struct Lookup {
    streamed_keys: Vec<PhysicalExprRef>,
    keeps_unmatched: bool,
    columns: Vec<OutputColumn>,
    schema: SchemaRef,
    batch_rows: usize,
}

impl Lookup {
    /// The rows of a batch with their partners, in their order.
    fn join(&self, table: &Table, rows: &RecordBatch) -> Result<Vec<Result<RecordBatch>>> {
        let keys = Keys::of(&table.converter, &self.streamed_keys, rows)?;
        let mut partners: Vec<&[u32]> = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            // The rows of a file have the same epoch and step.
            let found = match partners.last() {
                Some(found) if keys.bytes(row) == keys.bytes(row - 1) => found,
                _ if !keys.is_valid(row) => &[][..],
                _ => match table.ranges.get(keys.bytes(row)) {
                    Some(range) => &table.sorted[range.clone()],
                    None => &[],
                },
            };
            partners.push(found);
        }
        let fits = |found: &&[u32]| found.len() == 1 || (found.is_empty() && self.keeps_unmatched);
        if partners.iter().all(fits) {
            let partners = partners.iter().map(|found| found.first().copied());
            let partners: UInt32Array = partners.collect();
            return Ok(vec![self.output(table, &partners, rows.columns())]);
        }
        let mut pairs: Vec<(u32, Option<u32>)> = Vec::new();
        for (row, found) in (0..).zip(partners) {
            pairs.extend(found.iter().map(|&partner| (row, Some(partner))));
            if found.is_empty() && self.keeps_unmatched {
                pairs.push((row, None));
            }
        }
        let batches = pairs.chunks(self.batch_rows.max(1)).map(|pairs| {
            let streamed: UInt32Array = pairs.iter().map(|(row, _)| Some(*row)).collect();
            let partners: UInt32Array = pairs.iter().map(|(_, partner)| *partner).collect();
            let streamed = take_arrays(rows.columns(), &streamed, None)?;
            self.output(table, &partners, &streamed)
        });
        Ok(batches.collect())
    }

    fn output(
        &self,
        table: &Table,
        partners: &UInt32Array,
        streamed: &[ArrayRef],
    ) -> Result<RecordBatch> {
        let columns = self.columns.iter().map(|column| match *column {
            OutputColumn::Streamed(index) => Ok(Arc::clone(&streamed[index])),
            OutputColumn::Built(index) => {
                arrow::compute::take(table.rows.column(index), partners, None)
            }
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(partners.len()));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}

#[cfg(test)]
mod tests;
