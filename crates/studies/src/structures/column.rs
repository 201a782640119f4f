//! Columns of the rows of named queries.

use arrow::array::{ArrayRef, RecordBatch};
use sql::QueryError;

/// A column of a named query's rows.
pub(super) fn column<'a>(
    query: &str,
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a ArrayRef, QueryError> {
    let column = batch.column_by_name(name);
    column.ok_or_else(|| QueryError::Internal(format!("{query} has no column {name}")))
}

#[cfg(test)]
mod tests;
