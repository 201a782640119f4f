//! One part as one Parquet file, in the layout that the format specifies.
//!
//! The columns are written one after the other, lists of one length straight into pages, everything else
//! through parquet's column writers, rather than by its `ArrowWriter`: that one makes an 8-byte index and a
//! copy of every list value before it encodes it. Columns too small to be worth a compressor do without one.

mod checksummed;
mod compress;
mod file;
mod probe;

use std::cmp::Ordering;
use std::io::{self, Write};
use std::sync::{Arc, LazyLock};

use self::checksummed::{Checksummed, Written};
use self::file::File;
use crate::checksum::Crc32c;
use crate::column_checksums::{self, COLUMN_CRC32C_KEY, Footer};
use crate::columns::{EqualLists, MAX_PAGE_BYTES, PAGE_VALUES, list_bytes, value_bytes};
use crate::part::Part;
use crate::run::{FORMAT_KEY, FORMAT_VERSION};
use crate::table::Table;
use arrow::array::{ArrayRef, RecordBatch, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor};

pub use self::compress::{Compress, ParseCompressError};
pub use crate::columns::ZSTD_LEVEL;

/// Bytes of values that a page of lists of one length has at most, unless one list has more: 131,072 floats. Their
/// byte planes are then 128 KiB each, one block of zstd, so that each plane has entropy tables of its own. A page of
/// other lists ends soon after.
pub const LIST_PAGE_BYTES: usize = PAGE_VALUES * size_of::<f32>();

/// With [`Compress::Auto`], what compression does not make smaller than this share of itself stays as it is: a
/// list column by a sample of it, or nearly so, any page by trying. Weights in byte planes become 16% to 20%
/// smaller, for which every reader would pay a decompressor a file; activations after a ReLU are half zeros, become
/// far smaller, and are compressed.
pub const MAX_COMPRESSION_RATIO: f64 = 0.78;

/// A sample is compressed a little worse than the page that it is of. What it leaves to try is judged by the page.
const SAMPLE_SHARE: f64 = 1.03;

/// The same with [`Compress::Size`]: less is nothing that is worth a decompressor.
pub const MAX_COMPRESSION_RATIO_FOR_SIZE: f64 = 0.97;

/// A page of lists is closed at [`LIST_PAGE_BYTES`] or soon after, and has the whole of the last list. So much is
/// beside that list at most: what came before it, and levels.
const BESIDE_LIST_BYTES: u64 = 2 * LIST_PAGE_BYTES as u64;

/// Columns with fewer bytes than this are not compressed: setting up the compressor costs more
/// than it saves, and most parts have a dozen of such columns.
pub const MIN_COMPRESSED_BYTES: usize = 4096;

/// Name of the program in the footer.
const CREATED_BY: &str = concat!("stratigraph version ", env!("CARGO_PKG_VERSION"));

/// Why rows could not be written as a Parquet file.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The rows are not of the table.
    #[error("the rows have columns ({found}), table {table} has ({expected})")]
    WrongColumns {
        /// The table.
        table: Table,
        /// Its columns.
        expected: String,
        /// The rows' columns.
        found: String,
    },
    /// The rows are not in the order that the footer promises.
    #[error("row {row} is out of order: rows of table {table} ascend by {}", table.sort_columns().join(", "))]
    NotSorted {
        /// The table.
        table: Table,
        /// The first row that is smaller than the one before it.
        row: usize,
    },
    /// The output refused.
    #[error(transparent)]
    Io(io::Error),
    /// Encoding failed.
    #[error(transparent)]
    Parquet(ParquetError),
}

impl From<ParquetError> for EncodeError {
    /// Finds what the output said, which users can do something about.
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(cause) => match cause.downcast::<io::Error>() {
                Ok(error) => EncodeError::Io(*error),
                Err(cause) => EncodeError::Parquet(ParquetError::External(cause)),
            },
            error => EncodeError::Parquet(error),
        }
    }
}

