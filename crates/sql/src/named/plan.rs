//! From the text of a named query to its plan, in whatever session asks.
//!
//! The text names tables of the run, which a scope of captures restricts, and functions that take the
//! query's own parameters. Both are found here, so that a plan needs nothing of the session but its
//! scalar and aggregate functions, and a user's table of the same name does not get in between.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue, TableReference, plan_datafusion_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::planner::{ParserOptions, SqlToRel};

use crate::run::scope::Scope;
use crate::run::snapshot::SharedSnapshot;
use crate::tables::call::Call;
use crate::tables::functions::run_function;
use crate::tables::table;

/// What a named query is planned with.
pub(super) struct QueryContext<'a> {
    /// Where the functions of SQL are.
    pub(super) functions: &'a dyn ContextProvider,
    pub(super) snapshot: &'a SharedSnapshot,
    pub(super) scope: Scope,
    /// The values of its parameters.
    pub(super) values: HashMap<String, ScalarValue>,
}

/// The text is ours: how a session wants SQL to be read does not concern it.
static OPTIONS: LazyLock<ConfigOptions> = LazyLock::new(ConfigOptions::default);

impl QueryContext<'_> {
    /// The plan of a named query's text, with the values in it.
    pub(super) fn plan(&self, sql: &str) -> Result<LogicalPlan> {
        let planner = SqlToRel::new_with_options(self, ParserOptions::from(&OPTIONS.sql_parser));
        let plan = planner.statement_to_plan(statement(sql)?)?;
        let values = self.values.iter();
        let values = values.map(|(name, value)| (name.clone(), value.clone()));
        plan.with_param_values(values.collect::<Vec<_>>())
    }
}

fn statement(sql: &str) -> Result<Statement> {
    DFParserBuilder::new(sql).build()?.parse_statement()
}

impl ContextProvider for QueryContext<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let table = match &name {
            TableReference::Bare { table: of_run } => table(self.snapshot, self.scope, of_run)?,
            _ => None,
        };
        table
            .map(provider_as_source)
            .ok_or_else(|| plan_datafusion_err!("table '{name}' not found"))
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> Result<Arc<dyn TableSource>> {
        let Some(function) = run_function(name) else {
            return self.functions.get_table_function_source(name, args);
        };
        let call = Call::try_new(function, &args, &self.values, self.scope)?;
        Ok(provider_as_source((function.table)(self.snapshot, &call)?))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        self.functions.create_cte_work_table(name, schema)
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.functions.get_expr_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        None
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.get_function_meta(name)
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.functions.get_higher_order_meta(name)
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.get_aggregate_meta(name)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.functions.get_window_meta(name)
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &OPTIONS
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.udf_names()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.functions.higher_order_function_names()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.functions.udaf_names()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.functions.udwf_names()
    }
}

/// The functions of a session, where it is no planner that asks.
pub(crate) struct StateFunctions<'a>(pub(crate) &'a SessionState);

impl ContextProvider for StateFunctions<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        Err(plan_datafusion_err!("table '{name}' not found"))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.0.expr_planners()
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.0.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.0.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.0.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.0.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.0.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.0.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.0.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.0.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.0.window_functions().keys().cloned().collect()
    }
}
