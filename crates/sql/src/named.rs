//! The named queries: a file each in `queries/`, with what it asks for and returns in its header.

mod calls;
mod header;
mod known;
mod parameter;
mod plan;
mod values;

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::common::ScalarValue;
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::ContextProvider;
use words::closest;

pub(crate) use calls::NamedQueryCalls;
pub use header::{Column, Parameter, ParameterType, type_name};
pub(crate) use known::KnownRun;
pub use parameter::MAX_AUTO_WIDTH;
pub(crate) use plan::StateFunctions;
pub use values::ValidValues;

use crate::run::error::QueryError;
use crate::run::scope::{Captures, Scope};
use crate::run::snapshot::{SharedSnapshot, Snapshot};
use plan::QueryContext;

macro_rules! query_files {
    ($($name:literal),* $(,)?) => {
        [$((
            $name,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../queries/", $name, ".sql")),
        )),*]
    };
}

const FILES: [(&str, &str); 26] = query_files![
    "classification_series",
    "padded",
    "by_layer",
    "by_neuron",
    "epoch_average",
    "by_neuron_activations",
    "epoch_average_activations",
    "connections",
    "coactivation",
    "strongest_paths",
    "correct_vs_incorrect",
    "class_selectivity",
    "weight_drift",
    "layer_profile",
    "dead_neurons",
    "structure_scores",
    "structure_onset",
    "class_changes",
    "rank_stability",
    "linear_probe",
    "meta_model",
    "learning_curve",
    "confusion",
    "cartography",
    "ablation_effects",
    "overhead",
];

/// A question that is asked often enough to have a name.
#[derive(Debug)]
pub struct NamedQuery {
    name: &'static str,
    purpose: String,
    parameters: Vec<Parameter>,
    columns: Vec<Column>,
    sql: &'static str,
}

/// Values of parameters, as `key=value` on the command line.
pub type Arguments = [(String, String)];

/// What a parameter is that is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defaults {
    /// What the header says: `query run`, where one epoch may be what is meant.
    Run,
    /// As a table of SQL, which covers every epoch: `WHERE` says which one is meant.
    Table,
}

/// Parameters that every named query has, as headers declare them.
const COMMON: [&str; 2] = [
    "captures Utf8{last,all} = last: `last`: each epoch's last committed capture; `all`: every capture",
    "initial Boolean{false,true} = false: whether the untrained network (epoch -1) is among them, where \
     it was recorded",
];

fn common_parameters() -> [Parameter; 2] {
    COMMON.map(|declared| Parameter::parse(declared).expect("a test reads them"))
}

