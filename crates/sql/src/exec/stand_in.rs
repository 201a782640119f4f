//! Nodes that make the rows of DataFusion's in another way.
//!
//! The node that is replaced is kept: whatever the planner has put on it, or asks of it, is asked of
//! that one, and what cannot be done here is left to DataFusion.

use std::fmt::{self, Debug};
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::OrderingRequirements;
use datafusion::physical_plan::execution_plan::{
    CardinalityEffect, ChildrenPropertiesMode, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PhysicalExpr,
    PlanProperties,
};

/// How the rows of a node of DataFusion's are made in another way.
pub(crate) trait StandIn: Debug + Send + Sync + Sized + 'static {
    /// The node of DataFusion's.
    type Node: ExecutionPlan;

    /// The name of the node that stands in.
    const NAME: &'static str;

    /// What stands in for a node; none if that is better left to DataFusion.
    fn of(node: &Self::Node) -> Result<Option<Self>>;

    /// The node that it stands in for.
    fn node(&self) -> &Arc<Self::Node>;

    /// What it does, for whoever reads the plan.
    fn describe(&self) -> String;

    /// Calls `f` with the expressions that it evaluates.
    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.node().apply_expressions(f)
    }

    /// The rows of a partition.
    fn rows(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
        metrics: BaselineMetrics,
    ) -> Result<SendableRecordBatchStream>;
}

/// The node of a [`StandIn`].
#[derive(Debug)]
pub(crate) struct StandInExec<S> {
    stand_in: S,
    metrics: ExecutionPlanMetricsSet,
}

impl<S: StandIn> StandInExec<S> {
    /// What stands in for a node; none if that is better left to DataFusion.
    pub(crate) fn of(node: &S::Node) -> Result<Option<Self>> {
        let stand_in = S::of(node)?;
        Ok(stand_in.map(|stand_in| Self {
            stand_in,
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    /// What comes in the place of a node of a plan; none if it stays.
    pub(crate) fn replacement(
        node: &Arc<dyn ExecutionPlan>,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let stand_in = match node.downcast_ref::<S::Node>() {
            Some(node) => Self::of(node)?,
            None => None,
        };
        Ok(stand_in.map(|stand_in| Arc::new(stand_in) as Arc<dyn ExecutionPlan>))
    }

    /// What comes of the node that was kept, once the planner has made another of it.
    fn anew(node: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Self::replacement(&node)?.unwrap_or(node))
    }
}

impl<S: StandIn> DisplayAs for StandInExec<S> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", S::NAME, self.stand_in.describe())
    }
}

impl<S: StandIn> ExecutionPlan for StandInExec<S> {
    fn name(&self) -> &str {
        S::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.stand_in.node().properties()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.stand_in.node().input_distribution_requirements()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.stand_in.node().required_input_ordering()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        self.stand_in.node().benefits_from_input_partitioning()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.stand_in.node().maintains_input_order()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.stand_in.node().children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.stand_in.apply_expressions(f)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let node = Arc::clone(self.stand_in.node());
        Self::anew(node.replace_children(children, options)?)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Self::anew(Arc::clone(self.stand_in.node()).reset_state()?)
    }

    fn fetch(&self) -> Option<usize> {
        self.stand_in.node().fetch()
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Self::anew(self.stand_in.node().with_fetch(limit)?).ok()
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.stand_in.node().child_stats_requests(partition)
    }

    fn statistics_from_inputs(
        &self,
        input_stats: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let node = self.stand_in.node();
        node.statistics_from_inputs(input_stats, args)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        self.stand_in.node().cardinality_effect()
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        self.stand_in.rows(partition, context, metrics)
    }
}
