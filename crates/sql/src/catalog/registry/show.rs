//! SHOW FUNCTIONS: what DataFusion answers has only functions whose types it can make up, which
//! leaves out ours and many of its own.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use datafusion::prelude::{Expr, col, lit};
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{ShowStatementFilter, Statement as SqlStatement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::{Definition, DefinitionKind, registry};
use crate::functions::FunctionKind;

/// The functions that a statement asks for: all rows, and which of them; none if the statement is
/// not `SHOW FUNCTIONS`, or has a filter that DataFusion does not know either.
pub(crate) fn show_functions(sql: &str) -> Result<Option<(RecordBatch, Option<Expr>)>, ArrowError> {
    if !begins_with(sql, &["SHOW", "FUNCTIONS"]) {
        return Ok(None);
    }
    let Ok(mut statements) = DFParser::parse_sql(sql) else {
        return Ok(None);
    };
    let filter = match (statements.pop_front(), statements.is_empty()) {
        (Some(Statement::Statement(statement)), true) => match *statement {
            SqlStatement::ShowFunctions { filter } => filter,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    let name = || col("function_name");
    let filter = match filter {
        None => None,
        Some(ShowStatementFilter::Like(pattern)) => Some(name().like(lit(pattern))),
        Some(ShowStatementFilter::ILike(pattern)) => Some(name().ilike(lit(pattern))),
        Some(_) => return Ok(None),
    };
    Ok(Some((rows()?, filter)))
}

/// Whether a statement's first words are these; comments aside.
fn begins_with(sql: &str, words: &[&str]) -> bool {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else {
        return false;
    };
    let tokens = tokens
        .iter()
        .filter(|token| !matches!(token, Token::Whitespace(_)));
    let mut first = tokens.map(|token| match token {
        Token::Word(word) => word.value.as_str(),
        _ => "",
    });
    words.iter().all(|word| {
        let next = first.next();
        next.is_some_and(|next| next.eq_ignore_ascii_case(word))
    })
}

/// A row a name of a function, in the order of names. A named query is one, by its parameters.
fn rows() -> Result<RecordBatch, ArrowError> {
    let functions = registry().iter().filter_map(|entry| match entry.kind {
        DefinitionKind::Function(kind) => Some((entry, kind)),
        DefinitionKind::NamedQuery => Some((entry, FunctionKind::Table)),
        DefinitionKind::Table => None,
    });
    let mut rows: Vec<(&str, FunctionKind, &Definition)> = functions
        .flat_map(|(entry, kind)| entry.names().map(move |name| (name, kind, entry)))
        .collect();
    rows.sort_by_key(|(name, kind, _)| (*name, *kind));
    type Row = (&'static str, FunctionKind, &'static Definition);
    let column = |name: &str, of: fn(&Row) -> Option<String>| {
        let values = StringArray::from_iter(rows.iter().map(of));
        (Field::new(name, DataType::Utf8, true), Arc::new(values))
    };
    let columns = [
        column("function_name", |(name, ..)| Some((*name).to_owned())),
        column("function_type", |(_, kind, _)| {
            Some(spelled(*kind).to_owned())
        }),
        column("syntax_example", |(.., entry)| Some(call(entry))),
        column("description", |(.., entry)| Some(entry.purpose.clone())),
        column("sql_example", |(.., entry)| entry.example.clone()),
    ];
    let (fields, arrays): (Vec<_>, Vec<_>) = columns
        .into_iter()
        .map(|(field, array)| (field, array as _))
        .unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// How it is called; the parameters of a named query have defaults, and are given by name.
fn call(entry: &Definition) -> String {
    if entry.kind != DefinitionKind::NamedQuery {
        return entry.signature.clone();
    }
    let parameters = entry.parameters.iter();
    let parameters: Vec<String> = parameters
        .map(|parameter| format!("{} => ...", parameter.name))
        .collect();
    format!("{}([{}])", entry.name, parameters.join(", "))
}

/// As `information_schema.routines` spells it.
fn spelled(kind: FunctionKind) -> &'static str {
    match kind {
        FunctionKind::Aggregate => "AGGREGATE",
        FunctionKind::Scalar => "SCALAR",
        FunctionKind::Window => "WINDOW",
        FunctionKind::Table => "TABLE",
    }
}
