//! The first rows in an order, of partitions that are told apart by what they are ordered by.
//!
//! Of a union, as `SELECT 'a' AS kind, ... UNION ALL SELECT 'b' AS kind, ...`, each partition has one
//! `kind`. DataFusion sorts the rows of each by what is left of `ORDER BY kind, n LIMIT 3`, and lets
//! all partitions know the `n` past which no rows are wanted: one whose rows have larger numbers loses
//! them, though its `kind` comes first. Here each partition sorts for itself.

use std::sync::Arc;

use datafusion::physical_expr::equivalence::AcrossPartitions;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::exec::replace::Replace;

/// Sorts partitions by themselves that differ in what DataFusion leaves out of their order.
pub(crate) const SORT_APART: Replace = Replace {
    name: "sort_apart",
    replacement: |node| Ok(node.downcast_ref::<SortExec>().and_then(sorted_apart)),
};

/// The same rows, without a bound that partitions share; none if they may share it.
fn sorted_apart(sort: &SortExec) -> Option<Arc<dyn ExecutionPlan>> {
    let fetch = sort.fetch()?;
    let input = sort.input();
    let are_many =
        sort.preserve_partitioning() && input.output_partitioning().partition_count() > 1;
    let constants = input.equivalence_properties().constants();
    let mut constants = constants.iter();
    let differ = constants.any(|of| of.across_partitions == AcrossPartitions::Heterogeneous);
    (are_many && differ).then(|| {
        let sorted = SortExec::new(sort.expr().clone(), Arc::clone(input));
        let sorted = sorted.with_preserve_partitioning(true);
        Arc::new(LocalLimitExec::new(Arc::new(sorted), fetch)) as Arc<dyn ExecutionPlan>
    })
}
