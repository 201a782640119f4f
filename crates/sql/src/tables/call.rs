//! Table functions that read a run, and their arguments: by place, each with a default.
//!
//! A function is called from the text of a named query, whose parameters are its arguments, or from
//! SQL, where DataFusion knows it by a [`SqlFunction`].

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::AsArray;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, ScalarValue, plan_datafusion_err, plan_err};
use datafusion::logical_expr::Expr;

use crate::run::scope::Scope;
use crate::run::snapshot::SharedSnapshot;

/// A table function that reads a run, whichever run that is.
#[derive(Debug)]
pub(crate) struct RunFunction {
    /// What errors call it: the function, or the named query that is made of it.
    pub(crate) name: &'static str,
    /// The names of its parameters, in order.
    pub(crate) parameters: &'static [&'static str],
    /// The table that a call is; an error if an argument makes no sense.
    pub(crate) table: fn(&SharedSnapshot, &Call) -> Result<Arc<dyn TableProvider>>,
}

/// A function over a run as DataFusion calls it.
#[derive(Debug)]
pub(crate) struct SqlFunction {
    pub(crate) function: &'static RunFunction,
    pub(crate) snapshot: SharedSnapshot,
}

impl TableFunctionImpl for SqlFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        // It has no schema of its own, and shows what the tables around it show.
        let scope = Scope::of_session(args.session());
        let call = Call::try_new(self.function, args.exprs(), &HashMap::new(), scope)?;
        (self.function.table)(&self.snapshot, &call)
    }
}

/// One call of a table function.
#[derive(Debug)]
pub(crate) struct Call {
    function: &'static str,
    parameters: &'static [&'static str],
    values: Vec<ScalarValue>,
    scope: Scope,
}

impl Call {
    /// Takes the arguments of a function; `known` are the values of `$name`s among them.
    ///
    /// # Errors
    /// If there are more arguments than parameters, or one is no constant.
    pub(crate) fn try_new(
        function: &RunFunction,
        arguments: &[Expr],
        known: &HashMap<String, ScalarValue>,
        scope: Scope,
    ) -> Result<Self> {
        let (function, parameters) = (function.name, function.parameters);
        let num_given = arguments.len();
        if parameters.is_empty() && num_given > 0 {
            return plan_err!("{function}() takes no arguments: filter its columns with WHERE");
        }
        if num_given > parameters.len() {
            return plan_err!(
                "{function}({}) takes at most {} arguments, not {num_given}",
                parameters.join(", "),
                parameters.len()
            );
        }
        let value_of = |expr: &Expr| match expr {
            Expr::Literal(value, _) => Some(value.clone()),
            Expr::Placeholder(placeholder) => {
                known.get(placeholder.id.trim_start_matches('$')).cloned()
            }
            _ => None,
        };
        let values = arguments.iter().zip(parameters).map(|(expr, name)| {
            value_of(expr)
                .ok_or_else(|| plan_datafusion_err!("{function}(): {name} has to be a constant"))
        });
        Ok(Self {
            function,
            parameters,
            values: values.collect::<Result<_>>()?,
            scope,
        })
    }

    /// Which captures it shows.
    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    /// How many arguments are given.
    pub(crate) fn num_given(&self) -> usize {
        self.values.len()
    }

    /// An argument; none if it is NULL or not given.
    fn value(&self, parameter: &str) -> Option<&ScalarValue> {
        let place = self.parameters.iter().position(|name| *name == parameter);
        let place = place.expect("a function asks for its own parameters");
        self.values.get(place).filter(|value| !value.is_null())
    }

    /// What an argument says, read as a `T`; none if it is NULL or not given.
    ///
    /// # Errors
    /// If it says something else.
    pub(crate) fn get<T: FromStr<Err: ToString>>(&self, parameter: &str) -> Result<Option<T>> {
        let Some(value) = self.value(parameter) else {
            return Ok(None);
        };
        let text = value.to_string();
        let parsed = text.parse::<T>().map_err(|error| error.to_string());
        parsed.map(Some).map_err(|problem| {
            let function = self.function;
            plan_datafusion_err!("{function}(): {parameter} is {text:?}: {problem}")
        })
    }

    /// The texts of an argument that is a list of them, or one text; none if it is NULL or not given.
    pub(crate) fn texts(&self, parameter: &str) -> Option<Vec<String>> {
        Some(match self.value(parameter)? {
            ScalarValue::List(list) => {
                let texts = list.values().as_string_opt::<i32>()?;
                texts.iter().flatten().map(str::to_owned).collect()
            }
            value => vec![value.to_string()],
        })
    }
}
