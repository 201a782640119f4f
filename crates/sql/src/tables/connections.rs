//! `connections()`: one row a weight, with the input or neuron that it comes from.
//!
//! What SQL would need an `unnest` and a join for is a walk over the flat values of the lists: the
//! topology says where each position of a layer's rows comes from.

mod exec;
mod sources;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use trace::Table;

use crate::exec::operator::{OperatorExec, shown};
use crate::run::snapshot::SharedSnapshot;
use crate::scan::TraceTable;
use crate::tables::call::{Call, RunFunction};
use crate::tables::operator_table::{OperatorTable, Queryable};
use exec::Unnest;
pub(crate) use sources::{LayerSources, Sources};

/// Name of the table function.
pub(crate) const CONNECTIONS: &str = "connections";

/// The columns of `weights` that a connection repeats, in order.
const REPEATED: [&str; 5] = ["epoch", "layer", "step", "rank", "neuron"];
/// The list that is taken apart.
const LIST: &str = "weights";

fn schema() -> SchemaRef {
    let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
    Arc::new(Schema::new(vec![
        field("epoch", DataType::Int32, false),
        field("layer", DataType::Utf8, false),
        field("step", DataType::Int64, false),
        field("rank", DataType::Int32, false),
        field("neuron", DataType::Int32, false),
        field("position", DataType::Int32, false),
        field("source", DataType::Utf8, true),
        field("source_input", DataType::Int32, true),
        field("source_neuron", DataType::Int32, true),
        field("weight", DataType::Float32, false),
    ]))
}

/// The table function `connections()`.
pub(crate) const FUNCTION: RunFunction = RunFunction {
    name: CONNECTIONS,
    parameters: &[],
    table,
};

fn table(snapshot: &SharedSnapshot, call: &Call) -> Result<Arc<dyn TableProvider>> {
    let weights = TraceTable::new(Arc::clone(snapshot), Table::Weights, call.scope());
    Ok(Arc::new(Queryable(Connections {
        sources: Arc::new(Sources::try_new(snapshot.topology())?),
        weights,
    })))
}

#[derive(Debug)]
struct Connections {
    weights: TraceTable,
    sources: Arc<Sources>,
}

/// Whether a filter can be evaluated before a row is taken apart.
fn is_of_neuron(filter: &Expr) -> bool {
    let columns = filter.column_refs();
    columns
        .iter()
        .all(|column| REPEATED.contains(&column.name.as_str()))
}

#[async_trait]
impl OperatorTable for Connections {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn takes(&self, filter: &Expr) -> bool {
        is_of_neuron(filter)
    }

    async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns: Vec<&str> = REPEATED.into_iter().chain([LIST]).collect();
        let input = self.weights.filtered(state, &columns, filters).await?;
        let operator = Unnest {
            sources: Arc::clone(&self.sources),
            projection: shown(projection, &schema()),
        };
        Ok(Arc::new(OperatorExec::try_new(
            Arc::new(operator),
            Some(input),
        )?))
    }
}

#[cfg(test)]
mod tests;
