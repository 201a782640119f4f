//! Hash joins that leave lists where they are.
//!
//! DataFusion's hash join copies every row that it lets through, and then once more to fill up its
//! batches. Where each row of weights is joined to one row that says more about its epoch or its
//! neuron, nearly all of that is lists. Here the columns of the large side go on as they are, and
//! only those of the small side are gathered, unless a row has no partner or several.
//!
//! The join that is replaced is kept: whatever the planner has put on it, or asks of it, is asked of
//! that one, and what cannot be done here is left to DataFusion.

mod table;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, JoinType, NullEquality, Result, Statistics};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::limit::LimitStream;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PhysicalExpr,
    PlanProperties, apply_expression_roots,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use table::{Lookup, OutputColumn, Table};

/// Replaces DataFusion's hash join where it would copy lists.
#[derive(Debug)]
pub(crate) struct JoinByLookup;

impl PhysicalOptimizerRule for JoinByLookup {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let by_lookup = match node.downcast_ref::<HashJoinExec>() {
                Some(join) => LookupJoinExec::of(join)?,
                None => None,
            };
            Ok(match by_lookup {
                Some(join) => Transformed::yes(Arc::new(join) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "join_by_lookup"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The join of a side that is read first, whole, and of one that streams.
#[derive(Debug)]
struct LookupJoinExec {
    /// The join that this one is: the left side is looked up in, the right one streams.
    join: HashJoinExec,
    /// Whether rows of the streamed side that have no partner go on, with nulls.
    keeps_unmatched: bool,
    columns: Vec<OutputColumn>,
    table: Arc<OnceCell<Arc<Table>>>,
    metrics: ExecutionPlanMetricsSet,
}

impl LookupJoinExec {
    /// None if that join is better left to DataFusion.
    fn of(join: &HashJoinExec) -> Result<Option<Self>> {
        let keeps_unmatched = match join.join_type() {
            JoinType::Inner => false,
            JoinType::Right => true,
            _ => return Ok(None),
        };
        let streamed_schema = join.right().schema();
        let mut fields = streamed_schema.fields().iter();
        let has_lists = fields.any(|field| matches!(field.data_type(), DataType::List(_)));
        let is_plain = *join.partition_mode() == PartitionMode::CollectLeft
            && join.filter().is_none()
            && join.null_equality() == NullEquality::NullEqualsNothing
            && !join.null_aware;
        if !has_lists || !is_plain || narrows_its_input(join)? {
            return Ok(None);
        }
        let built_schema = join.left().schema();
        for (built, streamed) in join.on() {
            let key = built.data_type(&built_schema)?;
            // Of other types, values that are equal may differ as bytes.
            if key != streamed.data_type(&streamed_schema)?
                || !(key.is_integer() || key == DataType::Utf8)
            {
                return Ok(None);
            }
        }
        let num_built = built_schema.fields().len();
        let column = |index: usize| match index.checked_sub(num_built) {
            None => OutputColumn::Built(index),
            Some(index) => OutputColumn::Streamed(index),
        };
        let columns = match &join.projection {
            Some(projection) => projection.iter().copied().map(column).collect(),
            None => (0..num_built + streamed_schema.fields().len())
                .map(column)
                .collect(),
        };
        Ok(Some(Self {
            join: join.builder().build()?,
            keeps_unmatched,
            columns,
            table: Arc::default(),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    /// Puts `join` in the place of the one that was.
    fn anew(join: HashJoinExec) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(match Self::of(&join)? {
            Some(by_lookup) => Arc::new(by_lookup),
            None => Arc::new(join),
        })
    }
}

/// Whether somebody below waits for the keys that the join has read, to leave out rows that have
/// none of them.
fn narrows_its_input(join: &HashJoinExec) -> Result<bool> {
    let made = join.dynamic_expressions_produced();
    let made: Vec<u64> = made
        .iter()
        .filter_map(|made| made.expression_id())
        .collect();
    let mut is_used = false;
    join.right().apply(|node| {
        node.apply_expressions(&mut |root| {
            root.apply(|expr| {
                is_used |= expr.expression_id().is_some_and(|id| made.contains(&id));
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(match is_used {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(is_used)
}

impl DisplayAs for LookupJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let join_type = self.join.join_type();
        write!(f, "LookupJoinExec: join_type={join_type}, on=[")?;
        for (index, (built, streamed)) in self.join.on().iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}({built}, {streamed})")?;
        }
        write!(f, "]")?;
        match self.join.fetch() {
            Some(fetch) => write!(f, ", fetch={fetch}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for LookupJoinExec {
    fn name(&self) -> &str {
        "LookupJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.join.properties()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.join.input_distribution_requirements()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.join.maintains_input_order()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.join.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let keys = self
            .join
            .on()
            .iter()
            .flat_map(|(built, streamed)| [built, streamed]);
        apply_expression_roots(keys, f)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let join = self.join.builder().recompute_properties();
        Self::anew(join.with_new_children(children)?.build()?)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Self::anew(self.join.builder().reset_state().build()?)
    }

    fn fetch(&self) -> Option<usize> {
        self.join.fetch()
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let join = self.join.builder().with_fetch(limit).build().ok()?;
        Self::anew(join).ok()
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.join.child_stats_requests(partition)
    }

    fn statistics_from_inputs(
        &self,
        input_stats: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.join.statistics_from_inputs(input_stats, args)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        self.join.cardinality_effect()
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let (built_keys, streamed_keys) = self.join.on().iter().cloned().unzip();
        let lookup = Arc::new(Lookup {
            streamed_keys,
            keeps_unmatched: self.keeps_unmatched,
            columns: self.columns.clone(),
            schema: self.schema(),
            batch_rows: context.session_config().batch_size(),
        });
        let streamed = self.join.right().execute(partition, Arc::clone(&context))?;
        let built = Arc::clone(self.join.left());
        let table = Arc::clone(&self.table);
        let batches = stream::once(async move {
            // Whichever partition comes first reads the side that all look up in.
            let read = || async {
                Table::read(&built, built_keys, &context)
                    .await
                    .map(Arc::new)
            };
            let table = Arc::clone(table.get_or_try_init(read).await?);
            let batches = streamed.and_then(move |rows| {
                std::future::ready(Arc::clone(&lookup).join(&table, rows).map(stream::iter))
            });
            Ok::<_, DataFusionError>(batches.try_flatten())
        });
        let batches = RecordBatchStreamAdapter::new(self.schema(), batches.try_flatten().boxed());
        // A limit is one of each partition.
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let fetch = self.join.fetch();
        Ok(Box::pin(LimitStream::new(
            Box::pin(batches),
            0,
            fetch,
            metrics,
        )))
    }
}

#[cfg(test)]
mod tests;
