//! The header comment of a query file, which `query describe` prints and tests hold it to.
//!
//! ```sql
//! -- What the query answers, in a sentence or more.
//! --
//! -- Parameters:
//! --   epoch Int32{<epoch>,first,last,all} = NULL: what it means
//! --   sign Utf8{positive,negative,any} = positive: what it means
//! --   percent Float64{0..100} = 5: what it means
//! --
//! -- Columns:
//! --   neuron Int32: what it is
//! SELECT ...
//! ```
//!
//! What stands between braces is what a parameter can be ([`ValidValues`]): words, numbers from one to
//! another, or, between `<` and `>`, what the run has: `<epoch>` an epoch that was captured,
//! `<reported epoch>` one of which there are metrics, `<class or name>`, `<output or name>`, `<layer>`,
//! `<layer or glob>`, `<neuron>`, `<neurons>` (as `3,7,120`), `<sample>`. A default of `last` is that of
//! `query run`: in SQL, as a table or called, a query is about every epoch unless one is named.

use arrow::datatypes::DataType;

use super::values::ValidValues;
use super::{NamedQuery, common_parameters};

/// A parameter of a named query: `$name` in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub data_type: ParameterType,
    /// Which of that type they can be.
    pub values: ValidValues,
    /// What it is if it is not given.
    pub default: String,
    /// What it does.
    pub meaning: String,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterType {
    /// `true` or `false`.
    Boolean,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// A number.
    Float64,
    /// A text.
    Utf8,
}

/// A column of a named query's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as [`type_name`] spells it.
    pub data_type: String,
    /// What it is.
    pub meaning: String,
}

/// A short name for a column's type: `Int32`, `List(Float32)`.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::List(item) => format!("List({})", type_name(item.data_type())),
        DataType::Timestamp(..) => "Timestamp".to_owned(),
        other => other.to_string(),
    }
}

impl std::fmt::Display for ParameterType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ParameterType::Boolean => "Boolean",
            ParameterType::Int32 => "Int32",
            ParameterType::Int64 => "Int64",
            ParameterType::Float64 => "Float64",
            ParameterType::Utf8 => "Utf8",
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Section {
    Purpose,
    Parameters,
    Columns,
}

/// Reads a query file's header; says what is wrong with the line that is.
pub(super) fn parse(name: &'static str, sql: &'static str) -> Result<NamedQuery, String> {
    let mut section = Section::Purpose;
    let mut purpose: Vec<&str> = Vec::new();
    let mut parameters: Vec<Parameter> = Vec::new();
    let mut columns: Vec<Column> = Vec::new();
    for line in sql.lines().map_while(|line| line.strip_prefix("--")) {
        let wrong = || format!("{name}: {line:?}");
        match (line.trim(), section) {
            ("", _) => {}
            ("Parameters:", _) => section = Section::Parameters,
            ("Columns:", _) => section = Section::Columns,
            (text, Section::Purpose) => purpose.push(text),
            // An item's text may go on in lines that are indented further.
            (text, Section::Parameters) if line.starts_with("      ") => {
                continued(&mut parameters.last_mut().ok_or_else(wrong)?.meaning, text);
            }
            (text, Section::Columns) if line.starts_with("      ") => {
                continued(&mut columns.last_mut().ok_or_else(wrong)?.meaning, text);
            }
            (text, Section::Parameters) => {
                parameters.push(Parameter::parse(text).ok_or_else(wrong)?)
            }
            (text, Section::Columns) => columns.push(column(text).ok_or_else(wrong)?),
        }
    }
    parameters.extend(common_parameters());
    Ok(NamedQuery {
        name,
        purpose: purpose.join(" "),
        parameters,
        columns,
        sql,
    })
}

fn continued(meaning: &mut String, text: &str) {
    meaning.push(' ');
    meaning.push_str(text);
}

impl Parameter {
    /// The parameter that a text declares, as `name Type{values} = default: meaning`; none if it
    /// declares none.
    pub fn parse(text: &str) -> Option<Self> {
        let (declared, meaning) = text.split_once(": ")?;
        let (declared, default) = declared.split_once(" = ")?;
        let (name, data_type) = declared.split_once(' ')?;
        let (data_type, values) = match data_type.split_once('{') {
            None => (data_type, ValidValues::default()),
            Some((data_type, values)) => (data_type, values.strip_suffix('}')?.parse().ok()?),
        };
        let data_type = match data_type {
            "Boolean" => ParameterType::Boolean,
            "Int32" => ParameterType::Int32,
            "Int64" => ParameterType::Int64,
            "Float64" => ParameterType::Float64,
            "Utf8" => ParameterType::Utf8,
            _ => return None,
        };
        Some(Self {
            name: name.to_owned(),
            data_type,
            values,
            default: default.to_owned(),
            meaning: meaning.to_owned(),
        })
    }
}

/// `name Type: meaning`
fn column(text: &str) -> Option<Column> {
    let (declared, meaning) = text.split_once(": ")?;
    let (name, data_type) = declared.split_once(' ')?;
    Some(Column {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        meaning: meaning.to_owned(),
    })
}

#[cfg(test)]
mod tests;
