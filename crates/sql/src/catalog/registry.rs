//! What SQL over a run can name: tables, named queries and functions, with what each is and an
//! example of it. `query describe`, `query list`, the shell, SHOW FUNCTIONS and the suggestions in
//! errors all ask here.

mod functions;
mod show;
mod tables;

use std::collections::HashSet;
use std::sync::LazyLock;

use datafusion::catalog::information_schema::INFORMATION_SCHEMA;
use words::closest;

pub(crate) use show::show_functions;

use crate::functions::FunctionKind;
use crate::named::{Column, NamedQuery, Parameter};
use crate::run::error::QueryError;
use crate::run::scope::CATALOG;
use crate::run::scope::Scope;

/// What an [`Definition`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefinitionKind {
    /// A table of the run.
    Table,
    /// A question with a name, which is a table as well.
    NamedQuery,
    /// A function.
    Function(FunctionKind),
}

/// Something that SQL over a run can name.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Other names of the same.
    pub aliases: Vec<String>,
    /// What it is.
    pub kind: DefinitionKind,
    /// Whether it is there only because DataFusion has it.
    pub is_builtin: bool,
    /// How it is written, with its arguments if it takes any; optional ones stand in brackets.
    pub signature: String,
    /// What it means.
    pub purpose: String,
    /// The parameters of a named query.
    pub parameters: Vec<Parameter>,
    /// The columns of its rows, where it has rows.
    pub columns: Vec<Column>,
    /// A query over a run that uses it. Tests run it.
    pub example: Option<String>,
    /// A named query's text without its header.
    pub sql: Option<String>,
}

/// What [`Definition::find`] found.
#[derive(Debug)]
pub enum Found {
    /// All that has the name, tables first.
    Definitions(Vec<&'static Definition>),
    /// Nothing has the name, but columns have: each with what it is a column of.
    Columns(Vec<(&'static Definition, &'static Column)>),
}

impl DefinitionKind {
    /// Words for it, as `aggregate function`.
    pub fn words(self) -> &'static str {
        match self {
            DefinitionKind::Table => "table",
            DefinitionKind::NamedQuery => "named query",
            DefinitionKind::Function(FunctionKind::Aggregate) => "aggregate function",
            DefinitionKind::Function(FunctionKind::Scalar) => "scalar function",
            DefinitionKind::Function(FunctionKind::Window) => "window function",
            DefinitionKind::Function(FunctionKind::Table) => "table function",
        }
    }
}

impl Definition {
    /// The first sentence of its purpose, without the full stop.
    pub fn summary(&self) -> &str {
        let end = self.purpose.find(". ");
        let first = end.map_or(self.purpose.as_str(), |end| &self.purpose[..end]);
        first.trim_end_matches('.')
    }

    /// Everything that SQL over a run can name: tables, named queries, functions, and last those
    /// that are there because DataFusion has them, in the order of documents or of names.
    pub fn all() -> &'static [Definition] {
        registry()
    }

    /// What is meant by `asked`: the name of a table, a named query or a function, with or without
    /// parentheses, or a column's, alone or after its table's as in `weights.bias`.
    ///
    /// # Errors
    /// If nothing has that name; the error names the closest.
    pub fn find(asked: &str) -> Result<Found, QueryError> {
        find(asked)
    }

    fn of_query(query: &NamedQuery) -> Self {
        let body = query.sql().lines();
        let body: Vec<&str> = body.skip_while(|line| line.starts_with("--")).collect();
        Self {
            name: query.name().to_owned(),
            aliases: Vec::new(),
            kind: DefinitionKind::NamedQuery,
            is_builtin: false,
            signature: query.name().to_owned(),
            purpose: query.purpose().to_owned(),
            parameters: query.parameters().to_vec(),
            columns: query.columns().to_vec(),
            example: Some(format!(
                "SELECT * FROM {}(captures => 'all') LIMIT 5",
                query.name()
            )),
            sql: Some(body.join("\n")),
        }
    }

    /// Its name and its aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = [&self.name].into_iter().chain(&self.aliases);
        names.map(String::as_str)
    }

    fn is_named(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }
}

fn registry() -> &'static [Definition] {
    static REGISTRY: LazyLock<Vec<Definition>> = LazyLock::new(|| {
        let mut entries = tables::entries();
        entries.extend(NamedQuery::all().iter().map(Definition::of_query));
        entries.extend(functions::documented());
        let known: HashSet<(DefinitionKind, &str)> = entries
            .iter()
            .map(|entry| (entry.kind, entry.name.as_str()))
            .collect();
        let mut builtin = functions::builtin();
        builtin.retain(|entry| !known.contains(&(entry.kind, entry.name.as_str())));
        builtin.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        entries.extend(builtin);
        entries
    });
    &REGISTRY
}

fn find(asked: &str) -> Result<Found, QueryError> {
    let asked = asked.trim().trim_end_matches(';').to_lowercase();
    let (name, is_called) = match asked.split_once('(') {
        Some((name, _)) => (name.trim(), true),
        None => (asked.as_str(), false),
    };
    let name = without_schema(name);
    let mut entries = named(name);
    if is_called && entries.iter().any(|entry| is_function(entry)) {
        entries.retain(|entry| is_function(entry));
    }
    if !entries.is_empty() {
        return Ok(Found::Definitions(entries));
    }
    let columns = match name.split_once('.') {
        Some((of, column)) => columns_named(column, |entry| entry.is_named(of)),
        None => columns_named(name, |_| true),
    };
    if columns.is_empty() {
        return Err(QueryError::UnknownName {
            name: name.to_owned(),
            closest: near(name).map(str::to_owned),
        });
    }
    Ok(Found::Columns(columns))
}

/// The entries of that name, in the order of the registry.
pub(crate) fn named(name: &str) -> Vec<&'static Definition> {
    let entries = registry().iter();
    entries.filter(|entry| entry.is_named(name)).collect()
}

/// Tables and named queries with a column of that name.
pub(crate) fn tables_with(column: &str) -> Vec<&'static str> {
    let has_columns = |entry: &Definition| !is_function(entry);
    let found = columns_named(column, has_columns).into_iter();
    found.map(|(entry, _)| entry.name.as_str()).collect()
}

fn columns_named(
    name: &str,
    mut of: impl FnMut(&Definition) -> bool,
) -> Vec<(&'static Definition, &'static Column)> {
    let of_entry = |entry: &'static Definition| {
        let column = entry.columns.iter().find(|column| column.name == name)?;
        Some((entry, column))
    };
    let entries = registry().iter().filter(|entry| of(entry));
    entries.filter_map(of_entry).collect()
}

fn is_function(entry: &Definition) -> bool {
    matches!(entry.kind, DefinitionKind::Function(_))
}

/// The name that comes closest, of a column's as well.
fn near(name: &str) -> Option<&'static str> {
    let entries = registry().iter();
    let columns = entries.clone().flat_map(|entry| &entry.columns);
    let columns = columns.map(|column| column.name.as_str());
    closest(name, columns.chain(entries.flat_map(Definition::names)))
}

/// `name` without the catalogue and the schema that a table's may begin with.
fn without_schema(name: &str) -> &str {
    let name = name
        .strip_prefix(CATALOG)
        .and_then(|rest| rest.strip_prefix('.'))
        .unwrap_or(name);
    let schemas = Scope::ALL.map(Scope::schema_name);
    match name.split_once('.') {
        Some((schema, table)) if schemas.contains(&schema) || schema == INFORMATION_SCHEMA => table,
        _ => name,
    }
}

#[cfg(test)]
mod tests;
