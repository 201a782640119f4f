//! `connections()`: one row a weight, with the input or neuron that it comes from.
//!
//! What SQL would need an `unnest` and a join for is a walk over the flat values of the lists: the
//! topology says where each position of a layer's rows comes from.

mod exec;
mod sources;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use trace::Table;

use crate::scope::Scope;
use crate::snapshot::SharedSnapshot;
use crate::table::TraceTable;
use exec::ConnectionsExec;
use sources::Sources;

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
#[derive(Debug)]
pub(crate) struct ConnectionsFunction {
    snapshot: SharedSnapshot,
}

impl ConnectionsFunction {
    pub(crate) fn new(snapshot: SharedSnapshot) -> Self {
        Self { snapshot }
    }
}

impl TableFunctionImpl for ConnectionsFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        if !args.exprs().is_empty() {
            return plan_err!("{CONNECTIONS}() takes no arguments: filter its columns with WHERE");
        }
        // A function has no schema of its own: it shows what the tables around it show.
        let default_schema = &args.session().config_options().catalog.default_schema;
        let scope = Scope::ALL
            .into_iter()
            .find(|scope| scope.schema_name() == default_schema)
            .unwrap_or(Scope::EVERYTHING);
        let weights = TraceTable::new(Arc::clone(&self.snapshot), Table::Weights, scope);
        Ok(Arc::new(Connections {
            sources: Arc::new(Sources::new(self.snapshot.topology())),
            weights,
        }))
    }
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
impl TableProvider for Connections {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match is_of_neuron(filter) {
                true => TableProviderFilterPushDown::Exact,
                false => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let weights = self.weights.schema();
        let columns = REPEATED.iter().chain([&LIST]);
        let columns = columns
            .map(|name| weights.index_of(name))
            .collect::<Result<Vec<_>, _>>()?;
        let mut input = self
            .weights
            .scan(state, Some(&columns), filters, None)
            .await?;
        if let Some(filter) = conjunction(filters.to_vec()) {
            let schema = DFSchema::try_from(input.schema())?;
            let filter = crate::table::unqualified(filter)?;
            let filter = state.create_physical_expr(filter, &schema)?;
            input = Arc::new(FilterExec::try_new(filter, input)?);
        }
        let projection = match projection {
            Some(columns) => columns.clone(),
            None => (0..schema().fields().len()).collect(),
        };
        Ok(Arc::new(ConnectionsExec::try_new(
            input,
            Arc::clone(&self.sources),
            projection,
        )?))
    }
}

#[cfg(test)]
mod tests;
