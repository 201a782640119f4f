//! `successive_weights()`: the rows of `weights`, each beside what the weights of its neuron were
//! before.
//!
//! In SQL this is a window function, which sorts all weights of a run by neuron and boxes each
//! list. Files come in the order of captures already: what a neuron's weights were before is in the
//! file of its layer that was read before, and goes on as it is.

mod exec;

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use trace::{EPOCH_COLUMN, LAYER_COLUMN, Table};

use crate::exec::operator::{OperatorExec, shown};
use crate::run::snapshot::SharedSnapshot;
use crate::scan::TraceTable;
use crate::tables::call::{Call, RunFunction};
use crate::tables::findings::Wanted;
use crate::tables::operator_table::{OperatorTable, Queryable};
use exec::AddLists;

/// Name of the table function.
pub(crate) const SUCCESSIVE_WEIGHTS: &str = "successive_weights";

/// The columns of `weights` that are shown, in order; the last is the list.
const SHOWN: [&str; 6] = ["epoch", "layer", "step", "rank", "neuron", "weights"];
/// The lists that are added.
const ADDED: [&str; 2] = ["previous_weights", "first_weights"];

/// The table function `successive_weights()`.
pub(crate) const FUNCTION: RunFunction = RunFunction {
    name: SUCCESSIVE_WEIGHTS,
    parameters: &[],
    table,
};

fn table(snapshot: &SharedSnapshot, call: &Call) -> Result<Arc<dyn TableProvider>> {
    let weights = TraceTable::new(Arc::clone(snapshot), Table::Weights, call.scope());
    let schema = with_added(&weights.schema())?;
    Ok(Arc::new(Queryable(SuccessiveWeights { weights, schema })))
}

#[derive(Debug)]
struct SuccessiveWeights {
    weights: TraceTable,
    schema: SchemaRef,
}

/// The columns of the function, of those of `weights`.
fn with_added(weights: &Schema) -> Result<SchemaRef> {
    let shown = SHOWN.map(|name| weights.field_with_name(name).cloned());
    let mut fields = shown.into_iter().collect::<Result<Vec<Field>, _>>()?;
    let list = fields[SHOWN.len() - 1].clone().with_nullable(true);
    fields.extend(ADDED.map(|name| list.clone().with_name(name)));
    Ok(Arc::new(Schema::new(fields)))
}

#[async_trait]
impl OperatorTable for SuccessiveWeights {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn takes(&self, filter: &Expr) -> bool {
        let columns = filter.column_refs();
        let is_partition = |name: &str| name == EPOCH_COLUMN || name == LAYER_COLUMN;
        columns.iter().all(|column| is_partition(&column.name))
    }

    fn is_exact(&self) -> bool {
        // Files are left out by it, but of what is left rows of other captures are read as well.
        false
    }

    async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = Wanted::new(&self.schema, projection)?;
        if !wanted.any(&ADDED) {
            // Nothing is asked of what was before: the rows are those of `weights`.
            let weights = self.weights.schema();
            let fields = wanted.schema().fields().iter();
            let columns = fields.map(|field| weights.index_of(field.name()));
            let columns = columns.collect::<Result<Vec<usize>, _>>()?;
            return self
                .weights
                .scan(state, Some(&columns), filters, None)
                .await;
        }
        let input = self.weights.successive(state, &SHOWN, filters)?;
        let operator = AddLists::new(Arc::clone(&self.schema), shown(projection, &self.schema));
        Ok(Arc::new(OperatorExec::try_new(
            Arc::new(operator),
            Some(input),
        )?))
    }
}

#[cfg(test)]
mod tests;
