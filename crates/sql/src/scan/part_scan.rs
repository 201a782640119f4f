//! The scan of part files as DataFusion runs it.
//!
//! A run has more files than it is worth to make objects of: DataFusion's own file scan keeps paths, values and
//! statistics of each, several kilobytes, and holds the statistics of all against each other whenever a plan
//! is made anew. This one keeps an index a file. What the planner asks and changes (columns, limit, order) it
//! asks of DataFusion's scan of no files, so that groups, orders and projections mean the same.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_datafusion_err};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSource;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::equivalence::project_orderings;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::DisplayFormatType;
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::display::display_orderings;
use datafusion::physical_plan::execution_plan::SchedulingType;
use datafusion::physical_plan::limit::LimitStream;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};

use super::chosen::ChosenFiles;
use super::shared::SharedParts;
use super::source::{PartSource, is_opened_to_count};

/// How many partitions a plan names, and files of each, unless it is asked for all.
const NAMED: usize = 5;

/// A scan of chosen files.
#[derive(Debug, Clone)]
pub(super) struct PartScan {
    files: Arc<ChosenFiles>,
    /// DataFusion's scan of as many partitions, with no files in them.
    plan: FileScanConfig,
    /// What other scans of the same plan decode, too.
    shared: Option<Arc<SharedParts>>,
}

impl PartScan {
    /// A scan of files, as `plan` says, whose source is a [`PartSource`] and whose file groups are
    /// as many as the files have partitions, without files.
    pub(super) fn new(files: Arc<ChosenFiles>, plan: FileScanConfig) -> Self {
        Self {
            files,
            plan,
            shared: None,
        }
    }

    pub(super) fn files(&self) -> &ChosenFiles {
        &self.files
    }

    /// The stored columns that are read, ascending.
    pub(super) fn file_columns(&self) -> Result<&[usize]> {
        Ok(self.source()?.file_columns())
    }

    /// Whether it decodes files together with other scans.
    pub(super) fn is_sharing(&self) -> bool {
        self.shared.is_some()
    }

    /// The same scan, which takes from `parts`, and leaves there what other scans want; none if it shares
    /// with others already.
    pub(super) fn sharing(&self, parts: &Arc<SharedParts>) -> Option<Self> {
        (!self.is_sharing()).then(|| Self {
            shared: Some(Arc::clone(parts)),
            ..self.clone()
        })
    }

    fn source(&self) -> Result<&PartSource> {
        let source = self.plan.file_source().downcast_ref::<PartSource>();
        source.ok_or_else(|| internal_datafusion_err!("a scan of part files has another source"))
    }

    /// The same files by another plan.
    fn planned(&self, plan: FileScanConfig) -> Self {
        Self {
            plan,
            ..self.clone()
        }
    }

    /// `{2 groups: [[a, b, c, d, e, ...], [f]]}`, as DataFusion has it.
    fn fmt_groups(&self, are_all_named: bool, f: &mut fmt::Formatter) -> fmt::Result {
        let most = if are_all_named { usize::MAX } else { NAMED };
        let partitions = self.files.partitions();
        let ellipsis = |len: usize| if len > most { ", ..." } else { "" };
        let groups = match partitions.len() {
            1 => "group",
            _ => "groups",
        };
        write!(f, "{{{} {groups}: [", partitions.len())?;
        for (nth, partition) in partitions.iter().take(most).enumerate() {
            f.write_str(if nth > 0 { ", [" } else { "[" })?;
            for (nth, index) in partition.iter().take(most).enumerate() {
                let comma = if nth > 0 { ", " } else { "" };
                write!(f, "{comma}{}", self.files.file(*index).path)?;
            }
            write!(f, "{}]", ellipsis(partition.len()))?;
        }
        write!(f, "{}]}}", ellipsis(partitions.len()))
    }
}

/// `a, b + 1 as c`, as DataFusion has it.
fn named(projection: &ProjectionExprs) -> String {
    let named = projection.iter().map(|projected| {
        let column = projected.expr.downcast_ref::<Column>();
        match column.is_some_and(|column| column.name() == projected.alias) {
            true => projected.alias.clone(),
            false => format!("{} as {}", projected.expr, projected.alias),
        }
    });
    named.collect::<Vec<_>>().join(", ")
}

