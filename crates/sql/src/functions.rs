//! The list functions of SQL over a run.
//!
//! A trace keeps a neuron's weights and activations as lists, so most questions are about lists,
//! element by element. DataFusion answers them by `unnest` and a second grouping, at many times the
//! file's size in memory; these functions answer them in one pass over the flat buffers that lists
//! already are.
//!
//! | kind | functions |
//! |---|---|
//! | aggregates over rows | `vec_mean` (`vec_avg`), `vec_sum`, `vec_var` (`vec_var_pop`), `vec_var_samp`, `vec_min`, `vec_max`, `vec_collect` |
//! | of one row | `pad`, `vec_filter`, `vec_l2_distance`, `vec_cosine`, `vec_corr`, `vec_norm`, `list_std`, `list_mean_by` |
//!
//! `list_...` reduces one list, as DataFusion's own `list_avg`, `list_sum`, `list_min` and `list_max`
//! do, where `vec_...` of the same name would go over rows.
//!
//! # Rules
//!
//! - Arithmetic is in `f64`; results are `Float32`, as a trace stores its statistics. `Float64` and
//!   wide integer input is read as `f64`, other numbers as `f32`; `LargeList` and `FixedSizeList`
//!   are read as `List`.
//! - NaN propagates, minimum and maximum included. A NULL list is skipped by an aggregate and gives
//!   NULL elsewhere.
//! - A NULL *inside* a list is refused: the tables of a run hold none, and guessing what one means
//!   would be wrong.
//! - Lists of unequal length are an error that names both lengths. An empty list is a list of
//!   length 0.
//! - Variance is the population form (divided by n), as everywhere in a trace; `vec_var_samp` alone
//!   divides by n - 1.

mod aggregate;
mod collect;
mod doc;
mod epochs;
mod filter;
mod fold;
mod lists;
mod mean_by;
mod measure;
mod nullable;
mod one_group;
mod pad;
mod sum;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::execution::FunctionRegistry;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionContext;

pub use doc::{FunctionDoc, FunctionKind, function_docs};

use aggregate::ListAggregate;
use collect::VecCollect;
pub(crate) use epochs::{EPOCH_DOCS, epoch_functions};
use filter::VecFilter;
use fold::Fold;
use mean_by::ListMeanBy;
use measure::{Measure, MeasureFunction};
use nullable::{FAILING, OfNullable};
use pad::Pad;
use sum::ExactSum;

/// Registers every list function with `ctx`, in place of functions of the same name.
pub fn register_functions(ctx: &SessionContext) {
    for udf in all_udfs() {
        ctx.register_udf(udf.as_ref().clone());
    }
    if let MemoryLimit::Finite(max_bytes) = ctx.runtime_env().memory_pool.memory_limit() {
        ctx.register_udf(ScalarUDF::new_from_impl(Pad::new(max_bytes)));
        ctx.register_udf(ScalarUDF::new_from_impl(ListMeanBy::new(max_bytes)));
    }
    for udaf in all_udafs() {
        ctx.register_udaf(udaf.as_ref().clone());
    }
    // DataFusion has list_max, list_sum and list_avg, but no list_min.
    if let Ok(array_min) = ctx.udf("array_min") {
        ctx.register_udf(array_min.as_ref().clone().with_aliases(["list_min"]));
    }
    for name in FAILING {
        if let Ok(function) = ctx.udf(name) {
            ctx.register_udf(ScalarUDF::new_from_impl(OfNullable::new(&function)));
        }
    }
    // In the place of DataFusion's.
    ctx.register_udaf(AggregateUDF::new_from_impl(ExactSum::default()));
}

/// The list functions of one row, for a session state that is not a [`SessionContext`].
pub fn all_udfs() -> Vec<Arc<ScalarUDF>> {
    let mut udfs = vec![
        ScalarUDF::new_from_impl(Pad::new(usize::MAX)),
        ScalarUDF::new_from_impl(VecFilter::new()),
        ScalarUDF::new_from_impl(ListMeanBy::new(usize::MAX)),
    ];
    udfs.extend(
        Measure::ALL.map(|measure| ScalarUDF::new_from_impl(MeasureFunction::new(measure))),
    );
    udfs.into_iter().map(Arc::new).collect()
}

/// The list aggregates, for a session state that is not a [`SessionContext`].
pub fn all_udafs() -> Vec<Arc<AggregateUDF>> {
    let mut udafs = vec![AggregateUDF::new_from_impl(VecCollect::new())];
    udafs.extend(Fold::ALL.map(|fold| AggregateUDF::new_from_impl(ListAggregate::new(fold))));
    udafs.into_iter().map(Arc::new).collect()
}
