//! The named queries: a file each in `queries/`, with what it asks for and returns in its header.

mod header;
mod parameter;

use std::sync::{Arc, LazyLock};

use datafusion::common::ScalarValue;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use trace::closest;

pub(crate) use header::parameter;
pub use header::{Column, Parameter, ParameterType, type_name};
pub use parameter::MAX_AUTO_WIDTH;

use crate::call::ParameterValues;
use crate::error::QueryError;
use crate::scope::{Captures, Scope};
use crate::snapshot::Snapshot;

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

/// Parameters that every named query has.
fn common_parameters() -> [Parameter; 2] {
    let parameter = |name: &str, data_type, default: &str, meaning: &str| Parameter {
        name: name.to_owned(),
        data_type,
        default: default.to_owned(),
        meaning: meaning.to_owned(),
    };
    [
        parameter(
            "captures",
            ParameterType::Utf8,
            "last",
            "`last`: each epoch's last committed capture; `all`: every capture",
        ),
        parameter(
            "initial",
            ParameterType::Boolean,
            "false",
            "whether the untrained network (epoch -1) is among them, where it was recorded",
        ),
    ]
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

    /// The query of that name.
    ///
    /// # Errors
    /// If there is none; the error names the closest.
    pub fn find(name: &str) -> Result<&'static NamedQuery, QueryError> {
        Self::get(name).ok_or_else(|| {
            let names = || Self::all().iter().map(|query| query.name);
            QueryError::UnknownQuery {
                name: name.to_owned(),
                closest: closest(name, names()).map(str::to_owned),
                names: names().collect::<Vec<_>>().join(", "),
            }
        })
    }

    pub(crate) fn get(name: &str) -> Option<&'static NamedQuery> {
        Self::all().iter().find(|query| query.name == name)
    }

    /// Its name, under which it is a table in SQL as well.
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

    /// Whether each parameter's default has a value in a run.
    pub(crate) fn has_defaults(&self, snapshot: &Snapshot) -> bool {
        self.own_parameters()
            .all(|parameter| parameter.resolve(&parameter.default, snapshot).is_ok())
    }

    fn own_parameters(&self) -> impl Iterator<Item = &Parameter> {
        let parameters = self.parameters.iter();
        parameters.filter(|parameter| !is_common(&parameter.name))
    }

    /// Plans the query over a run.
    pub(crate) async fn plan(
        &self,
        mut state: SessionState,
        snapshot: &Snapshot,
        arguments: &Arguments,
    ) -> Result<LogicalPlan, QueryError> {
        check_names(self.name, &self.parameters, arguments)?;
        let scope = self.scope(arguments)?;
        let values = self
            .own_parameters()
            .map(|parameter| {
                let given = value_of(arguments, &parameter.name);
                let value = parameter.resolve(given.unwrap_or(&parameter.default), snapshot)?;
                Ok((parameter.name.clone(), value))
            })
            .collect::<Result<Vec<(String, ScalarValue)>, QueryError>>()?;
        let catalog = &mut state.config_mut().options_mut().catalog;
        catalog.default_schema = scope.schema_name().to_owned();
        state
            .config_mut()
            .set_extension(Arc::new(ParameterValues::new(&values)));
        let plan = state.create_logical_plan(self.sql).await?;
        Ok(plan.with_param_values(values)?)
    }

    fn scope(&self, arguments: &Arguments) -> Result<Scope, QueryError> {
        let bad = |name: &str, value: &str, valid: &str| QueryError::BadParameter {
            name: name.to_owned(),
            problem: format!("is {value:?}, it can be {valid}"),
        };
        let captures = match value_of(arguments, "captures") {
            None | Some("last") => Captures::Last,
            Some("all") => Captures::All,
            Some(other) => return Err(bad("captures", other, "last or all")),
        };
        let initial = match value_of(arguments, "initial") {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err(bad("initial", other, "true or false")),
        };
        Ok(Scope { captures, initial })
    }
}

/// Whether `of`, a query or a picture, has the parameters that are given, each once.
pub(crate) fn check_names(
    of: &'static str,
    parameters: &[Parameter],
    arguments: &Arguments,
) -> Result<(), QueryError> {
    for (position, (name, _)) in arguments.iter().enumerate() {
        let names = || parameters.iter().map(|parameter| parameter.name.as_str());
        if !names().any(|known| known == name) {
            return Err(QueryError::UnknownParameter {
                query: of,
                name: name.clone(),
                closest: closest(name, names()).map(str::to_owned),
                names: names().collect::<Vec<_>>().join(", "),
            });
        }
        if arguments[..position]
            .iter()
            .any(|(earlier, _)| earlier == name)
        {
            return Err(QueryError::BadParameter {
                name: name.clone(),
                problem: "is given twice".to_owned(),
            });
        }
    }
    Ok(())
}

fn is_common(name: &str) -> bool {
    matches!(name, "captures" | "initial")
}

pub(crate) fn value_of<'a>(arguments: &'a Arguments, name: &str) -> Option<&'a str> {
    let found = arguments.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}
