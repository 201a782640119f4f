//! What SQL over a run can name, as text for people.

use std::fmt::Write;

use super::registry::{Definition, DefinitionKind, Found};
use crate::named::{Column, Parameter};
use crate::run::error::QueryError;

/// What [`listed`] lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// The named queries.
    Queries,
    /// The tables of a run.
    Tables,
    /// The functions, DataFusion's that we do not document aside.
    Functions,
    /// All of them, with all of DataFusion's functions.
    All,
}

/// A line each: its name, or the call of a function, and the first sentence of what it means.
pub fn listed(listed: Listed) -> String {
    let is_listed = |entry: &&Definition| match (listed, entry.kind) {
        (Listed::Queries, kind) => kind == DefinitionKind::NamedQuery,
        (Listed::Tables, kind) => kind == DefinitionKind::Table,
        (Listed::Functions, DefinitionKind::Function(_)) => entry.example.is_some(),
        (Listed::Functions, _) => false,
        (Listed::All, _) => true,
    };
    let listed: Vec<&Definition> = Definition::all().iter().filter(is_listed).collect();
    let width = listed
        .iter()
        .map(|entry| entry.signature.chars().count())
        .filter(|&width| width <= WIDE)
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for entry in listed {
        writeln!(text, "{:<width$}  {}", entry.signature, entry.summary())
            .expect("a string takes everything");
    }
    text
}

/// What is wider has no others aligned to it.
const WIDE: usize = 40;

/// What has that name, or which columns have.
///
/// # Errors
/// If nothing has it.
pub fn described(name: &str) -> Result<String, QueryError> {
    Ok(match Definition::find(name)? {
        Found::Definitions(entries) => {
            let told: Vec<String> = entries.into_iter().map(definition).collect();
            told.join("\n")
        }
        Found::Columns(columns) => {
            let rows = columns.iter().map(|(of, column)| {
                let name = format!("{}.{}", of.name, column.name);
                (name, column.data_type.clone(), column.meaning.as_str())
            });
            let mut text = String::from("Columns of that name\n");
            table(&mut text, rows.collect());
            text
        }
    })
}

/// What a named query, a table or a function means, takes and returns, and how it is asked.
fn definition(entry: &Definition) -> String {
    let mut text = match entry.kind {
        DefinitionKind::NamedQuery => entry.name.clone(),
        kind => {
            let whose = if entry.is_builtin {
                " of DataFusion"
            } else {
                ""
            };
            format!("{}: {}{whose}", entry.signature, kind.words())
        }
    };
    write!(text, "\n\n{}\n", entry.purpose).expect("a string takes everything");
    if !entry.aliases.is_empty() {
        let also = entry.aliases.join(", ");
        writeln!(text, "\nAlso: {also}").expect("a string takes everything");
    }
    if !entry.parameters.is_empty() {
        text.push_str("\nParameters\n");
        put_parameters(&mut text, &entry.parameters);
    }
    if !entry.columns.is_empty() {
        text.push_str("\nColumns\n");
        table(&mut text, column_rows(&entry.columns));
    }
    if let Some(example) = &entry.example {
        writeln!(text, "\nExample\n  {example}").expect("a string takes everything");
    }
    if let Some(sql) = &entry.sql {
        text.push_str("\nSQL\n");
        for line in sql.lines() {
            writeln!(text, "  {line}").expect("a string takes everything");
        }
    }
    text
}

/// A line a parameter below `text`: its name and default, what it can be, what it does.
pub fn put_parameters(text: &mut String, parameters: &[Parameter]) {
    table(text, parameter_rows(parameters));
}

fn parameter_rows(parameters: &[Parameter]) -> Vec<(String, String, &str)> {
    let rows = parameters.iter().map(|parameter| {
        (
            format!("{} = {}", parameter.name, parameter.default),
            format!("{}{}", parameter.data_type, parameter.values),
            parameter.meaning.as_str(),
        )
    });
    rows.collect()
}

fn column_rows(columns: &[Column]) -> Vec<(String, String, &str)> {
    let rows = columns.iter();
    rows.map(|c| (c.name.clone(), c.data_type.clone(), c.meaning.as_str()))
        .collect()
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
