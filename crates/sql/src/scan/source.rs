//! Part files as a source of file scans: DataFusion's own, and ours.
//!
//! DataFusion's own Parquet source prepares every file for whatever it may turn out to be: remote,
//! of many row groups, with other columns than the table. A part file is local, has one row group
//! and its table's columns, and there are thousands of them, so that what a file costs before its
//! first value decides what a query costs.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileOpenFuture, FileOpener, FileScanConfig, FileSource,
};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::apply_expression_roots;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::{FutureExt, StreamExt, stream};
use object_store::ObjectStore;
use trace::{Crc32c, Footer, RowFilter, Store};

use super::reader::{PartFile, PartReader};
use super::shared::SharedParts;

/// The part files of one table as DataFusion scans them.
///
/// Which files there are was decided by the filters on `epoch` and `layer`. Of the rows some may be left out for which
/// the others do not hold; the rest are left to whoever comes after the scan.
#[derive(Debug, Clone)]
pub(super) struct PartSource {
    store: Arc<dyn Store>,
    table_schema: TableSchema,
    projection: SplitProjection,
    /// Which rows are wanted; others may come as well.
    filter: Option<RowFilter>,
    batch_rows: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl PartSource {
    /// A source of all columns of files of the run in a store.
    pub(super) fn new(store: Arc<dyn Store>, table_schema: TableSchema, batch_rows: usize) -> Self {
        Self {
            store,
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            filter: None,
            batch_rows,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The same source for whoever wants some rows alone. Others may come as well.
    pub(super) fn with_filter(self, filter: Option<RowFilter>) -> Self {
        Self { filter, ..self }
    }

    /// The stored columns that are read, ascending.
    pub(super) fn file_columns(&self) -> &[usize] {
        &self.projection.file_indices
    }

    /// What opens the files, which takes from `shared`, and leaves there what other scans want.
    pub(super) fn opener(
        &self,
        batch_rows: usize,
        shared: Option<&Arc<SharedParts>>,
    ) -> Result<Arc<dyn FileOpener>> {
        let stored = self.table_schema.file_schema();
        let reader = |columns| PartReader::try_new(stored, columns, batch_rows);
        let shared = shared.map(|parts| -> Result<SharedReader> {
            let own = self.file_columns().iter();
            let own = own.filter_map(|column| parts.columns().binary_search(column).ok());
            Ok(SharedReader {
                reader: reader(parts.columns())?,
                own: own.collect(),
                parts: Arc::clone(parts),
            })
        });
        let alone = reader(self.file_columns())?;
        let opener = PartOpener {
            store: Arc::clone(&self.store),
            reader: match &self.filter {
                Some(filter) => alone.with_filter(filter.clone()),
                None => alone,
            },
            reads_nothing: self.file_columns().is_empty(),
            shared: shared.transpose()?,
            batch_rows,
        };
        match PlainProjection::of(&self.projection, &self.table_schema)? {
            Some(projection) => Ok(Arc::new(PlainOpener {
                parts: opener,
                projection: Arc::new(projection),
            })),
            None => ProjectionOpener::try_new(self.projection.clone(), Arc::new(opener), stored),
        }
    }
}

impl FileSource for PartSource {
    fn create_file_opener(
        &self,
        _store: Arc<dyn ObjectStore>,
        _config: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.opener(self.batch_rows, None)
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_rows: usize) -> Arc<dyn FileSource> {
        Arc::new(Self {
            batch_rows,
            ..self.clone()
        })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        "part"
    }

    // One row group a file: there is nothing to split.
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        Ok(Some(Arc::new(Self {
            projection: SplitProjection::new(self.table_schema.file_schema(), &merged),
            ..self.clone()
        })))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.projection.source.iter(), f)
    }
}

/// A projection to columns as they are. DataFusion's opener takes any expression, and for that
/// writes them anew for every file.
struct PlainProjection {
    columns: Vec<PlainColumn>,
    schema: SchemaRef,
}

#[derive(Clone, Copy)]
enum PlainColumn {
    /// Its place among the stored columns that are read.
    Stored(usize),
    /// Its place among the partition's values.
    Partition(usize),
}

impl PlainProjection {
    /// None if something is computed.
    fn of(projection: &SplitProjection, table: &TableSchema) -> Result<Option<Self>> {
        let num_stored = table.file_schema().fields().len();
        let columns = projection.source.iter().map(|projected| {
            let index = projected.expr.downcast_ref::<Column>()?.index();
            Some(match index.checked_sub(num_stored) {
                Some(partition) => PlainColumn::Partition(partition),
                None => PlainColumn::Stored(projection.file_indices.binary_search(&index).ok()?),
            })
        });
        let Some(columns) = columns.collect() else {
            return Ok(None);
        };
        let schema = projection.source.project_schema(table.table_schema())?;
        Ok(Some(Self {
            columns,
            schema: Arc::new(schema),
        }))
    }

    fn project(&self, rows: &RecordBatch, partition: &[ScalarValue]) -> Result<RecordBatch> {
        let num_rows = rows.num_rows();
        let columns = self.columns.iter().map(|column| match *column {
            PlainColumn::Stored(index) => Ok(Arc::clone(rows.column(index))),
            PlainColumn::Partition(index) => partition[index].to_array_of_size(num_rows),
        });
        let columns = columns.collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(num_rows));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}

/// Opens files for a [`PlainProjection`].
struct PlainOpener {
    parts: PartOpener,
    projection: Arc<PlainProjection>,
}

impl FileOpener for PlainOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let projection = Arc::clone(&self.projection);
        let partition = file.partition_values.clone();
        let rows = self.parts.open(file)?;
        Ok(async move {
            let project = move |rows| projection.project(&rows?, &partition);
            Ok(rows.await?.map(project).boxed())
        }
        .boxed())
    }
}

