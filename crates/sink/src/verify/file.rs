//! The checks of one committed file.

use std::error::Error;
use std::sync::Arc;

use arrow::datatypes::Schema;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaData;
use trace::{
    CommittedFile, FORMAT_KEY, FORMAT_VERSION, FileProblem, PartFile, RunDir, Table, caught,
    check_pages, read_footer, with_causes,
};

use super::content::{Content, PartOfLayer, Wrong};
use super::{Check, Problem};

/// What decoded rows may take at once, on each thread.
const BATCH_BYTES: u64 = 16 * 1024 * 1024;

/// The most rows that are decoded at once.
const BATCH_ROWS: u64 = 8192;

/// Checks one file, and says of which units it has rows, if its rows are by unit; returns the first thing that is wrong.
pub(super) fn check_file(
    run: &RunDir,
    file: &CommittedFile<'_>,
) -> Result<Option<PartOfLayer>, Problem> {
    caught(|| check(run, file)).unwrap_or_else(|panicked| {
        Err(Problem {
            path: file.path.to_owned(),
            check: Check::Rows,
            expected: format!("{} rows", file.rows),
            found: panicked.to_string(),
        })
    })
}

fn check(run: &RunDir, file: &CommittedFile<'_>) -> Result<Option<PartOfLayer>, Problem> {
    let fail = |check: Check, expected: &dyn ToString, found: &dyn ToString| Problem {
        path: file.path.to_owned(),
        check,
        expected: expected.to_string(),
        found: found.to_string(),
    };
    let wrong = |(check, expected, found): Wrong| fail(check, &expected, &found);
    let in_bytes = |bytes: u64| format!("{bytes} bytes");
    let in_rows = |rows: u64| format!("{rows} rows");
    let reader = PartFile::committed(run, file)
        .open_whole()
        .map_err(|error| match error.problem {
            FileProblem::Missing => fail(Check::Presence, &"a file", &"nothing"),
            FileProblem::NoFile => fail(Check::Presence, &"a file", &"something else"),
            FileProblem::Size { found, committed } => {
                fail(Check::Size, &in_bytes(committed), &in_bytes(found))
            }
            FileProblem::Damaged { found, committed } => fail(Check::Checksum, &committed, &found),
            FileProblem::DamagedStretch {
                stretch,
                found,
                written,
            } => fail(
                Check::Checksum,
                &format!("{written} of its {stretch}"),
                &found,
            ),
            FileProblem::NoFooter { committed } => fail(
                Check::Footer,
                &format!("a footer of {}", in_bytes(committed)),
                &in_bytes(file.bytes),
            ),
            FileProblem::NotParquet(error) => {
                fail(Check::Footer, &"a Parquet footer", &with_causes(&error))
            }
            FileProblem::Panicked(error) => fail(Check::Footer, &"a Parquet footer", &error),
            FileProblem::Unreadable(error) => {
                fail(Check::Presence, &"a file that can be read", &error)
            }
            other => fail(Check::Presence, &"a file that can be read", &other),
        })?;
    // The format embeds no Arrow schema, and one that is there must not decide what is checked.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let footer = read_footer(&reader);
    let footer = footer.and_then(|footer| ArrowReaderMetadata::try_new(Arc::new(footer), options));
    let footer =
        footer.map_err(|error| fail(Check::Footer, &"a Parquet footer", &with_causes(&error)))?;
    let columns: Vec<usize> = (0..footer.parquet_schema().num_columns()).collect();
    check_pages(&reader, footer.metadata(), &columns)
        .map_err(|error| fail(Check::Rows, &in_rows(file.rows), &with_causes(&error)))?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(reader, footer);
    let metadata = builder.metadata();
    let expected_format = run.info().format;
    let format = format_of(metadata);
    if format.and_then(major) != Some(expected_format.major) {
        let expected = format!("{FORMAT_KEY} = {expected_format}");
        let found = format.map_or_else(
            || format!("no key {FORMAT_KEY}"),
            |format| format!("{FORMAT_KEY} = {format}"),
        );
        return Err(fail(Check::Format, &expected, &found));
    }
    let is_earlier = format.and_then(minor) < Some(FORMAT_VERSION.minor);
    // A later minor version may have tables that this one does not know.
    if let Ok(table) = file.table.parse::<Table>() {
        check_columns(table, builder.schema(), is_earlier)
            .map_err(|(expected, found)| fail(Check::Columns, &expected, &found))?;
    }

    let in_footer = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
    if in_footer != file.rows {
        return Err(fail(
            Check::Rows,
            &in_rows(file.rows),
            &format!("{in_footer} rows in the footer"),
        ));
    }
    let batch_size = batch_size(metadata);
    let undecodable =
        |error: &dyn Error| fail(Check::Rows, &in_rows(file.rows), &with_causes(error));
    let batches = builder
        .with_batch_size(batch_size)
        .build()
        .map_err(|error| undecodable(&error))?;
    let mut rows = 0;
    // Of a table that this version does not know nothing more can be told.
    let mut content = match file.table.parse::<Table>() {
        Ok(_) => Some(Content::try_new(file, &run.info().layers).map_err(wrong)?),
        Err(_) => None,
    };
    for batch in batches {
        let batch = batch.map_err(|error| undecodable(&error))?;
        if let Some(content) = &mut content {
            content.check(&batch).map_err(wrong)?;
        }
        rows += batch.num_rows() as u64;
    }
    let of_layer = match content {
        Some(content) => content.end().map_err(wrong)?,
        None => None,
    };
    if rows != file.rows {
        return Err(fail(Check::Rows, &in_rows(file.rows), &in_rows(rows)));
    }
    Ok(of_layer)
}

