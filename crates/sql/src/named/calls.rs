//! Named queries as functions of SQL: `structure_scores(layer => 'L_input', captures => 'all')`.
//!
//! DataFusion's own table functions take their arguments by place alone, and drop the names behind
//! LATERAL, so a call is planned before it comes to them. What is called is a named query with the
//! parameters of its header, by name or, in their order, by place.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{
    DFSchema, DataFusionError, Result, ScalarValue, SchemaError, plan_datafusion_err, plan_err,
};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, ObjectName, TableAlias, TableFactor,
};

use super::{Defaults, NamedQuery};
use crate::run::scope::Scope;
use crate::run::snapshot::SharedSnapshot;
use crate::tables::functions::SQL_FUNCTIONS;

/// Plans calls of named queries over a run, in whichever session it is registered with.
#[derive(Debug)]
pub(crate) struct NamedQueryCalls {
    snapshot: SharedSnapshot,
    /// The name of the run's catalogue.
    catalog: String,
}

impl NamedQueryCalls {
    pub(crate) fn new(snapshot: SharedSnapshot, catalog: &str) -> Self {
        Self {
            snapshot,
            catalog: catalog.to_owned(),
        }
    }

    /// The named query that a call means, if it means one.
    fn called(
        &self,
        name: &ObjectName,
        arguments: &[FunctionArg],
        context: &dyn RelationPlannerContext,
    ) -> Option<&'static NamedQuery> {
        let idents = name.0.iter().map(|part| part.as_ident().cloned());
        let idents: Vec<String> = idents
            .map(|ident| Some(context.normalize_ident(ident?)))
            .collect::<Option<_>>()?;
        let public = Scope::EVERYTHING.schema_name();
        let name = match &idents[..] {
            [name] => name,
            [schema, name] if schema == public => name,
            [catalog, schema, name] if *catalog == self.catalog && schema == public => name,
            _ => return None,
        };
        // `connections()` is the function that the query of that name is made of: it takes no
        // arguments, and those of the query are known by their names.
        let is_named = |argument: &FunctionArg| !matches!(argument, FunctionArg::Unnamed(_));
        if SQL_FUNCTIONS.contains(&name.as_str()) && !arguments.iter().any(is_named) {
            return None;
        }
        NamedQuery::get(name)
    }

    fn plan(
        &self,
        query: &'static NamedQuery,
        arguments: Vec<FunctionArg>,
        alias: Option<TableAlias>,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let arguments = arguments_of(query, arguments, context)?;
        let view = query.view(
            context.context_provider(),
            &self.snapshot,
            &arguments,
            Defaults::Table,
        );
        let view = view.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let source = provider_as_source(Arc::new(view));
        let plan = LogicalPlanBuilder::scan(query.name(), source, None)?.build()?;
        let planned = PlannedRelation::new(plan, alias);
        Ok(RelationPlanning::Planned(Box::new(planned)))
    }
}

impl RelationPlanner for NamedQueryCalls {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let called = match &relation {
            TableFactor::Table {
                name,
                args: Some(arguments),
                ..
            } => self.called(name, &arguments.args, context),
            TableFactor::Function { name, args, .. } => self.called(name, args, context),
            _ => None,
        };
        match (called, relation) {
            (
                Some(query),
                TableFactor::Table {
                    args: Some(arguments),
                    alias,
                    ..
                },
            ) => self.plan(query, arguments.args, alias, context),
            (Some(query), TableFactor::Function { args, alias, .. }) => {
                self.plan(query, args, alias, context)
            }
            (_, relation) => Ok(RelationPlanning::Original(Box::new(relation))),
        }
    }
}

/// The arguments of a call as `key=value`, as if they were given on the command line.
fn arguments_of(
    query: &NamedQuery,
    arguments: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
) -> Result<Vec<(String, String)>> {
    let of = query.name();
    let mut found: Vec<(String, String)> = Vec::new();
    let mut is_by_name = false;
    let num_given = arguments.len();
    for (place, argument) in arguments.into_iter().enumerate() {
        let (name, value) = match argument {
            FunctionArg::Named { name, arg, .. } => {
                is_by_name = true;
                (context.normalize_ident(name), arg)
            }
            FunctionArg::ExprNamed {
                name: SqlExpr::Identifier(name),
                arg,
                ..
            } => {
                is_by_name = true;
                (context.normalize_ident(name), arg)
            }
            FunctionArg::Unnamed(_) if is_by_name => {
                return plan_err!(
                    "{of}(): an argument without a name stands after one with a name"
                );
            }
            FunctionArg::Unnamed(value) => match query.parameters().get(place) {
                Some(parameter) => (parameter.name.clone(), value),
                None => {
                    let names = query.parameters().iter().map(|p| p.name.as_str());
                    let names: Vec<&str> = names.collect();
                    return plan_err!(
                        "{of}({}) takes at most {} arguments, not {num_given}",
                        names.join(", "),
                        names.len()
                    );
                }
            },
            FunctionArg::ExprNamed { name, .. } => {
                return plan_err!("{of}(): {name} is no name of a parameter");
            }
        };
        let text = match value {
            FunctionArgExpr::Expr(value) => constant(of, &name, value, context)?,
            other => return plan_err!("{of}(): {name} cannot be {other}"),
        };
        found.push((name, text));
    }
    Ok(found)
}

/// What a constant expression says.
fn constant(
    of: &str,
    name: &str,
    value: SqlExpr,
    context: &mut dyn RelationPlannerContext,
) -> Result<String> {
    let no_constant = || {
        plan_datafusion_err!(
            "{of}(): {name} has to be a constant: a number, or a text between single quotes"
        )
    };
    let schema = DFSchema::empty();
    let planned = context.sql_to_expr(value, &schema);
    let planned = planned.map_err(|error| match error.find_root() {
        DataFusionError::SchemaError(schema, _)
            if matches!(schema.as_ref(), SchemaError::FieldNotFound { .. }) =>
        {
            no_constant()
        }
        _ => error,
    })?;
    let options = Arc::new(context.context_provider().options().clone());
    let simplifying = SimplifyContext::builder().with_config_options(options);
    let simplifier = ExprSimplifier::new(simplifying.build());
    let planned = simplifier.coerce(planned, &schema)?;
    match simplifier.simplify(planned)? {
        Expr::Literal(value, _) => text_of(&value).ok_or_else(no_constant),
        _ => Err(no_constant()),
    }
}

fn text_of(value: &ScalarValue) -> Option<String> {
    if value.is_null() {
        return Some("NULL".to_owned());
    }
    match value.try_as_str() {
        Some(text) => text.map(str::to_owned),
        None => {
            let data_type = value.data_type();
            // A decimal is told with its precision.
            let value = match data_type.is_decimal() {
                true => value.cast_to(&DataType::Float64).ok()?,
                false => value.clone(),
            };
            let is_plain = data_type.is_numeric() || data_type == DataType::Boolean;
            is_plain.then(|| value.to_string())
        }
    }
}
