//! Part files as a source of DataFusion's file scan.
//!
//! DataFusion's own Parquet source prepares every file for whatever it may turn out to be: remote,
//! of many row groups, with other columns than the table. A part file is local, has one row group
//! and its table's columns, and there are thousands of them, so that what a file costs before its
//! first value decides what a query costs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

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
            metrics: ExecutionPlanMetricsSet::new(),
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
        let opener = PartOpener {
            root: Arc::clone(&self.root),
            stored: Arc::clone(stored),
            reader: PartReader::try_new(stored, &self.projection.file_indices, self.batch_rows)?,
            predicate: self.predicate.clone(),
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
    predicate: Option<Arc<dyn PhysicalExpr>>,
    files_pruned: Count,
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
        let reader = self.reader.clone();
        let part = PartFile {
            path: path_of(&self.root, &file),
            num_bytes: file.object_meta.size,
            crc32c: file.extension::<Committed>().map(|committed| committed.0),
        };
        Ok(async move { Ok(stream::iter(reader.open(part)?).boxed()) }.boxed())
    }
}

fn path_of(root: &Path, file: &PartitionedFile) -> PathBuf {
    root.join(file.object_meta.location.as_ref())
}