fn format_of(metadata: &ParquetMetaData) -> Option<&str> {
    metadata
        .file_metadata()
        .key_value_metadata()?
        .iter()
        .find(|pair| pair.key == FORMAT_KEY)?
        .value
        .as_deref()
}

fn major(format: &str) -> Option<u32> {
    format.split_once('.')?.0.parse().ok()
}

fn minor(format: &str) -> Option<u32> {
    format.split_once('.')?.1.parse().ok()
}

/// Every column of the table is there with its type; a later minor version may have more, all
/// nullable, and an earlier one may lack such, or have them as never null. Else what is expected and what was found.
fn check_columns(table: Table, found: &Schema, is_earlier: bool) -> Result<(), (String, String)> {
    let schema = table.schema();
    for expected in schema.fields() {
        let describe = |field: &arrow::datatypes::Field| {
            let null = if field.is_nullable() { "" } else { " not null" };
            format!("column {} {}{null}", field.name(), field.data_type())
        };
        match found.field_with_name(expected.name()) {
            Ok(field)
                if field.data_type() == expected.data_type()
                    && (field.is_nullable() == expected.is_nullable()
                        || is_earlier && expected.is_nullable()) => {}
            Ok(field) => return Err((describe(expected), describe(field))),
            Err(_) if is_earlier && expected.is_nullable() => {}
            Err(_) => return Err((describe(expected), "no such column".to_owned())),
        }
    }
    let is_unknown =
        |name: &str, is_nullable: bool| schema.field_with_name(name).is_err() && !is_nullable;
    match found
        .fields()
        .iter()
        .find(|field| is_unknown(field.name(), field.is_nullable()))
    {
        None => Ok(()),
        Some(field) => Err((
            format!("the columns of table {table}"),
            format!("another column {} that is not null", field.name()),
        )),
    }
}

/// As many rows as take [`BATCH_BYTES`] once they are decoded.
fn batch_size(metadata: &ParquetMetaData) -> usize {
    let rows = metadata.file_metadata().num_rows().max(1).unsigned_abs();
    // Each says what it likes.
    let bytes = metadata
        .row_groups()
        .iter()
        .map(|row_group| row_group.total_byte_size().max(0).unsigned_abs())
        .fold(0, u64::saturating_add);
    let row_bytes = (bytes / rows).max(1);
    (BATCH_BYTES / row_bytes).clamp(1, BATCH_ROWS) as usize
}
