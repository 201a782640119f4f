//! Hash joins that leave lists where they are.
//!
//! DataFusion's hash join copies every row that it lets through, and then once more to fill up its
//! batches. Where each row of weights is joined to one row that says more about its epoch or its
//! neuron, nearly all of that is lists. Here the columns of the large side go on as they are, and
//! only those of the small side are gathered, unless a row has no partner or several.

mod table;

use std::sync::{Arc, OnceLock};

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, JoinType, NullEquality, Result, SharedResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::limit::LimitStream;
use datafusion::physical_plan::metrics::BaselineMetrics;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr, apply_expression_roots};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use crate::exec::replace::Replace;
use crate::exec::stand_in::{StandIn, StandInExec};
use table::{Lookup, OutputColumn, Table};

/// Replaces DataFusion's hash join where it would copy lists.
pub(crate) const JOIN_BY_LOOKUP: Replace = Replace {
    name: "join_by_lookup",
    replacement: LookupJoinExec::replacement,
};

pub(crate) type LookupJoinExec = StandInExec<LookupJoin>;

/// The join of a side that is read first, whole, and of one that streams.
#[derive(Debug)]
pub(crate) struct LookupJoin {
    /// The join that this one is: the left side is looked up in, the right one streams.
    join: Arc<HashJoinExec>,
    /// Whether rows of the streamed side that have no partner go on, with nulls.
    keeps_unmatched: bool,
    columns: Vec<OutputColumn>,
    table: OnceLock<SharedTable>,
}

/// What is read of the side that all partitions look up in, whichever of them comes first, or why it cannot be
/// read. It is read once: a plan's partition gives its rows to nobody who asks again.
type SharedTable = Shared<BoxFuture<'static, SharedResult<Arc<Table>>>>;

impl StandIn for LookupJoin {
    type Node = HashJoinExec;

    const NAME: &'static str = "LookupJoinExec";

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
            join: Arc::new(join.builder().build()?),
            keeps_unmatched,
            columns,
            table: OnceLock::new(),
        }))
    }

    fn node(&self) -> &Arc<HashJoinExec> {
        &self.join
    }

    fn describe(&self) -> String {
        let join_type = self.join.join_type();
        let keys = self.join.on().iter();
        let keys = keys.map(|(built, streamed)| format!("({built}, {streamed})"));
        let keys = keys.collect::<Vec<_>>().join(", ");
        let fetch = self.join.fetch();
        let fetch = fetch.map_or_else(String::new, |fetch| format!(", fetch={fetch}"));
        format!("join_type={join_type}, on=[{keys}]{fetch}")
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

    fn rows(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
        metrics: BaselineMetrics,
    ) -> Result<SendableRecordBatchStream> {
        let (built_keys, streamed_keys) = self.join.on().iter().cloned().unzip();
        let lookup = Arc::new(Lookup {
            streamed_keys,
            keeps_unmatched: self.keeps_unmatched,
            columns: self.columns.clone(),
            schema: self.join.schema(),
            batch_rows: context.session_config().batch_size(),
        });
        let streamed = self.join.right().execute(partition, Arc::clone(&context))?;
        let read = || {
            let built = Arc::clone(self.join.left());
            let table = async move { Table::read(&built, built_keys, &context).await };
            let table = table.map(|table| table.map(Arc::new).map_err(Arc::new));
            table.boxed().shared()
        };
        let table = self.table.get_or_init(read).clone();
        let batches = stream::once(async move {
            let table = table.await.map_err(DataFusionError::Shared)?;
            let batches = streamed.and_then(move |rows| {
                std::future::ready(Arc::clone(&lookup).join(&table, rows).map(stream::iter))
            });
            Ok::<_, DataFusionError>(batches.try_flatten())
        });
        let batches =
            RecordBatchStreamAdapter::new(self.join.schema(), batches.try_flatten().boxed());
        // A limit is one of each partition.
        let fetch = self.join.fetch();
        Ok(Box::pin(LimitStream::new(
            Box::pin(batches),
            0,
            fetch,
            metrics,
        )))
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

#[cfg(test)]
mod tests;
