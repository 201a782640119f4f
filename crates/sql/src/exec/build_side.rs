//! Which side of a join is read first and kept, where DataFusion would guess.
//!
//! Its optimizer keeps the side that it expects fewer rows of, and expects as many of an aggregate
//! as go into it. What is collected of an epoch's samples is a row a capture, however many samples
//! there are: beside the activations of a network with fewer neurons than held-out samples, it would
//! seem the larger side, and the activations of the whole run would be kept in its place.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::projection::ProjectionExec;

use crate::exec::replace::Replace;

/// Keeps the side of a join that has a row a capture.
pub(crate) const KEEP_CAPTURES: Replace = Replace {
    name: "keep_captures",
    replacement: |node| match node.downcast_ref::<HashJoinExec>() {
        Some(join) => with_captures_kept(join),
        None => Ok(None),
    },
};

/// The join with the side that has a row a capture on the left, where it is kept; none if neither
/// side has, or both.
fn with_captures_kept(join: &HashJoinExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    const KEPT: PartitionMode = PartitionMode::CollectLeft;
    let is_free = join.join_type().supports_swap() && !join.null_aware;
    Ok(
        match (is_by_capture(join.left()), is_by_capture(join.right())) {
            (true, false) => {
                let join = join.builder().with_partition_mode(KEPT).build()?;
                Some(Arc::new(join))
            }
            (false, true) if is_free => Some(join.swap_inputs(KEPT)?),
            _ => None,
        },
    )
}

/// Whether rows are aggregated by `epoch` and `step`, or by one of them.
fn is_by_capture(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let groups = aggregate.group_expr();
        let is_of_capture = |name: &str| name == "epoch" || name == "step";
        return groups.is_single()
            && groups.expr().iter().all(|(key, _)| {
                key.downcast_ref::<Column>()
                    .is_some_and(|column| is_of_capture(column.name()))
            });
    }
    let passes_rows_on = plan.is::<ProjectionExec>() || plan.is::<FilterExec>();
    passes_rows_on && plan.children().into_iter().all(is_by_capture)
}
