//! Part files as a source of DataFusion's file scan.
//!
//! DataFusion's own Parquet source prepares every file for whatever it may turn out to be: remote,
//! of many row groups, with other columns than the table. A part file is local, has one row group
//! and its table's columns, and there are thousands of them, so that what a file costs before its
//! first value decides what a query costs.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileOpenFuture, FileOpener, FileScanConfig, FileSource,
};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{PhysicalExpr, conjunction};
use datafusion::physical_optimizer::pruning::FilePruner;
use datafusion::physical_plan::apply_expression_roots;
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use futures::{FutureExt, StreamExt, stream};
use object_store::ObjectStore;
use trace::Crc32c;

use super::reader::{PartFile, PartReader};
use super::shared::SharedParts;

/// The part files of one table as DataFusion scans them.
///
/// Filters rule out whole files, by what the commits say of them; rows are left to whoever comes
/// after the scan.
#[derive(Debug, Clone)]
pub(super) struct PartSource {
    root: Arc<Path>,
    table_schema: TableSchema,
    projection: SplitProjection,
    predicate: Option<Arc<dyn PhysicalExpr>>,
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
            predicate: None,
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
        partition: usize,
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
            stored: Arc::clone(stored),
            reader: reader(self.file_columns())?,
            shared: shared.transpose()?,
            predicate: self.predicate.clone(),
            batch_rows: self.batch_rows,
            files_pruned: MetricBuilder::new(&self.metrics).counter("files_pruned", partition),
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

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.predicate.clone()
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

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let undecided = vec![PushedDown::No; filters.len()];
        let predicate = conjunction(self.predicate.iter().cloned().chain(filters));
        let source: Arc<dyn FileSource> = Arc::new(Self {
            predicate: Some(predicate),
            ..self.clone()
        });
        let propagation = FilterPushdownPropagation::with_parent_pushdown_result(undecided);
        Ok(propagation.with_updated_node(source))
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
        let projected = self.projection.source.iter().map(|column| &column.expr);
        apply_expression_roots(self.predicate.iter().chain(projected), f)
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
    stored: SchemaRef,
    reader: PartReader,
    shared: Option<SharedReader>,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    batch_rows: usize,
    files_pruned: Count,
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

impl PartOpener {
    /// Whether no row of the file can pass the filters, which may have learned more since the query
    /// was planned.
    fn is_ruled_out(&self, file: &PartitionedFile) -> Result<bool> {
        let Some(predicate) = self.predicate.clone() else {
            return Ok(false);
        };
        match FilePruner::try_new(predicate, &self.stored, file, Count::new()) {
            Some(mut pruner) => pruner.should_prune(),
            None => Ok(false),
        }
    }
}

impl FileOpener for PartOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        if self.is_ruled_out(&file)? {
            self.files_pruned.add(1);
            return Ok(async { Ok(stream::empty().boxed()) }.boxed());
        }
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
