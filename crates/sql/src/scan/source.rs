//! Part files as a source of DataFusion's file scan.
//!
//! DataFusion's own Parquet source prepares every file for whatever it may turn out to be: remote,
//! of many row groups, with other columns than the table. A part file is local, has one row group
//! and its table's columns, and there are thousands of them, so that what a file costs before its
//! first value decides what a query costs.

use std::sync::{Arc, OnceLock};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
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
use trace::{Crc32c, Footer, Store};

use super::reader::{PartFile, PartReader};
use super::shared::SharedParts;

/// The part files of one table as DataFusion scans them.
///
/// Which files there are was decided by the filters on `epoch` and `layer`; rows are left to
/// whoever comes after the scan.
#[derive(Debug, Clone)]
pub(super) struct PartSource {
    store: Arc<dyn Store>,
    table_schema: TableSchema,
    projection: SplitProjection,
    batch_rows: usize,
    /// What other scans of the same plan decode, too. It is known once the plan is, and put here
    /// rather than into a scan made anew: that would check the order of all its files again.
    shared: Arc<OnceLock<Arc<SharedParts>>>,
    metrics: ExecutionPlanMetricsSet,
}

impl PartSource {
    /// A source of all columns of files of the run in a store.
    pub(super) fn new(store: Arc<dyn Store>, table_schema: TableSchema, batch_rows: usize) -> Self {
        Self {
            store,
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            batch_rows,
            shared: Arc::default(),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The stored columns that are read, ascending.
    pub(super) fn file_columns(&self) -> &[usize] {
        &self.projection.file_indices
    }

    /// Whether `other` reads files of the same table and run.
    pub(super) fn is_of_same_table(&self, other: &Self) -> bool {
        self.store.path() == other.store.path()
            && self.table_schema.file_schema() == other.table_schema.file_schema()
    }

    /// From now on takes from `parts`, and leaves there what other scans want, unless it shares
    /// with others already.
    pub(super) fn share(&self, parts: &Arc<SharedParts>) {
        self.shared.get_or_init(|| Arc::clone(parts));
    }
}

impl FileSource for PartSource {
    fn create_file_opener(
        &self,
        _store: Arc<dyn ObjectStore>,
        _config: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let stored = self.table_schema.file_schema();
        let reader = |columns| PartReader::try_new(stored, columns, self.batch_rows);
        let shared = self.shared.get().map(|parts| -> Result<SharedReader> {
            let own = self.file_columns().iter();
            let own = own.filter_map(|column| parts.columns().binary_search(column).ok());
            Ok(SharedReader {
                reader: reader(parts.columns())?,
                own: own.collect(),
                parts: Arc::clone(parts),
            })
        });
        let opener = PartOpener {
            store: Arc::clone(&self.store),
            reader: reader(self.file_columns())?,
            shared: shared.transpose()?,
            batch_rows: self.batch_rows,
        };
        match PlainProjection::of(&self.projection, &self.table_schema)? {
            Some(projection) => Ok(Arc::new(PlainOpener {
                parts: opener,
                projection: Arc::new(projection),
            })),
            None => ProjectionOpener::try_new(self.projection.clone(), Arc::new(opener), stored),
        }
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

/// What the commit says of a file, carried along in its [`PartitionedFile`].
#[derive(Debug, Clone)]
pub(super) struct Committed {
    pub(super) crc32c: Crc32c,
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
    shared: Option<SharedReader>,
    batch_rows: usize,
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
    fn rows(&self, path: &str, file: &PartFile) -> Result<Option<RecordBatch>> {
        let Some(share) = self.parts.take(path) else {
            return Ok(None);
        };
        let rows = share.rows(|| self.reader.read_whole(file))?;
        Ok(rows.map(|rows| rows.project(&self.own)).transpose()?)
    }
}

impl FileOpener for PartOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let (reader, shared) = (self.reader.clone(), self.shared.clone());
        let committed = file.extension::<Committed>();
        let part = PartFile {
            store: Arc::clone(&self.store),
            path: file.path().as_ref().to_owned(),
            num_bytes: file.object_meta.size,
            crc32c: committed.map(|committed| committed.crc32c),
            footer: committed.and_then(|committed| committed.footer),
            columns: committed.and_then(|committed| committed.columns.clone()),
        };
        // Rows that do not fit into one batch are not kept for others.
        let num_rows = file.statistics.as_ref().map(|known| known.num_rows);
        let num_rows = num_rows.and_then(|rows| rows.get_value().copied());
        let shared = shared.filter(|_| num_rows.is_some_and(|rows| rows <= self.batch_rows));
        Ok(async move {
            if let Some(shared) = shared
                && let Some(rows) = shared.rows(file.path().as_ref(), &part)?
            {
                return Ok(stream::iter([Ok(rows)]).boxed());
            }
            Ok(stream::iter(reader.open(part)?).boxed())
        }
        .boxed())
    }
}