impl NamedQuery {
    /// All of them, in the order in which documents list them.
    pub fn all() -> &'static [NamedQuery] {
        static ALL: LazyLock<Vec<NamedQuery>> = LazyLock::new(|| {
            let parse = |&(name, sql): &(&'static str, &'static str)| {
                header::parse(name, sql).expect("a test parses the headers of all queries")
            };
            FILES.iter().map(parse).collect()
        });
        &ALL
    }

    /// The query of that name, if there is one.
    pub(crate) fn get(name: &str) -> Option<&'static NamedQuery> {
        Self::all().iter().find(|query| query.name == name)
    }

    /// Its name, under which it is a table and a function in SQL as well.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it answers.
    pub fn purpose(&self) -> &str {
        &self.purpose
    }

    /// The parameters that it takes, with those that every named query has last.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The columns of its rows.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Its text, header included.
    pub fn sql(&self) -> &'static str {
        self.sql
    }

    /// Whether the parameters have values in a run where none is given, so that it can be a table.
    pub(crate) fn is_a_table_of(&self, snapshot: &Snapshot) -> bool {
        self.values(snapshot, &[], Defaults::Table).is_ok()
    }

    /// Plans the query over a run, with the functions of a session.
    ///
    /// # Errors
    /// If there is no such parameter, or one cannot have its value.
    pub(crate) fn plan(
        &self,
        functions: &dyn ContextProvider,
        snapshot: &SharedSnapshot,
        arguments: &Arguments,
        defaults: Defaults,
    ) -> Result<LogicalPlan, QueryError> {
        let mut values = self.values(snapshot, arguments, defaults)?;
        let mut is = |name: &str| values.remove(name);
        let initial = is("initial");
        let captures = is("captures");
        let scope = Scope {
            captures: match captures.as_ref().and_then(ScalarValue::try_as_str) {
                Some(Some("all")) => Captures::All,
                _ => Captures::Last,
            },
            initial: initial == Some(ScalarValue::Boolean(Some(true))),
        };
        let context = QueryContext {
            functions,
            snapshot,
            scope,
            values,
        };
        Ok(context.plan(self.sql)?)
    }

    /// The query as a table of SQL.
    ///
    /// # Errors
    /// As [`NamedQuery::plan`].
    pub(crate) fn view(
        &self,
        functions: &dyn ContextProvider,
        snapshot: &SharedSnapshot,
        arguments: &Arguments,
        defaults: Defaults,
    ) -> Result<ViewTable, QueryError> {
        let plan = self.plan(functions, snapshot, arguments, defaults)?;
        Ok(ViewTable::new(plan, Some(self.sql.to_owned())))
    }

    /// The value of each parameter.
    fn values(
        &self,
        snapshot: &Snapshot,
        arguments: &Arguments,
        defaults: Defaults,
    ) -> Result<HashMap<String, ScalarValue>, QueryError> {
        check_names(self.name, &self.parameters, arguments)?;
        let run = KnownRun {
            snapshot,
            initial: value_of(arguments, "initial") == Some("true"),
        };
        let values = self.parameters.iter().map(|parameter| {
            let given = value_of(arguments, &parameter.name);
            let text = given.unwrap_or_else(|| parameter.default(defaults));
            Ok((parameter.name.clone(), parameter.resolve(text, run)?))
        });
        values.collect()
    }
}

/// The value of each parameter of `of`, which is no named query, in a run.
///
/// # Errors
/// If there is no such parameter, one is given twice, or one cannot have its value.
pub(crate) fn resolved(
    of: &'static str,
    parameters: &[Parameter],
    arguments: &Arguments,
    snapshot: &Snapshot,
) -> Result<Vec<(String, ScalarValue)>, QueryError> {
    check_names(of, parameters, arguments)?;
    let run = KnownRun {
        snapshot,
        initial: false,
    };
    let values = parameters.iter().map(|parameter| {
        let given = value_of(arguments, &parameter.name);
        let text = given.unwrap_or(&parameter.default);
        Ok((parameter.name.clone(), parameter.resolve(text, run)?))
    });
    values.collect()
}

/// Whether `of`, a query or a picture, has the parameters that are given, each once.
fn check_names(
    of: &'static str,
    parameters: &[Parameter],
    arguments: &Arguments,
) -> Result<(), QueryError> {
    for (position, (name, _)) in arguments.iter().enumerate() {
        let name = spelled(name);
        let names = || parameters.iter().map(|parameter| parameter.name.as_str());
        if !names().any(|known| known == name) {
            return Err(QueryError::UnknownParameter {
                query: of,
                name: name.to_owned(),
                closest: closest(name, names()).map(str::to_owned),
                names: names().collect::<Vec<_>>().join(", "),
            });
        }
        if arguments[..position]
            .iter()
            .any(|(earlier, _)| spelled(earlier) == name)
        {
            return Err(QueryError::BadParameter {
                name: name.to_owned(),
                problem: "is given twice".to_owned(),
            });
        }
    }
    Ok(())
}

/// A parameter's own name: `class` is a word of Python's, where it is given as `class_`.
fn spelled(name: &str) -> &str {
    if name == "class_" { "class" } else { name }
}

fn value_of<'a>(arguments: &'a Arguments, name: &str) -> Option<&'a str> {
    let found = arguments.iter().find(|(key, _)| spelled(key) == name);
    found.map(|(_, value)| value.as_str())
}