/// A part as a Parquet file, written to `W`.
#[derive(Debug)]
pub struct Encoded<W> {
    /// Where it was written to.
    pub output: W,
    /// Bytes that it has.
    pub bytes: u64,
    /// Checksum of all of them.
    pub crc32c: Crc32c,
    /// The last of them, by which the columns are found and checked.
    pub footer: Footer,
}

/// Writes `part` to `output` as a whole Parquet file, and gives `output` back.
///
/// Data pages are of version 2, in one row group. Floats and doubles are `BYTE_STREAM_SPLIT`,
/// whole numbers `DELTA_BINARY_PACKED` (those that may be null, and texts, have a dictionary).
/// The footer holds statistics of the scalar columns, the sort order, the format's version and a
/// checksum of each column, no Arrow schema, and an offset index only where a list has several pages.
///
/// # Errors
/// If the rows are not of the part's table or not sorted, or `output` fails.
pub fn encode_part<W: Write + Send>(
    part: &Part,
    compress: Compress,
    output: W,
) -> Result<Encoded<W>, EncodeError> {
    encode_within(MAX_PAGE_BYTES, part, compress, output)
}

/// As [`encode_part`], for readers who let a page unpack to so many bytes from however few.
fn encode_within<W: Write + Send>(
    max_page_bytes: u64,
    part: &Part,
    compress: Compress,
    output: W,
) -> Result<Encoded<W>, EncodeError> {
    let table = part.path.table;
    check_columns(table, &part.rows)?;
    check_sorted(table, &part.rows)?;

    let schema = parquet_schema(table);
    let columns = part.rows.schema_ref().fields().iter();
    let columns = columns.zip(part.rows.columns());
    let shares: Vec<Option<f64>> = columns
        .map(|(field, array)| share_of(field, array, compress, max_page_bytes))
        .collect();
    let properties = Arc::new(properties(table, schema, &shares));
    let mut output = Checksummed::new(output);
    let mut file = File::begin(&mut output, Arc::clone(schema), properties)?;
    let num_rows = part.rows.num_rows();
    if num_rows > 0 {
        let fields = part.rows.schema_ref().fields().iter();
        for ((field, array), share) in fields.zip(part.rows.columns()).zip(shares) {
            match EqualLists::of(array) {
                Some(lists) => file.write_lists(lists, share)?,
                None => file.write(array, field.is_nullable())?,
            }
        }
    }
    let checksums = column_checksums::to_text(file.checksums().iter().copied());
    let keys = vec![
        KeyValue::new(FORMAT_KEY.to_owned(), FORMAT_VERSION.to_string()),
        KeyValue::new(COLUMN_CRC32C_KEY.to_owned(), checksums),
    ];
    let columns_end = file.end(num_rows, keys)?;
    let written = output.finish().map_err(EncodeError::Io)?;
    let footer = footer(&written, columns_end)?;
    Ok(Encoded {
        output: written.output,
        bytes: written.bytes,
        crc32c: written.crc32c,
        footer,
    })
}

/// What was written behind the last column.
fn footer<W>(written: &Written<W>, columns_end: u64) -> Result<Footer, EncodeError> {
    match written.stretches.last() {
        Some(last) if last.range == (columns_end..written.bytes) => Ok(Footer {
            bytes: written.bytes - columns_end,
            crc32c: last.crc32c,
        }),
        _ => {
            let message = "the output was not flushed around the footer, so it has no checksum";
            Err(ParquetError::General(message.to_owned()).into())
        }
    }
}

/// What share of a column's page compression has to leave at most; none where it is not tried.
fn share_of(
    field: &Field,
    array: &ArrayRef,
    compress: Compress,
    max_page_bytes: u64,
) -> Option<f64> {
    // Whole numbers that are not null are written as differences: those of ids take a few bytes.
    let are_differences = field.data_type().is_integer() && !field.is_nullable();
    if are_differences || value_bytes(array) < MIN_COMPRESSED_BYTES {
        return None;
    }
    let share = match compress {
        Compress::None => return None,
        Compress::Size => MAX_COMPRESSION_RATIO_FOR_SIZE,
        Compress::Auto => MAX_COMPRESSION_RATIO,
    };
    let is_list = matches!(array.data_type(), DataType::List(_));
    // A list is in one page, and equal floats take next to nothing: its page would be taken for one that is made to
    // fill a reader's memory.
    if is_list && list_bytes(array) + BESIDE_LIST_BYTES > max_page_bytes {
        return None;
    }
    let is_tried = !is_list
        || compress == Compress::Size
        || probe::is_compressible(array, share * SAMPLE_SHARE);
    is_tried.then_some(share)
}

