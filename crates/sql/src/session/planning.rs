//! From SQL to a plan, however deep the SQL nests.
//!
//! A parser makes of `a OR b OR c OR ...` a tree as deep as the chain is long, and much of what
//! plans and runs it, down to the freeing of its nodes, calls itself for every level. Here chains of AND
//! and OR become shallow, what is deeper than [`MAX_DEPTH`] is refused, and until that is known
//! everything happens on a stack that is large enough.

mod conditions;
mod depth;

use std::pin::pin;

use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SQLOptions;
use futures::future::poll_fn;

pub use depth::MAX_DEPTH;
use depth::{check_text, flatten, plan_depth};

/// Why SQL that could be understood is not planned.
#[derive(Debug, thiserror::Error)]
#[error(
    "the query nests {depth} deep, which is more than {max}: list values with IN (1, 2, ...) or NOT \
     IN, give ranges with BETWEEN, join a list of VALUES, or ask in several queries",
    max = MAX_DEPTH
)]
pub(crate) struct TooDeep {
    /// How deep it nests, or how deep at least.
    depth: usize,
}

impl From<TooDeep> for DataFusionError {
    fn from(error: TooDeep) -> Self {
        Self::Plan(error.to_string())
    }
}

/// What planning has of a stack. It is taken from the system as it is used.
const STACK_BYTES: usize = 128 << 20;

/// Plans one statement of SQL.
pub(crate) async fn plan(
    state: &SessionState,
    sql: &str,
    options: SQLOptions,
) -> Result<LogicalPlan> {
    // All that the closure makes is freed on the large stack, too.
    let planned = async {
        let dialect = state.config().options().sql_parser.dialect;
        check_text(sql)?;
        let mut statement = state.sql_to_statement(sql, &dialect)?;
        let has_long_chains = flatten(&mut statement)?;
        let mut plan = state.statement_to_plan(statement).await?;
        if has_long_chains {
            plan = conditions::shorten(plan)?;
        }
        let depth = plan_depth(&plan)?;
        if depth > MAX_DEPTH {
            return Err(TooDeep { depth }.into());
        }
        options.verify_plan(&plan)?;
        Ok::<_, DataFusionError>(plan)
    };
    let mut planned = pin!(planned);
    poll_fn(|context| stacker::grow(STACK_BYTES, || planned.as_mut().poll(context))).await
}

#[cfg(test)]
mod tests;
