//! The plan that goes through a table capture by capture.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Int32Array, Int64Array, RecordBatch};
use datafusion::common::cast::{as_int32_array, as_int64_array};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, Partitioning,
    PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, stream};
use trace::{CaptureId, Epoch, Step};

use super::{CaptureAnalysis, CaptureRows};

/// Makes the rows of each capture from its input, which it wants in the order of epoch, step and
/// neuron.
#[derive(Debug)]
pub(super) struct PerCaptureExec {
    input: Arc<dyn ExecutionPlan>,
    analysis: Arc<dyn CaptureAnalysis>,
    order: LexOrdering,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl PerCaptureExec {
    /// The first three columns of `input` are `epoch`, `step` and `neuron`.
    pub(super) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        analysis: Arc<dyn CaptureAnalysis>,
    ) -> Result<Self> {
        let schema = input.schema();
        let ascending = ["epoch", "step", "neuron"].map(|name| {
            let column = Column::new_with_schema(name, &schema);
            Ok(PhysicalSortExpr::new_default(Arc::new(column?))
                .asc()
                .nulls_last())
        });
        let ascending = ascending.into_iter().collect::<Result<Vec<_>>>()?;
        let Some(order) = LexOrdering::new(ascending) else {
            return internal_err!("three columns are an order");
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(analysis.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            input,
            analysis,
            order,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for PerCaptureExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "PerCaptureExec: {}", self.analysis.name())
    }
}

impl ExecutionPlan for PerCaptureExec {
    fn name(&self) -> &str {
        "PerCaptureExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.order.clone()))]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
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
        let Ok([input]) = <[_; 1]>::try_from(children) else {
            return internal_err!("PerCaptureExec has one child");
        };
        let analysis = Arc::clone(&self.analysis);
        Ok(Arc::new(Self::try_new(input, analysis)?))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let name = self.analysis.name();
        let captures = Captures {
            memory: MemoryConsumer::new(name).register(context.memory_pool()),
            input: self.input.execute(partition, context)?,
            analysis: Arc::clone(&self.analysis),
            open: None,
            done: VecDeque::new(),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let rows = stream::try_unfold(captures, Captures::next);
        let schema = self.analysis.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Where in the input the plan is.
struct Captures {
    input: SendableRecordBatchStream,
    analysis: Arc<dyn CaptureAnalysis>,
    memory: MemoryReservation,
    /// The capture whose rows are coming.
    open: Option<(CaptureId, Box<dyn CaptureRows>)>,
    /// The rows of captures that have come to their end.
    done: VecDeque<RecordBatch>,
    metrics: BaselineMetrics,
}

impl Captures {
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        loop {
            if let Some(rows) = self.done.pop_front() {
                let rows = rows.record_output(&self.metrics);
                return Ok(Some((rows, self)));
            }
            match self.input.next().await {
                Some(batch) => self.push(&batch?)?,
                None if self.open.is_none() => return Ok(None),
                None => self.close()?,
            }
        }
    }

    /// Takes a batch, which may hold the end of a capture, or several.
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let compute = self.metrics.elapsed_compute().clone();
        let _timer = compute.timer();
        let epochs = as_int32_array(batch.column(0))?;
        let steps = as_int64_array(batch.column(1))?;
        let mut start = 0;
        while start < batch.num_rows() {
            let capture = capture_at(epochs, steps, start);
            let rest = start..batch.num_rows();
            let end = rest
                .clone()
                .find(|&row| capture_at(epochs, steps, row) != capture)
                .unwrap_or(rest.end);
            if self.open.as_ref().is_some_and(|(open, _)| *open != capture) {
                self.close()?;
            }
            let (_, rows) = self
                .open
                .get_or_insert_with(|| (capture, self.analysis.begin(capture)));
            rows.push(&batch.slice(start, end - start))?;
            self.memory.try_resize(rows.num_bytes())?;
            start = end;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if let Some((_, rows)) = self.open.take() {
            let compute = self.metrics.elapsed_compute().clone();
            let _timer = compute.timer();
            self.done.push_back(rows.finish()?);
            self.memory.free();
        }
        Ok(())
    }
}

fn capture_at(epochs: &Int32Array, steps: &Int64Array, row: usize) -> CaptureId {
    CaptureId {
        epoch: Epoch(epochs.value(row)),
        step: Step(steps.value(row)),
    }
}
