//! Rows as people and programs read them.
//!
//! Rows are written as they come: but for the first of a table, none are kept.

mod file;
mod json;
mod parquet_file;
mod table;
mod text;
mod wide;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder as CsvBuilder;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::LineDelimited;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use parquet::errors::ParquetError;

pub use file::{CreateOutputError, OutputFile};
pub use table::{SHOWN_ROWS, TableStyle};
pub use wide::widened;

use crate::run::error::QueryError;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Columns side by side, for people.
    Table,
    /// Comma-separated, with a line of names; a list is JSON text, with `NaN`, `Infinity` and
    /// `-Infinity` among its numbers.
    Csv,
    /// One JSON array of objects; a number that is not finite is null, since JSON has none.
    Json,
    /// One JSON object a line; a number that is not finite is null.
    JsonLines,
    /// A Parquet file.
    Parquet,
    /// An Arrow IPC stream.
    Arrow,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 6] = [
        Format::Table,
        Format::Csv,
        Format::Json,
        Format::JsonLines,
        Format::Parquet,
        Format::Arrow,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Csv => "csv",
            Format::Json => "json",
            Format::JsonLines => "jsonl",
            Format::Parquet => "parquet",
            Format::Arrow => "arrow",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The format that a file's suffix stands for.
    pub fn from_suffix(path: &Path) -> Option<Self> {
        Some(
            match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
                "txt" => Format::Table,
                "csv" => Format::Csv,
                "json" => Format::Json,
                "jsonl" | "ndjson" => Format::JsonLines,
                "parquet" => Format::Parquet,
                "arrow" | "arrows" => Format::Arrow,
                _ => return None,
            },
        )
    }

    /// Whether it is for programs alone, and would garble a terminal.
    pub fn is_binary(self) -> bool {
        matches!(self, Format::Parquet | Format::Arrow)
    }
}

/// Why rows were not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteRowsError {
    /// The query failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The rows could not be put into the format.
    #[error("cannot write these rows as {}", format.name())]
    Encode {
        /// The format.
        format: Format,
        /// What stands in the way.
        source: ArrowError,
    },
    /// The rows could not be put into a Parquet file.
    #[error("cannot write these rows as parquet")]
    Parquet(#[from] ParquetError),
    /// The format tells columns apart by their names.
    #[error(
        "two columns are named {name:?}, which {} cannot hold: give one another name with AS",
        format.name()
    )]
    RepeatedName {
        /// The format.
        format: Format,
        /// The name.
        name: String,
    },
    /// The destination refused.
    #[error("cannot write")]
    Io(#[from] io::Error),
}

/// Writes batches of one schema.
trait BatchWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteRowsError>;

    /// Writes what belongs at the end.
    fn finish(self: Box<Self>) -> Result<(), WriteRowsError>;
}

/// What was written of a query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// How many rows.
    pub num_rows: u64,
    /// How many numbers became null because the format has none that are not finite.
    pub num_nonfinite: u64,
}

/// Writes all rows of a query to `out`; returns what was written.
///
/// # Errors
/// If the query fails on its way, the rows have a type that the format does not have or columns
/// that it cannot tell apart, or `out` refuses.
pub async fn write_rows(
    mut rows: SendableRecordBatchStream,
    format: Format,
    style: TableStyle,
    out: &mut (dyn Write + Send),
) -> Result<Written, WriteRowsError> {
    let mut written = Written::default();
    let mut writer = writer(format, style, rows.schema(), out)?;
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(QueryError::from)?;
        written.num_rows += batch.num_rows() as u64;
        if matches!(format, Format::Json | Format::JsonLines) {
            written.num_nonfinite += json::num_nonfinite(&batch);
        }
        writer.write(&batch)?;
    }
    writer.finish()?;
    out.flush()?;
    Ok(written)
}

fn writer<'a>(
    format: Format,
    style: TableStyle,
    schema: SchemaRef,
    out: &'a mut (dyn Write + Send),
) -> Result<Box<dyn BatchWriter + 'a>, WriteRowsError> {
    let encode = |source| WriteRowsError::Encode { format, source };
    if matches!(format, Format::Json | Format::JsonLines | Format::Parquet)
        && let Some(name) = repeated_name(&schema)
    {
        let name = name.to_owned();
        return Err(WriteRowsError::RepeatedName { format, name });
    }
    Ok(match format {
        Format::Table => Box::new(table::TableWriter::new(schema, style, out)),
        Format::Csv => {
            let mut csv = CsvBuilder::new().with_header(true).build(out);
            // Names are written with the first batch, and there may be none.
            let empty = RecordBatch::new_empty(schema);
            csv.write(&text::lists_as_json(&empty).map_err(encode)?)
                .map_err(encode)?;
            Box::new(csv)
        }
        Format::Json => Box::new(json::JsonRows::<json::RowArray>::new(format, out)),
        Format::JsonLines => Box::new(json::JsonRows::<LineDelimited>::new(format, out)),
        Format::Parquet => Box::new(parquet_file::ParquetWriter::try_new(schema, out)?),
        Format::Arrow => Box::new(StreamWriter::try_new(out, &schema).map_err(encode)?),
    })
}

fn repeated_name(schema: &Schema) -> Option<&str> {
    let mut names = HashSet::new();
    let fields = schema.fields().iter();
    fields
        .map(|field| field.name().as_str())
        .find(|name| !names.insert(*name))
}

impl BatchWriter for arrow::csv::Writer<&mut (dyn Write + Send)> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteRowsError> {
        let encode = |source| WriteRowsError::Encode {
            format: Format::Csv,
            source,
        };
        let batch = text::lists_as_json(batch).map_err(encode)?;
        arrow::csv::Writer::write(self, &batch).map_err(encode)
    }

    fn finish(self: Box<Self>) -> Result<(), WriteRowsError> {
        Ok(self.into_inner().flush()?)
    }
}

impl BatchWriter for StreamWriter<&mut (dyn Write + Send)> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteRowsError> {
        let encode = |source| WriteRowsError::Encode {
            format: Format::Arrow,
            source,
        };
        StreamWriter::write(self, batch).map_err(encode)
    }

    fn finish(mut self: Box<Self>) -> Result<(), WriteRowsError> {
        let encode = |source| WriteRowsError::Encode {
            format: Format::Arrow,
            source,
        };
        StreamWriter::finish(&mut self).map_err(encode)
    }
}
