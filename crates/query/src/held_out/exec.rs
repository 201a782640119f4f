//! The plan that works captures out, each partition its own.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, stream};

use super::{Capture, HeldOutAnalysis, Room};
use crate::snapshot::SharedSnapshot;

/// Works captures out as their rows are asked for.
#[derive(Debug)]
pub(super) struct HeldOutExec {
    snapshot: SharedSnapshot,
    analysis: Arc<dyn HeldOutAnalysis>,
    /// The captures of each partition, in order.
    partitions: Vec<Vec<Capture>>,
    /// How many threads a partition may use.
    num_threads: usize,
    projection: Vec<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl HeldOutExec {
    /// Works out `captures`, which are in order, in at most `target_partitions` partitions.
    pub(super) fn try_new(
        snapshot: SharedSnapshot,
        analysis: Arc<dyn HeldOutAnalysis>,
        captures: Vec<Capture>,
        projection: Vec<usize>,
        target_partitions: usize,
    ) -> Result<Self> {
        let num_partitions = captures.len().clamp(1, target_partitions.max(1));
        let mut partitions = vec![Vec::new(); num_partitions];
        // Neighbours go to different partitions, so that who merges them takes from all in turn.
        for (number, capture) in captures.into_iter().enumerate() {
            partitions[number % num_partitions].push(capture);
        }
        let schema = Arc::new(analysis.schema().project(&projection)?);
        let properties = PlanProperties::new(
            equivalences(&schema, analysis.order()),
            Partitioning::UnknownPartitioning(num_partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            snapshot,
            analysis,
            partitions,
            num_threads: (target_partitions / num_partitions).max(1),
            projection,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

/// The order of the rows, as far as the columns that it is by are there.
fn equivalences(schema: &SchemaRef, within: &[&str]) -> EquivalenceProperties {
    let ascending = |schema: &Schema, name: &str| -> Option<PhysicalSortExpr> {
        let column = Column::new_with_schema(name, schema).ok()?;
        let ascending = PhysicalSortExpr::new_default(Arc::new(column)).asc();
        Some(ascending.nulls_last())
    };
    let names = ["epoch", "step"].iter().chain(within);
    let known = names.map_while(|name| ascending(schema, name));
    let mut properties = EquivalenceProperties::new(Arc::clone(schema));
    properties.add_orderings(LexOrdering::new(known));
    properties
}

impl DisplayAs for HeldOutExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let captures: usize = self.partitions.iter().map(Vec::len).sum();
        let told = self.analysis.told();
        write!(
            f,
            "HeldOutExec: {}, captures={captures}, {told}",
            self.analysis.name()
        )
    }
}

impl ExecutionPlan for HeldOutExec {
    fn name(&self) -> &str {
        "HeldOutExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(self),
            false => internal_err!("HeldOutExec has no children"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let name = format!("{}[{partition}]", self.analysis.name());
        let work = Work {
            snapshot: Arc::clone(&self.snapshot),
            analysis: Arc::clone(&self.analysis),
            projection: self.projection.clone(),
            room: Room {
                batch_rows: context.session_config().batch_size(),
                num_threads: self.num_threads,
                memory: MemoryConsumer::new(name).register(context.memory_pool()),
            },
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let captures = self.partitions[partition].clone();
        let batches = stream::iter(captures).flat_map(move |capture| {
            let batches = match work.batches(&capture) {
                Ok(batches) => batches.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            stream::iter(batches)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            batches,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// What a partition needs to work its captures out.
struct Work {
    snapshot: SharedSnapshot,
    analysis: Arc<dyn HeldOutAnalysis>,
    projection: Vec<usize>,
    room: Room,
    metrics: BaselineMetrics,
}

impl Work {
    /// The rows of one capture.
    fn batches(&self, capture: &Capture) -> Result<Vec<RecordBatch>> {
        let _timer = self.metrics.elapsed_compute().timer();
        let rows = self.analysis.rows(&self.snapshot, capture, &self.room)?;
        // Whoever takes the rows accounts for them.
        self.room.memory.free();
        let rows = rows.project(&self.projection)?;
        let starts = (0..rows.num_rows()).step_by(self.room.batch_rows);
        let batches = starts.map(|start| {
            let len = self.room.batch_rows.min(rows.num_rows() - start);
            rows.slice(start, len).record_output(&self.metrics)
        });
        Ok(batches.collect())
    }
}
