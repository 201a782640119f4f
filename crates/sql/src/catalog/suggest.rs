//! From DataFusion's words about an unknown name to what the user probably meant: a name that is
//! close, or what has that very name elsewhere.

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;

use words::{closest, did_you_mean};

use crate::catalog::registry::{Definition, DefinitionKind, named, tables_with};
use crate::functions::FunctionKind;
use crate::named::NamedQuery;
use crate::run::error::QueryError;
use crate::run::scope::CATALOG;

/// The names that a query can use.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) tables: Vec<String>,
    /// The first is the one in which queries are planned: it has all tables.
    pub(crate) schemas: Vec<String>,
    pub(crate) functions: Vec<String>,
    pub(crate) table_functions: Vec<String>,
}

/// What is wrong with a query that could not be planned.
pub(crate) fn explain(error: DataFusionError, known: &Known) -> QueryError {
    let root = error.find_root();
    if let DataFusionError::SchemaError(schema, _) = root
        && let SchemaError::FieldNotFound {
            field,
            valid_fields,
        } = schema.as_ref()
    {
        return QueryError::Mistake(unknown_column(field, valid_fields));
    }
    if let DataFusionError::NotImplemented(message) = root
        && let Some(statement) = not_known(message)
    {
        return QueryError::ReadOnly(format!("{statement} is not possible"));
    }
    if let DataFusionError::Plan(message) = root {
        if let Some(explained) = unknown_name(message, known) {
            return QueryError::Mistake(explained);
        }
        if let Some(said) = between(message, COERCION_FAILED, ". No function matches") {
            return QueryError::Mistake(said.to_owned());
        }
        if let Some(operation) = refused(message) {
            return QueryError::ReadOnly(operation);
        }
    }
    error.into()
}

/// What DataFusion puts before the words of a function that refuses its arguments.
const COERCION_FAILED: &str = "user-defined coercion failed with: Error during planning: ";

fn unknown_column(column: &Column, known: &[Column]) -> String {
    let relation = |column: &Column| Some(column.relation.as_ref()?.table().to_owned());
    let relations: Vec<String> = known.iter().filter_map(relation).collect();
    let asked = relation(column).filter(|_| !relations.is_empty());
    if let Some(name) = asked.as_ref().filter(|name| !relations.contains(name)) {
        let relations = || relations.iter().map(String::as_str);
        return format!(
            "there is no table or alias {name:?} in this query{} (it reads: {})",
            did_you_mean(closest(name, relations())),
            joined(relations())
        );
    }
    let could_be = known
        .iter()
        .filter(|known| asked.is_none() || relation(known) == asked);
    let names: Vec<&str> = could_be.map(|column| column.name.as_str()).collect();
    let closest = closest(&column.name, names.iter().copied());
    let suggested = did_you_mean(closest);
    let mut message = format!("there is no column {:?}{suggested}", column.name);
    if !names.is_empty() {
        message.push_str(&format!(" (columns: {})", joined(names.into_iter())));
    }
    if closest.is_none() {
        message.push_str(&elsewhere(&column.name));
    }
    message
}

/// What has the name of a column that is not there: a function that was not called, or tables.
fn elsewhere(name: &str) -> String {
    /// As many tables as are named; a column like `step` is in most.
    const SHOWN: usize = 4;
    let is_called = |entry: &&Definition| match entry.kind {
        DefinitionKind::Function(kind) => kind != FunctionKind::Table,
        _ => false,
    };
    if let Some(function) = named(name).into_iter().find(is_called) {
        let (signature, what) = (&function.signature, function.kind.words());
        return format!("; {signature} is {} {what}", article(what));
    }
    let tables = tables_with(name);
    match tables.len() {
        0 => String::new(),
        1..=SHOWN => format!("; there is one in {}", tables.join(", ")),
        more => {
            let (shown, more) = (tables[..SHOWN].join(", "), more - SHOWN);
            format!("; there is one in {shown} and {more} others")
        }
    }
}

impl NamedQuery {
    /// The query of that name.
    ///
    /// # Errors
    /// If there is none; the error names what has that very name, or the query that comes closest.
    pub fn find(name: &str) -> Result<&'static NamedQuery, QueryError> {
        Self::get(name).ok_or_else(|| {
            let names = || Self::all().iter().map(NamedQuery::name);
            QueryError::UnknownQuery {
                name: name.to_owned(),
                instead: match named(name.trim_end_matches("()")).first() {
                    Some(entry) => format!("; {}", written(entry)),
                    None => did_you_mean(closest(name, names())),
                },
                names: names().collect::<Vec<_>>().join(", "),
            }
        })
    }
}

