//! The named queries and the pictures, told.

use std::fmt::Write;

use query::{NamedQuery, Parameter, PlotKind};

/// Every named query with the first sentence of its purpose.
pub(super) fn list() -> String {
    let width = NamedQuery::all()
        .iter()
        .map(|query| query.name().len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for query in NamedQuery::all() {
        let first = query.purpose().split_once(". ");
        let first = first.map_or(query.purpose().trim_end_matches('.'), |(first, _)| first);
        writeln!(text, "{:<width$}  {first}", query.name()).expect("a string takes everything");
    }
    text
}

/// What a named query answers, takes and returns, and its SQL.
pub(super) fn query(query: &NamedQuery) -> String {
    let mut text = format!("{}\n\n{}\n\nParameters\n", query.name(), query.purpose());
    table(&mut text, parameter_rows(query.parameters()));
    text.push_str("\nColumns\n");
    let columns = query.columns().iter();
    let columns = columns.map(|c| (c.name.clone(), c.data_type.clone(), c.meaning.as_str()));
    table(&mut text, columns.collect());
    text.push_str("\nSQL\n");
    for line in query
        .sql()
        .lines()
        .skip_while(|line| line.starts_with("--"))
    {
        writeln!(text, "  {line}").expect("a string takes everything");
    }
    text
}

/// What each kind of picture takes.
pub(super) fn plots() -> String {
    let mut text = String::from("Parameters (--param key=value)\n");
    for kind in PlotKind::ALL {
        let parameters = kind.parameters();
        if !parameters.is_empty() {
            writeln!(text, "\n{}", kind.name()).expect("a string takes everything");
            table(&mut text, parameter_rows(&parameters));
        }
    }
    text
}

fn parameter_rows(parameters: &[Parameter]) -> Vec<(String, String, &str)> {
    let rows = parameters.iter().map(|parameter| {
        (
            format!("{} = {}", parameter.name, parameter.default),
            parameter.data_type.to_string(),
            parameter.meaning.as_str(),
        )
    });
    rows.collect()
}

fn table(text: &mut String, rows: Vec<(String, String, &str)>) {
    let names = rows
        .iter()
        .map(|(name, _, _)| name.len())
        .max()
        .unwrap_or(0);
    let types = rows
        .iter()
        .map(|(_, data_type, _)| data_type.len())
        .max()
        .unwrap_or(0);
    for (name, data_type, meaning) in rows {
        writeln!(text, "  {name:<names$}  {data_type:<types$}  {meaning}")
            .expect("a string takes everything");
    }
}
