//! What can be asked for by name.

use pictures::PlotKind;
use pyo3::prelude::*;
use sql::{Listed, NamedQuery, Parameter};

use super::arguments::chosen;
use crate::error::query;

/// A parameter: its name, type, what it can be, what it is by default, and what it means.
type Told = (String, String, String, String, String);

/// A named query: its name, what it answers, its parameters, and its columns with type and meaning.
type ToldQuery = (
    &'static str,
    &'static str,
    Vec<Told>,
    Vec<(&'static str, &'static str, &'static str)>,
);

fn told(parameters: &[Parameter]) -> Vec<Told> {
    let told = parameters.iter().map(|parameter| {
        (
            parameter.name.clone(),
            parameter.data_type.to_string(),
            parameter.values.to_string(),
            parameter.default.clone(),
            parameter.meaning.clone(),
        )
    });
    told.collect()
}

/// All named queries.
#[pyfunction]
fn named_queries() -> Vec<ToldQuery> {
    let told = NamedQuery::all().iter().map(|query| {
        let columns = query.columns().iter().map(|column| {
            let name = column.name.as_str();
            (name, column.data_type.as_str(), column.meaning.as_str())
        });
        (
            query.name(),
            query.purpose(),
            told(query.parameters()),
            columns.collect(),
        )
    });
    told.collect()
}

/// All kinds of pictures: their names, what they show, and their parameters.
#[pyfunction]
fn plot_kinds() -> Vec<(&'static str, &'static str, Vec<Told>)> {
    let kinds = PlotKind::ALL.into_iter();
    kinds
        .map(|kind| (kind.name(), kind.purpose(), told(&kind.parameters())))
        .collect()
}

/// What a table, a column, a named query or a function means, takes and returns.
#[pyfunction]
fn describe(name: &str) -> PyResult<String> {
    sql::described(name).map_err(query)
}

/// What SQL can name: `what` is queries, tables, functions or all.
#[pyfunction]
fn listed(what: &str) -> PyResult<String> {
    let all = [
        Listed::Queries,
        Listed::Tables,
        Listed::Functions,
        Listed::All,
    ];
    let name = |listed| match listed {
        Listed::Queries => "queries",
        Listed::Tables => "tables",
        Listed::Functions => "functions",
        Listed::All => "all",
    };
    Ok(sql::listed(chosen("what", what, all, name)?))
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(named_queries, module)?)?;
    module.add_function(wrap_pyfunction!(plot_kinds, module)?)?;
    module.add_function(wrap_pyfunction!(describe, module)?)?;
    module.add_function(wrap_pyfunction!(listed, module)?)
}