/// What a thing is that was named in the wrong place, and how it is written in the right one.
fn written(entry: &Definition) -> String {
    let (name, what) = (&entry.name, entry.kind.words());
    let signature = &entry.signature;
    let how = match entry.kind {
        DefinitionKind::Table => format!("SELECT * FROM {name}"),
        DefinitionKind::NamedQuery => format!("SELECT * FROM {name} or `query run {name}`"),
        DefinitionKind::Function(FunctionKind::Table) => format!("SELECT * FROM {signature}"),
        DefinitionKind::Function(_) => format!("SELECT {signature}"),
    };
    format!("{name} is {} {what}, as in {how}", article(what))
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}

/// The pinned DataFusion has no error of its own for an unknown table or function, but words it in
/// one way each; a test holds these to them.
fn unknown_name(message: &str, known: &Known) -> Option<String> {
    let first_line = message.lines().next()?;
    if let Some(name) = between(first_line, "table '", "' not found") {
        return unknown_table(name, known);
    }
    if let Some(name) = between(first_line, "table function '", "' not found") {
        return Some(match named(name).first() {
            Some(entry) => format!("there is no table function {name:?}; {}", written(entry)),
            None => unknown("table function", name, &known.table_functions),
        });
    }
    if let Some(name) = between(first_line, "Invalid function '", "'") {
        let closest = closest(name, known.functions.iter().map(String::as_str));
        let suggested = match named(name).first() {
            Some(entry) => format!("; {}", written(entry)),
            None => did_you_mean(closest),
        };
        return Some(format!(
            "there is no function {name:?}{suggested} (`query list functions` lists them)"
        ));
    }
    None
}

/// `name` is a table's full one, as `run.public.weights`.
fn unknown_table(name: &str, known: &Known) -> Option<String> {
    let mut parts = name.splitn(3, '.');
    let (catalog, schema, table) = (parts.next()?, parts.next()?, parts.next()?);
    if catalog != CATALOG {
        return Some(format!(
            "there is no catalog {catalog:?} (the only one is {CATALOG})"
        ));
    }
    if !known.schemas.iter().any(|known| known == schema) {
        return Some(unknown("schema", schema, &known.schemas));
    }
    match known.schemas.first() {
        Some(first) if known.tables.iter().any(|known| known == table) => Some(format!(
            "there is no table {table:?} in schema {schema:?}, but in {first:?}"
        )),
        _ => Some(match named(table).first() {
            Some(entry) => format!("there is no table {table:?}; {}", written(entry)),
            None => unknown("table", table, &known.tables),
        }),
    }
}

fn unknown(kind: &str, name: &str, known: &[String]) -> String {
    let names = || known.iter().map(String::as_str);
    format!(
        "there is no {kind} {name:?}{} ({kind}s: {})",
        did_you_mean(closest(name, names())),
        joined(names())
    )
}

fn refused(message: &str) -> Option<String> {
    const REFUSALS: [&str; 3] = [
        "DDL not supported: ",
        "DML not supported: ",
        "Statement not supported: ",
    ];
    let (_, operation) = REFUSALS
        .iter()
        .find_map(|refusal| message.split_once(refusal))?;
    Some(format!("{} is not possible", in_words(operation.trim())))
}

/// A statement that DataFusion can parse, and knows nothing of.
fn not_known(message: &str) -> Option<String> {
    /// As many characters of it are shown.
    const SHOWN: usize = 60;
    if message.starts_with("SET variant not implemented yet: ") {
        return Some("SET".to_owned());
    }
    let statement = message.strip_prefix("Unsupported SQL statement: ")?.trim();
    Some(match statement.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} ...", statement[..end].trim_end()),
        None => statement.to_owned(),
    })
}

/// `CreateView` as SQL spells it: `CREATE VIEW`.
fn in_words(camel_case: &str) -> String {
    let mut words = String::new();
    let mut after_lower = false;
    for character in camel_case.chars() {
        if after_lower && character.is_uppercase() {
            words.push(' ');
        }
        after_lower = character.is_lowercase();
        words.extend(character.to_uppercase());
    }
    words
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.dedup();
    names.join(", ")
}
