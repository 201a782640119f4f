//! Part files as a source of DataFusion's file scan.
//!
//! DataFusion's own Parquet source prepares every file for whatever it may turn out to be: remote,
//! of many row groups, with other columns than the table. A part file is local, has one row group
//! and its table's columns, and there are thousands of them, so that what a file costs before its
//! first value decides what a query costs.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileOpenFuture, FileOpener, FileScanConfig, FileSource,
};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::apply_expression_roots;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::{FutureExt, StreamExt, stream};
use object_store::ObjectStore;
use trace::Crc32c;

use super::reader::{PartFile, PartReader};
use super::shared::SharedParts;

/// The part files of one table as DataFusion scans them.
///
/// Which files there are was decided by the filters on `epoch` and `layer`; rows are left to
/// whoever comes after the scan.
#[derive(Debug, Clone)]
pub(super) struct PartSource {
    root: Arc<Path>,
    table_schema: TableSchema,
    projection: SplitProjection,
    batch_rows: usize,
    /// What other scans of the same plan decode, too.
    shared: Option<Arc<SharedParts>>,
    metrics: ExecutionPlanMetricsSet,
}

impl PartSource {
    /// A source of all columns of the files below the run's directory `root`.
    pub(super) fn new(root: &Path, table_schema: TableSchema, batch_rows: usize) -> Self {
        Self {
            root: root.into(),
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            batch_rows,
            shared: None,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The stored columns that are read, ascending.
    pub(super) fn file_columns(&self) -> &[usize] {
        &self.projection.file_indices
    }

    /// Whether `other` reads files of the same table and run.
    pub(super) fn is_of_same_table(&self, other: &Self) -> bool {
        self.root == other.root
            && self.table_schema.file_schema() == other.table_schema.file_schema()
    }

    /// The same source, taking from `shared` and leaving there what other scans want.
    pub(super) fn sharing(self, shared: Arc<SharedParts>) -> Self {
        Self {
            shared: Some(shared),
            ..self
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
        let stored = self.table_schema.file_schema();
        let reader = |columns| PartReader::try_new(stored, columns, self.batch_rows);
        let shared = self.shared.as_ref().map(|parts| -> Result<SharedReader> {
            let own = self.file_columns().iter();
            let own = own.filter_map(|column| parts.columns().binary_search(column).ok());
            Ok(SharedReader {
                reader: reader(parts.columns())?,
                own: own.collect(),
                parts: Arc::clone(parts),
            })
        });
        let opener = PartOpener {
            root: Arc::clone(&self.root),
            reader: reader(self.file_columns())?,
            shared: shared.transpose()?,
            batch_rows: self.batch_rows,
        };
        ProjectionOpener::try_new(self.projection.clone(), Arc::new(opener), stored)
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

/// What the commit says of a file, carried along in its [`PartitionedFile`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Committed(pub(super) Crc32c);

/// Opens files one after the other.
///
/// Reads are plain blocking ones: the files are local and mostly small, and a hop to another
/// thread for each costs more than the read.
struct PartOpener {
    root: Arc<Path>,
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
        let part = PartFile {
            path: self.root.join(file.path().as_ref()),
            num_bytes: file.object_meta.size,
            crc32c: file.extension::<Committed>().map(|committed| committed.0),
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
