//! The arguments of a table function: by place, each with a default.
//!
//! DataFusion calls a table function while it plans, before it replaces parameters by their values.
//! A named query's values are therefore kept in the session that plans it, where a function finds
//! those of the parameters that it is called with.

use std::collections::HashMap;
use std::str::FromStr;

use datafusion::catalog::TableFunctionArgs;
use datafusion::common::{Result, ScalarValue, plan_datafusion_err, plan_err};
use datafusion::logical_expr::Expr;

/// The values of a named query's parameters while it is planned, by name.
#[derive(Debug)]
pub(crate) struct ParameterValues(HashMap<String, ScalarValue>);

impl ParameterValues {
    pub(crate) fn new(values: &[(String, ScalarValue)]) -> Self {
        Self(values.iter().cloned().collect())
    }
}

/// One call of a table function.
#[derive(Debug)]
pub(crate) struct Call {
    function: &'static str,
    parameters: &'static [&'static str],
    values: Vec<ScalarValue>,
}

impl Call {
    /// Takes the arguments of a function with these parameters.
    ///
    /// # Errors
    /// If there are more arguments than parameters, or one is no constant.
    pub(crate) fn try_new(
        function: &'static str,
        parameters: &'static [&'static str],
        args: &TableFunctionArgs,
    ) -> Result<Self> {
        let num_given = args.exprs().len();
        if num_given > parameters.len() {
            return plan_err!(
                "{function}({}) takes at most {} arguments, not {num_given}",
                parameters.join(", "),
                parameters.len()
            );
        }
        let known = args.session().config().get_extension::<ParameterValues>();
        let value_of = |expr: &Expr| match expr {
            Expr::Literal(value, _) => Some(value.clone()),
            Expr::Placeholder(placeholder) => {
                let name = placeholder.id.trim_start_matches('$');
                known.as_ref()?.0.get(name).cloned()
            }
            _ => None,
        };
        let values = args.exprs().iter().zip(parameters).map(|(expr, name)| {
            value_of(expr)
                .ok_or_else(|| plan_datafusion_err!("{function}(): {name} has to be a constant"))
        });
        Ok(Self {
            function,
            parameters,
            values: values.collect::<Result<_>>()?,
        })
    }

    /// What an argument says, read as a `T`; none if it is NULL or not given.
    ///
    /// # Errors
    /// If it says something else.
    pub(crate) fn get<T: FromStr<Err: ToString>>(&self, parameter: &str) -> Result<Option<T>> {
        let place = self.parameters.iter().position(|name| *name == parameter);
        let place = place.expect("a function asks for its own parameters");
        match self.values.get(place) {
            None => Ok(None),
            Some(value) if value.is_null() => Ok(None),
            Some(value) => {
                let text = value.to_string();
                let parsed = text.parse::<T>().map_err(|error| error.to_string());
                parsed.map(Some).map_err(|problem| {
                    let function = self.function;
                    plan_datafusion_err!("{function}(): {parameter} is {text:?}: {problem}")
                })
            }
        }
    }
}
