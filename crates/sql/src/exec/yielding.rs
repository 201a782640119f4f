//! Where a query lets others have its thread, and can be given up.
//!
//! DataFusion counts the batches of a plan's leaves: after some, a task lets go of its thread. A join makes
//! many batches of one, as a cross join a batch of every row that it keeps. Whoever reads them all, as an
//! aggregate does, would have the thread for minutes, and a query that was given up would go on as long.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::unnest::UnnestExec;

use crate::exec::lookup::LookupJoinExec;
use crate::exec::replace::Replace;

/// Counts the batches of what makes many of one, as those of leaves.
pub(crate) const YIELD_AFTER_JOINS: Replace = Replace {
    name: "yield_after_joins",
    replacement: |node| {
        let cooperative = || Arc::new(CooperativeExec::new(Arc::clone(node))) as Arc<_>;
        Ok(makes_many(node).then(cooperative))
    },
};

fn makes_many(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.is::<CrossJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node.is::<HashJoinExec>()
        || node.is::<LookupJoinExec>()
        || node.is::<SortMergeJoinExec>()
        || node.is::<PiecewiseMergeJoinExec>()
        || node.is::<UnnestExec>()
}

#[cfg(test)]
mod tests;