impl DataSource for PartScan {
    fn open(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let num_files = self.files.partitions().get(partition).map(Vec::len);
        let num_files = num_files
            .ok_or_else(|| internal_datafusion_err!("there is no partition {partition} to read"))?;
        let batch_rows = context.session_config().batch_size();
        let reads_columns = !self.file_columns()?.is_empty();
        let opener = self.source()?.opener(batch_rows, self.shared.as_ref())?;
        let metrics = self.metrics();
        let num_opened = MetricBuilder::new(&metrics).counter("files_opened", partition);
        let opening = MetricBuilder::new(&metrics).subset_time("time_elapsed_opening", partition);
        let reading =
            MetricBuilder::new(&metrics).subset_time("time_elapsed_processing", partition);

        let files = Arc::clone(&self.files);
        let batches = stream::iter(0..num_files).then(move |nth| {
            let index = files.partitions()[partition][nth];
            let said = files.file(index);
            if reads_columns || is_opened_to_count(said.rows, said.bytes) {
                num_opened.add(1);
            }
            let opening = opening.clone();
            let file = files.partitioned_file(index);
            let rows = file.and_then(|file| opener.open(file));
            async move {
                let _timer = opening.timer();
                rows?.await
            }
        });
        let mut batches = batches.try_flatten().boxed();
        // Nothing comes behind an error: who asks on would take what is left for all that there is.
        let mut has_failed = false;
        let timed = stream::poll_fn(move |task| {
            if has_failed {
                return Poll::Ready(None);
            }
            let _timer = reading.timer();
            let next = batches.poll_next_unpin(task);
            has_failed = matches!(next, Poll::Ready(Some(Err(_))));
            next
        });
        let rows = RecordBatchStreamAdapter::new(self.plan.projected_schema()?, timed);
        let metrics = BaselineMetrics::new(&metrics, partition);
        let rows = LimitStream::new(Box::pin(rows), 0, self.plan.limit, metrics);
        Ok(Box::pin(cooperative(rows)))
    }

    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let num_files = self.files.num_files();
        let file_type = self.plan.file_source().file_type();
        if matches!(format, DisplayFormatType::TreeRender) {
            writeln!(f, "format={file_type}")?;
            return writeln!(f, "files={num_files}");
        }
        let schema = self.plan.projected_schema().map_err(|_| fmt::Error)?;
        write!(f, "files={num_files}, file_groups=")?;
        self.fmt_groups(matches!(format, DisplayFormatType::Verbose), f)?;
        if let Some(projection) = self.plan.file_source().projection()
            && !schema.fields().is_empty()
        {
            write!(f, ", projection=[{}]", named(projection))?;
        }
        if let Some(limit) = self.plan.limit {
            write!(f, ", limit={limit}")?;
        }
        display_orderings(f, &project_orderings(&self.plan.output_ordering, &schema))?;
        let partitioning = self.output_partitioning();
        write!(
            f,
            ", output_partitioning={partitioning}, file_type={file_type}"
        )
    }

    fn output_partitioning(&self) -> Partitioning {
        self.plan.output_partitioning()
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        self.plan.eq_properties()
    }

    fn scheduling_type(&self) -> SchedulingType {
        SchedulingType::Cooperative
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        self.plan.partition_statistics(partition)
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        let mut plan = self.plan.clone();
        plan.limit = limit;
        Some(Arc::new(self.planned(plan)))
    }

    fn fetch(&self) -> Option<usize> {
        self.plan.limit
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.plan.metrics()
    }

    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn DataSource>>> {
        let Some(plan) = self.plan.try_swapping_with_projection(projection)? else {
            return Ok(None);
        };
        let plan = plan.downcast_ref::<FileScanConfig>();
        Ok(plan.map(|plan| Arc::new(self.planned(plan.clone())) as _))
    }

    // Files stay where they are, and in their order, whatever the planner says of that.
    fn create_sibling_state(
        &self,
        _config: &datafusion::config::ConfigOptions,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.plan.apply_expressions(f)
    }
}

/// File groups that stand for so many partitions, without files.
pub(super) fn empty_groups(num_partitions: usize) -> Vec<FileGroup> {
    vec![FileGroup::default(); num_partitions]
}

#[cfg(test)]
mod tests;