/// What is known of a file, most of it from its commit, carried along in its [`PartitionedFile`].
#[derive(Debug, Clone)]
pub(super) struct Committed {
    /// The file's index in the snapshot.
    pub(super) index: u32,
    pub(super) rows: Option<u64>,
    pub(super) crc32c: Option<Crc32c>,
    pub(super) footer: Option<Footer>,
    pub(super) columns: Option<Arc<[Crc32c]>>,
}

/// Opens files one after the other.
///
/// Reads are plain blocking ones: the files are local and mostly small, and a hop to another
/// thread for each costs more than the read.
struct PartOpener {
    store: Arc<dyn Store>,
    reader: PartReader,
    /// Whether no column of the files is wanted, but only how many rows they have.
    reads_nothing: bool,
    shared: Option<SharedReader>,
    batch_rows: usize,
}

/// No file of ours has more rows: its lists' offsets are 32-bit numbers.
const MAX_COUNTED_ROWS: u64 = i32::MAX as u64;

/// Nor in each of its bytes, however well those are packed: rows are of units or samples of their own.
const MAX_ROWS_IN_BYTE: u64 = 64;

/// So many rows of a file are believed whatever its size is: they are made in no time.
const MAX_ROWS_UNSEEN: u64 = 1 << 16;

/// Whether a file is opened of which nothing but the number of rows is wanted.
pub(super) fn is_opened_to_count(committed: Option<u64>, num_bytes: u64) -> bool {
    counted_rows(committed, num_bytes).is_none_or(|num_rows| num_rows > MAX_ROWS_UNSEEN)
}

/// How many rows a file has by its commit, where that is believed without a look into the file. A commit may be
/// anybody's, and that many rows are made: it is not believed to have more than there is room for in its bytes.
fn counted_rows(committed: Option<u64>, num_bytes: u64) -> Option<u64> {
    let most = num_bytes.saturating_mul(MAX_ROWS_IN_BYTE);
    committed.filter(|&rows| rows <= most.min(MAX_COUNTED_ROWS))
}

/// Whether a file has the size that its commit says, as far as it takes one to have so many rows.
fn has_room_for(file: &PartFile, num_rows: u64) -> bool {
    num_rows <= MAX_ROWS_UNSEEN || {
        let found = file.store.open_part(&file.path);
        let found = found.and_then(|found| found.num_bytes());
        found.is_ok_and(|found| found == file.num_bytes)
    }
}

/// So many rows, which the commit says there are: who only counts them, or asks for partitions, has no file opened.
fn rows_of_no_columns(
    num_rows: u64,
    batch_rows: usize,
) -> impl Iterator<Item = Result<RecordBatch>> {
    let batch_rows = batch_rows.max(1) as u64;
    let starts = (0..num_rows).step_by(usize::try_from(batch_rows).unwrap_or(usize::MAX));
    starts.map(move |start| {
        let num_rows = usize::try_from((num_rows - start).min(batch_rows));
        let options = RecordBatchOptions::new().with_row_count(num_rows.ok());
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options);
        Ok(batch?)
    })
}

/// Reads what several scans want.
#[derive(Debug, Clone)]
struct SharedReader {
    reader: PartReader,
    /// Where this scan's columns are among those that are decoded.
    own: Vec<usize>,
    parts: Arc<SharedParts>,
}

impl SharedReader {
    /// This scan's columns of a file. None if it has to be read without the others.
    fn rows(&self, index: u32, file: &PartFile) -> Result<Option<RecordBatch>> {
        let Some(share) = self.parts.take(index) else {
            return Ok(None);
        };
        let rows = share.rows(|| self.reader.read_whole(file))?;
        Ok(rows.map(|rows| rows.project(&self.own)).transpose()?)
    }
}

impl FileOpener for PartOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let reader = self.reader.clone();
        let committed = file.extension::<Committed>();
        let part = PartFile {
            store: Arc::clone(&self.store),
            path: file.path().as_ref().to_owned(),
            num_bytes: file.object_meta.size,
            crc32c: committed.and_then(|committed| committed.crc32c),
            footer: committed.and_then(|committed| committed.footer),
            columns: committed.and_then(|committed| committed.columns.clone()),
        };
        // Rows that do not fit into one batch are not kept for others.
        let fits = |committed: &&Committed| {
            let rows = committed.rows.map(usize::try_from);
            rows.is_some_and(|rows| rows.is_ok_and(|rows| rows <= self.batch_rows))
        };
        let index = committed.filter(fits).map(|committed| committed.index);
        let shared = self.shared.clone().zip(index);
        let counted = committed.filter(|_| self.reads_nothing);
        let counted = counted.and_then(|counted| counted_rows(counted.rows, part.num_bytes));
        let batch_rows = self.batch_rows;
        Ok(async move {
            if let Some(num_rows) = counted
                && has_room_for(&part, num_rows)
            {
                return Ok(stream::iter(rows_of_no_columns(num_rows, batch_rows)).boxed());
            }
            if let Some((shared, index)) = shared
                && let Some(rows) = shared.rows(index, &part)?
            {
                return Ok(stream::iter([Ok(rows)]).boxed());
            }
            Ok(stream::iter(reader.open(part)?).boxed())
        }
        .boxed())
    }
}
