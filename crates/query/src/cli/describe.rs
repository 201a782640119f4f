//! `query describe`: what SQL over a run can name, and the pictures, told.

use std::fmt::Write;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use pictures::PlotKind;
use sql::{Column, Definition, DefinitionKind, Found, Parameter, QueryError};

use super::answer::print;

#[derive(Args)]
pub(super) struct DescribeArgs {
    /// Its name; of a column that stands in several tables also TABLE.COLUMN
    name: String,
}

pub(super) fn run(asked: DescribeArgs) -> anyhow::Result<ExitCode> {
    print(&named(&asked.name)?)?;
    Ok(ExitCode::SUCCESS)
}

/// What `query list` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Listed {
    /// The named queries
    Queries,
    /// The tables of a run
    Tables,
    /// The functions, DataFusion's that we do not document aside
    Functions,
    /// All of them, with all of DataFusion's functions
    All,
}

/// A line each: its name, or the call of a function, and the first sentence of what it means.
pub(super) fn list(listed: Listed) -> String {
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

/// The functions, a line for the call and one for what it means; of those with `part` in a name.
pub(super) fn functions(part: &str) -> String {
    let part = part.to_lowercase();
    let is_shown = |entry: &&Definition| {
        matches!(entry.kind, DefinitionKind::Function(_))
            && entry.names().any(|name| name.contains(&part))
            // Whoever asks for all wants no hundreds; whoever asks for some wants each.
            && (entry.example.is_some() || !part.is_empty())
    };
    let mut text = String::new();
    for entry in Definition::all().iter().filter(is_shown) {
        writeln!(text, "{}\n    {}", entry.signature, entry.summary())
            .expect("a string takes everything");
    }
    if part.is_empty() {
        text.push_str(
            "(and DataFusion's own: .functions PART for those with PART in their name; .describe \
             NAME tells more)\n",
        );
    }
    text
}

/// What has that name, or which columns have.
///
/// # Errors
/// If nothing has it.
pub(super) fn named(name: &str) -> Result<String, QueryError> {
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
        table(&mut text, parameter_rows(&entry.parameters));
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
