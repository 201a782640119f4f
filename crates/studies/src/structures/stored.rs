//! What the table `structures` holds.

use std::collections::BTreeSet;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::logical_expr::{col, lit};
use datafusion::prelude::DataFrame;
use sql::{QueryError, QuerySession, Run};
use trace::{Table, read_derived};
use words::closest;

use super::error::StructureError;

/// The names of all structures.
///
/// # Errors
/// If the table cannot be read.
pub fn structure_names(run: &Run) -> Result<BTreeSet<String>, StructureError> {
    let mut names = BTreeSet::new();
    for part in read_derived(run.dir(), Table::Structures)? {
        names.extend(names_of(&part.rows)?.iter().flatten().map(str::to_owned));
    }
    Ok(names)
}

/// Makes sure that there is a structure.
///
/// # Errors
/// If there is none of the name; the error names the closest.
pub fn require_structure(run: &Run, name: &str) -> Result<(), StructureError> {
    let names = structure_names(run)?;
    match names.contains(name) {
        true => Ok(()),
        false => Err(unknown(name, &names)),
    }
}

/// A row a structure: its name, class and epoch, how many neurons it has, from which epoch on and until
/// when, and how they were found.
///
/// # Errors
/// If the table cannot be read.
pub async fn list_structures(session: &QuerySession) -> Result<DataFrame, QueryError> {
    const LIST: &str = "SELECT name, class, epoch, count(*) AS neurons,
                min(first_epoch) AS first_epoch, max(last_epoch) AS last_epoch,
                avg(score) AS mean_score, max(p_value) AS p_value, measure, half
                FROM structures GROUP BY name, class, epoch, measure, half ORDER BY class, name";
    session.sql(LIST).await
}

/// A row a neuron of the structure of that name, the strongest first.
///
/// # Errors
/// If the table cannot be read.
pub async fn structure_rows(session: &QuerySession, name: &str) -> Result<DataFrame, QueryError> {
    const SHOW: &str = "SELECT name, class, layer, neuron, first_epoch, last_epoch, score,
                p_value, measure, half, seed FROM structures ORDER BY abs(score) DESC, neuron";
    let rows = session.sql(SHOW).await?;
    Ok(rows.filter(col("name").eq(lit(name)))?)
}

pub(super) fn unknown(name: &str, names: &BTreeSet<String>) -> StructureError {
    let all = || names.iter().map(String::as_str);
    StructureError::Unknown {
        name: name.to_owned(),
        closest: closest(name, all()).map(str::to_owned),
        names: match names.is_empty() {
            true => "none; `query structures find` finds some".to_owned(),
            false => all().collect::<Vec<_>>().join(", "),
        },
    }
}

pub(super) fn stored<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    Ok(rows.column(rows.schema().index_of(name)?))
}

pub(super) fn names_of(rows: &RecordBatch) -> Result<StringArray, ArrowError> {
    let names = cast(stored(rows, "name")?, &DataType::Utf8)?;
    Ok(names.as_string::<i32>().clone())
}