/// The table's columns as Parquet sees them; each has one leaf.
fn parquet_schema(table: Table) -> &'static SchemaDescPtr {
    static SCHEMAS: LazyLock<[SchemaDescPtr; Table::ALL.len()]> = LazyLock::new(|| {
        Table::ALL.map(|table| {
            let schema = ArrowSchemaConverter::new()
                .convert(&table.schema())
                .expect("every type of the format has a Parquet type");
            Arc::new(schema)
        })
    });
    &SCHEMAS[table as usize]
}

/// How columns are written of which compression has to leave at most these shares.
fn properties(table: Table, schema: &SchemaDescriptor, shares: &[Option<f64>]) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_created_by(CREATED_BY.to_owned())
        .set_sorting_columns(Some(sorting_columns(table)))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    let rows = table.schema();
    for ((leaf, field), share) in schema.columns().iter().zip(rows.fields()).zip(shares) {
        let path = leaf.path().clone();
        if let Some(share) = share {
            let zstd = ZstdLevel::try_new(ZSTD_LEVEL).expect("a level that zstd has");
            properties = properties
                .set_column_compression(path.clone(), Compression::ZSTD(zstd))
                .set_column_data_page_v2_compression_ratio_threshold(path.clone(), *share);
        }
        properties = match field.data_type() {
            DataType::List(_) => properties
                .set_column_data_page_size_limit(path.clone(), LIST_PAGE_BYTES)
                .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT),
            DataType::Float32 | DataType::Float64 => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT),
            DataType::Int32 | DataType::Int64 if !field.is_nullable() => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
            // Few different values, and perhaps none at all.
            _ => properties,
        };
    }
    properties.build()
}

fn sorting_columns(table: Table) -> Vec<SortingColumn> {
    let schema = table.schema();
    table
        .sort_columns()
        .iter()
        .map(|name| {
            let index = schema
                .index_of(name)
                .expect("a table is sorted by columns of its own");
            SortingColumn {
                column_idx: i32::try_from(index).expect("a table has few columns"),
                descending: false,
                nulls_first: false,
            }
        })
        .collect()
}

fn check_columns(table: Table, rows: &RecordBatch) -> Result<(), EncodeError> {
    let expected = table.schema();
    // Metadata of the schema is not written, so it may differ.
    if rows.schema_ref().fields() == expected.fields() {
        return Ok(());
    }
    let describe = |schema: &Schema| {
        let columns = schema.fields().iter().map(|field| {
            let null = if field.is_nullable() { "" } else { " not null" };
            format!("{} {}{null}", field.name(), field.data_type())
        });
        columns.collect::<Vec<_>>().join(", ")
    };
    Err(EncodeError::WrongColumns {
        table,
        expected: describe(&expected),
        found: describe(rows.schema_ref()),
    })
}

/// Readers skip sorting what the footer calls sorted, so a false promise would be a wrong result.
pub(crate) fn check_sorted(table: Table, rows: &RecordBatch) -> Result<(), EncodeError> {
    let mut comparators = Vec::new();
    for name in table.sort_columns() {
        let column = rows.column_by_name(name).expect("the columns were checked");
        comparators.push(
            make_comparator(column, column, SortOptions::default())
                .expect("a table is sorted by whole numbers"),
        );
    }
    let ascends = |row: usize| {
        let mut orders = comparators.iter().map(|compare| compare(row - 1, row));
        orders.find(|order| order.is_ne()) != Some(Ordering::Greater)
    };
    match (1..rows.num_rows()).find(|row| !ascends(*row)) {
        Some(row) => Err(EncodeError::NotSorted { table, row }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
