//! The side that is looked up in, and how the rows of the other one find their partners.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, take_arrays};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;

/// A column of the output: of the side that is looked up in, or of the one that streams.
#[derive(Debug, Clone, Copy)]
pub(super) enum OutputColumn {
    Built(usize),
    Streamed(usize),
}

/// The rows that are looked up in.
#[derive(Debug)]
pub(super) struct Table {
    rows: RecordBatch,
    converter: RowConverter,
    /// Rows in the order of their keys.
    sorted: Vec<u32>,
    /// Which of `sorted` have a key.
    ranges: HashMap<Box<[u8]>, Range<usize>>,
    _memory: MemoryReservation,
}

impl Table {
    pub(super) async fn read(
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
pub(super) struct Lookup {
    pub(super) streamed_keys: Vec<PhysicalExprRef>,
    pub(super) keeps_unmatched: bool,
    pub(super) columns: Vec<OutputColumn>,
    pub(super) schema: SchemaRef,
    pub(super) batch_rows: usize,
}

impl Lookup {
    /// The rows of a batch with their partners, in their order.
    pub(super) fn join(
        self: Arc<Self>,
        table: &Arc<Table>,
        rows: RecordBatch,
    ) -> Result<Box<dyn Iterator<Item = Result<RecordBatch>> + Send>> {
        let keys = Keys::of(&table.converter, &self.streamed_keys, &rows)?;
        let mut partners: Vec<Range<usize>> = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            // The rows of a file have the same epoch and step.
            let found = match partners.last() {
                Some(found) if keys.bytes(row) == keys.bytes(row - 1) => found.clone(),
                _ if !keys.is_valid(row) => 0..0,
                _ => table.ranges.get(keys.bytes(row)).cloned().unwrap_or(0..0),
            };
            partners.push(found);
        }
        let fits =
            |found: &Range<usize>| found.len() == 1 || (found.is_empty() && self.keeps_unmatched);
        if partners.iter().all(fits) {
            let mut partners = partners.into_iter();
            let partner = |mut found: Range<usize>| found.next().map(|at| table.sorted[at]);
            let partners: UInt32Array = partners.by_ref().map(partner).collect();
            let joined = self.output(table, &partners, rows.columns());
            return Ok(Box::new(std::iter::once(joined)));
        }
        let mut pairs = Pairs {
            lookup: self,
            table: Arc::clone(table),
            rows,
            partners,
            row: 0,
            num_taken: 0,
        };
        Ok(Box::new(std::iter::from_fn(move || {
            pairs.next().transpose()
        })))
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

/// The rows of a batch of which some have no partner or several, joined as they are asked for: few
/// rows may have many partners.
struct Pairs {
    lookup: Arc<Lookup>,
    table: Arc<Table>,
    rows: RecordBatch,
    /// Where in the table's order each row has its partners.
    partners: Vec<Range<usize>>,
    /// The row that comes next, and how many of its partners it was joined to.
    row: usize,
    num_taken: usize,
}

impl Pairs {
    /// The next rows, no more than a batch has.
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        let batch_rows = self.lookup.batch_rows.max(1);
        let mut rows: Vec<u32> = Vec::new();
        let mut partners: Vec<Option<u32>> = Vec::new();
        while rows.len() < batch_rows && self.row < self.partners.len() {
            let found = &self.table.sorted[self.partners[self.row].clone()];
            let left = &found[self.num_taken..];
            let taken = &left[..left.len().min(batch_rows - rows.len())];
            partners.extend(taken.iter().copied().map(Some));
            if found.is_empty() && self.lookup.keeps_unmatched {
                partners.push(None);
            }
            rows.resize(partners.len(), self.row as u32);
            self.num_taken += taken.len();
            if self.num_taken == found.len() {
                self.row += 1;
                self.num_taken = 0;
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let streamed = take_arrays(self.rows.columns(), &UInt32Array::from(rows), None)?;
        let joined = self
            .lookup
            .output(&self.table, &UInt32Array::from(partners), &streamed)?;
        Ok(Some(joined))
    }
}
