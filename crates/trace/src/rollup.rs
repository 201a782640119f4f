//! Roll-ups: what many commit records said, as columns of one Parquet file, `commits/checkpoint-*.parquet`.
//!
//! Each record is a row of kind `commit`, followed by a row a capture, a file and a retired path.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, AsArray, BooleanBuilder, Int32Builder, Int64Builder,
    RecordBatch, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescriptor, ColumnPath, SchemaDescriptor};

use crate::caught::caught;
use crate::checksum::Crc32c;
use crate::columns::{check_pages, read_row_group, write_column};
use crate::commit::{CaptureId, CommitRecord, FileEntry};
use crate::encode::Compress;
use crate::footer::read_footer;
use crate::id::{Epoch, LayerLabel, Nonce, Step};
use crate::number;
use crate::run::{FORMAT_KEY, FORMAT_VERSION};

/// Footer key of the checksum over the whole file, in which the checksum's own digits count as
/// zeros. Parquet itself would not notice a flipped bit, and its reader panics on some.
const CHECKSUM_KEY: &str = "stratigraph.crc32c";

/// The checksum's digits before they are known.
const NO_DIGITS: &str = "00000000";

/// Rows of a row group; the last has fewer. As many are read and written at a time: the memory that
/// a roll-up takes depends on this and its size on disk alone.
const ROW_GROUP_ROWS: usize = 512;

const KIND_COMMIT: &str = "commit";
const KIND_CAPTURE: &str = "capture";
const KIND_FILE: &str = "file";
const KIND_RETIRED: &str = "retired";

/// The columns whose values are all different, or nearly all null: a dictionary would be larger.
const WITHOUT_DICTIONARY: [&str; 10] = [
    "nonce",
    "time",
    "session",
    "path",
    "crc32c",
    "footer_crc32c",
    "previous_crc32c",
    "record_crc32c",
    "run_json",
    "column_crc32c",
];

/// The columns that are compressed, unless nothing is. The others are short by their dictionaries.
const COMPRESSED: [&str; 5] = [
    "path",
    "crc32c",
    "footer_crc32c",
    "run_json",
    "column_crc32c",
];

/// The columns of format 1.4 and before: later ones may be missing.
const NUM_FIRST_COLUMNS: usize = 14;

/// The columns of a roll-up.
pub fn rollup_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
        let long = |name, nullable| Field::new(name, DataType::Int64, nullable);
        let int = |name| Field::new(name, DataType::Int32, true);
        Arc::new(Schema::new(vec![
            long("number", false),
            text("kind", false),
            text("nonce", true),
            text("time", true),
            int("rank"),
            text("session", true),
            int("epoch"),
            long("step", true),
            text("table", true),
            text("layer", true),
            text("path", true),
            long("rows", true),
            long("bytes", true),
            text("crc32c", true),
            long("footer_bytes", true),
            text("footer_crc32c", true),
            text("run_id", true),
            text("run_crc32c", true),
            text("previous_crc32c", true),
            text("record_crc32c", true),
            Field::new("final", DataType::Boolean, true),
            text("run_json", true),
            text("column_crc32c", true),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// The columns as Parquet sees them.
fn parquet_schema() -> &'static SchemaDescriptor {
    static SCHEMA: LazyLock<SchemaDescriptor> = LazyLock::new(|| {
        ArrowSchemaConverter::new()
            .convert(&rollup_schema())
            .expect("texts and whole numbers have Parquet types")
    });
    &SCHEMA
}

/// Why a roll-up could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadRollupError {
    /// It is no whole Parquet file.
    #[error("it is no whole Parquet file")]
    Parquet(#[from] ParquetError),
    /// Whole, but of another shape.
    #[error("it is no checkpoint of this format: {0}")]
    Malformed(String),
    /// The bytes changed after they were written.
    #[error("its checksum is {written}, its bytes say {computed}: it was damaged")]
    Damaged {
        /// What the footer says.
        written: String,
        /// What the bytes give.
        computed: Crc32c,
    },
}

#[derive(Default)]
struct Columns {
    number: Int64Builder,
    kind: StringBuilder,
    nonce: StringBuilder,
    time: StringBuilder,
    rank: Int32Builder,
    session: StringBuilder,
    epoch: Int32Builder,
    step: Int64Builder,
    table: StringBuilder,
    layer: StringBuilder,
    path: StringBuilder,
    rows: Int64Builder,
    bytes: Int64Builder,
    crc32c: StringBuilder,
    footer_bytes: Int64Builder,
    footer_crc32c: StringBuilder,
    run_id: StringBuilder,
    run_crc32c: StringBuilder,
    previous_crc32c: StringBuilder,
    record_crc32c: StringBuilder,
    is_final: BooleanBuilder,
    run_json: StringBuilder,
    column_crc32c: StringBuilder,
}

/// One row; what a kind does not have is null.
#[derive(Default)]
struct Row<'a> {
    number: u64,
    kind: &'static str,
    commit: Option<&'a CommitRecord>,
    crc32c: Option<Crc32c>,
    session: Option<String>,
    epoch: Option<Epoch>,
    step: Option<Step>,
    path: Option<&'a str>,
    file: Option<&'a FileEntry>,
}

/// The rows of a record, of which this is the checksum.
fn rows_of(record: &CommitRecord, crc32c: Option<Crc32c>) -> impl Iterator<Item = Row<'_>> {
    let row = |kind| Row {
        number: record.number,
        kind,
        ..Row::default()
    };
    let commit = Row {
        commit: Some(record),
        crc32c,
        session: record.session.as_ref().map(serde_json::Value::to_string),
        ..row(KIND_COMMIT)
    };
    let captures = record.captures.iter().map(move |capture| Row {
        epoch: Some(capture.epoch),
        step: Some(capture.step),
        ..row(KIND_CAPTURE)
    });
    let files = record.files.iter().map(move |file| Row {
        epoch: Some(file.epoch),
        path: Some(&file.path),
        file: Some(file),
        ..row(KIND_FILE)
    });
    let retired = record.retired.iter().map(move |path| Row {
        path: Some(path),
        ..row(KIND_RETIRED)
    });
    std::iter::once(commit)
        .chain(captures)
        .chain(files)
        .chain(retired)
}

impl Columns {
    fn num_rows(&self) -> usize {
        self.number.len()
    }

    fn push(&mut self, row: Row<'_>) {
        let (commit, file) = (row.commit, row.file);
        self.number.append_value(row.number.cast_signed());
        self.kind.append_value(row.kind);
        self.nonce.append_option(commit.map(|c| c.nonce.as_str()));
        self.time.append_option(commit.map(|c| c.time.as_str()));
        self.rank.append_option(commit.map(|c| c.rank.0));
        self.session.append_option(row.session);
        self.epoch.append_option(row.epoch.map(|e| e.0));
        self.step.append_option(row.step.map(|s| s.0));
        self.table.append_option(file.map(|f| &*f.table));
        self.layer
            .append_option(file.and_then(|f| f.layer.as_ref()).map(LayerLabel::as_str));
        self.path.append_option(row.path);
        self.rows.append_option(file.map(|f| f.rows.cast_signed()));
        self.bytes
            .append_option(file.map(|f| f.bytes.cast_signed()));
        self.crc32c
            .append_option(file.map(|f| f.crc32c.to_string()));
        let footer = file.and_then(FileEntry::footer);
        self.footer_bytes
            .append_option(footer.map(|footer| footer.bytes.cast_signed()));
        self.footer_crc32c
            .append_option(footer.map(|footer| footer.crc32c.to_string()));
        let digits = |crc32c: Option<Crc32c>| crc32c.map(|crc32c| crc32c.to_string());
        self.run_id
            .append_option(commit.and_then(|c| c.run_id.as_ref()).map(Nonce::as_str));
        self.run_crc32c
            .append_option(digits(commit.and_then(|c| c.run_crc32c)));
        self.previous_crc32c
            .append_option(digits(commit.and_then(|c| c.previous_crc32c)));
        self.record_crc32c.append_option(digits(row.crc32c));
        self.is_final.append_option(commit.map(|c| c.is_final));
        self.run_json
            .append_option(commit.and_then(|c| c.run_json.as_deref()));
        let columns = file.and_then(|f| f.column_crc32c.clone());
        self.column_crc32c.append_option(columns.map(String::from));
    }

    /// The rows since the last call.
    fn take(&mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.number.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.nonce.finish()),
            Arc::new(self.time.finish()),
            Arc::new(self.rank.finish()),
            Arc::new(self.session.finish()),
            Arc::new(self.epoch.finish()),
            Arc::new(self.step.finish()),
            Arc::new(self.table.finish()),
            Arc::new(self.layer.finish()),
            Arc::new(self.path.finish()),
            Arc::new(self.rows.finish()),
            Arc::new(self.bytes.finish()),
            Arc::new(self.crc32c.finish()),
            Arc::new(self.footer_bytes.finish()),
            Arc::new(self.footer_crc32c.finish()),
            Arc::new(self.run_id.finish()),
            Arc::new(self.run_crc32c.finish()),
            Arc::new(self.previous_crc32c.finish()),
            Arc::new(self.record_crc32c.finish()),
            Arc::new(self.is_final.finish()),
            Arc::new(self.run_json.finish()),
            Arc::new(self.column_crc32c.finish()),
        ]
    }
}

/// Makes a roll-up of records that are given in order and without holes. Holds the columns of
/// one row group, and of those before it what goes to the disk.
pub(crate) struct Encoder {
    columns: Columns,
    writer: SerializedFileWriter<Vec<u8>>,
}

impl Encoder {
    pub(crate) fn try_new(compress: Compress) -> Result<Self, ParquetError> {
        let mut properties = WriterProperties::builder()
            // Whoever opens a roll-up reads all of it.
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .set_key_value_metadata(Some(vec![
                KeyValue::new(FORMAT_KEY.to_owned(), FORMAT_VERSION.to_string()),
                KeyValue::new(CHECKSUM_KEY.to_owned(), NO_DIGITS.to_owned()),
            ]));
        for column in WITHOUT_DICTIONARY {
            let column = ColumnPath::from(column);
            properties = properties.set_column_dictionary_enabled(column, false);
        }
        let compressed: &[&str] = match compress {
            Compress::None => &[],
            Compress::Auto | Compress::Size => &COMPRESSED,
        };
        for &column in compressed {
            let zstd = Compression::ZSTD(ZstdLevel::default());
            properties = properties.set_column_compression(ColumnPath::from(column), zstd);
        }
        let schema = parquet_schema().root_schema_ptr();
        let properties = Arc::new(properties.build());
        Ok(Self {
            columns: Columns::default(),
            writer: SerializedFileWriter::new(Vec::new(), schema, properties)?,
        })
    }

    /// Adds a record; its checksum is known unless an earlier version rolled it up.
    pub(crate) fn push(
        &mut self,
        record: &CommitRecord,
        crc32c: Option<Crc32c>,
    ) -> Result<(), ParquetError> {
        for row in rows_of(record, crc32c) {
            self.columns.push(row);
            if self.columns.num_rows() == ROW_GROUP_ROWS {
                self.end_row_group()?;
            }
        }
        Ok(())
    }

    /// Writes the rows so far column by column, so that one encoder at a time takes memory.
    fn end_row_group(&mut self) -> Result<(), ParquetError> {
        let schema = rollup_schema();
        let mut row_group = self.writer.next_row_group()?;
        for (field, values) in schema.fields().iter().zip(self.columns.take()) {
            let column = row_group.next_column()?;
            let mut column = column.expect("the file has the columns of the schema");
            write_column(column.untyped(), &values, field.is_nullable())?;
            column.close()?;
        }
        row_group.close()?;
        Ok(())
    }

    /// The Parquet file.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, ParquetError> {
        if self.columns.num_rows() > 0 {
            self.end_row_group()?;
        }
        let mut file = self.writer.into_inner()?;
        let digits = find_digits(&file).expect("the footer has the key just written");
        let crc = Crc32c::of(&file);
        file[digits].copy_from_slice(crc.to_string().as_bytes());
        Ok(file)
    }
}

/// Where the checksum's digits stand: behind its key in the footer, which comes last in the file,
/// and two bytes that say that a text of eight bytes follows.
fn find_digits(file: &[u8]) -> Option<std::ops::Range<usize>> {
    let key = CHECKSUM_KEY.as_bytes();
    let at = file.windows(key.len()).rposition(|window| window == key)?;
    let start = at + key.len() + 2;
    let digits = start..start + NO_DIGITS.len();
    (digits.end <= file.len()).then_some(digits)
}

/// Checks the checksum; nothing of the file was interpreted before.
fn check_digits(mut file: Vec<u8>) -> Result<Vec<u8>, ReadRollupError> {
    let digits = find_digits(&file).ok_or_else(|| {
        ReadRollupError::Malformed("it has no checksum: it was cut off or damaged".to_owned())
    })?;
    let written = String::from_utf8_lossy(&file[digits.clone()]).into_owned();
    file[digits].copy_from_slice(NO_DIGITS.as_bytes());
    let computed = Crc32c::of(&file);
    if computed.to_string() == written {
        Ok(file)
    } else {
        Err(ReadRollupError::Damaged { written, computed })
    }
}

/// Where a file's checksum stands, what is written there, if it is a checksum, and what the file's bytes
/// give; none where there is no place for it.
pub(crate) fn checksums(file: &[u8]) -> Option<(std::ops::Range<usize>, Option<Crc32c>, Crc32c)> {
    let digits = find_digits(file)?;
    let (before, rest) = file.split_at(digits.start);
    let (written, behind) = rest.split_at(digits.len());
    let found = Crc32c::of(before)
        .append(NO_DIGITS.as_bytes())
        .append(behind);
    Some((digits, Crc32c::from_digits(written), found))
}

/// Reads a roll-up, checks its checksum, and only then gives each record to `visit`, in order, with the
/// record's own checksum if that was kept.
pub(crate) fn decode(
    bytes: Vec<u8>,
    visit: &mut dyn FnMut(CommitRecord, Option<Crc32c>),
) -> Result<(), ReadRollupError> {
    let bytes = Arc::new(Bytes::from(check_digits(bytes)?));
    caught(|| decode_checked(&bytes, visit))
        .map_err(|error| ReadRollupError::Malformed(error.to_string()))?
}

/// Reads a roll-up whose bytes are those that were written.
fn decode_checked(
    bytes: &Arc<Bytes>,
    visit: &mut dyn FnMut(CommitRecord, Option<Crc32c>),
) -> Result<(), ReadRollupError> {
    let malformed = |what: &str| ReadRollupError::Malformed(what.to_owned());
    let metadata = read_footer(bytes.as_ref())?;
    let num_columns = num_known_columns(metadata.file_metadata().schema_descr());
    let num_columns = num_columns.ok_or_else(|| malformed("it has other columns"))?;
    let columns: Vec<usize> = (0..num_columns).collect();
    check_pages(bytes.as_ref(), &metadata, &columns)?;
    let schema = rollup_schema().project(&columns);
    let schema = Arc::new(schema.expect("no more columns than there are"));
    let mut begun = None;
    for row_group in metadata.row_groups() {
        let rows = read_row_group(bytes, row_group, &columns, &schema)?;
        visit_records(&rows, &mut begun, visit).map_err(ReadRollupError::Malformed)?;
    }
    if let Some((last, crc32c)) = begun {
        visit(last, crc32c);
    }
    Ok(())
}

/// How many columns a roll-up has of those that are known, which come first; none if it is no
/// roll-up. An earlier version has fewer; what a later one has more may be null.
fn num_known_columns(schema: &SchemaDescriptor) -> Option<usize> {
    type Column = (String, parquet::basic::Type, i16, i16);
    let columns = |schema: &SchemaDescriptor| -> Vec<Column> {
        let leaves = schema.columns().iter();
        let column = |leaf: &Arc<ColumnDescriptor>| {
            let (name, levels) = (leaf.path().string(), leaf.max_def_level());
            (name, leaf.physical_type(), levels, leaf.max_rep_level())
        };
        leaves.map(column).collect()
    };
    let (found, known) = (columns(schema), columns(parquet_schema()));
    let num_known = found.len().min(known.len());
    let (first, later) = found.split_at(num_known);
    let is_rollup = num_known >= NUM_FIRST_COLUMNS
        && first == &known[..num_known]
        && later.iter().all(|(.., definition, _)| *definition > 0);
    is_rollup.then_some(num_known)
}

/// Puts rows together to records; `begun` is the one that the rows before began. An error says what a
/// value is not, or that it is missing.
fn visit_records(
    batch: &RecordBatch,
    begun: &mut Option<(CommitRecord, Option<Crc32c>)>,
    visit: &mut dyn FnMut(CommitRecord, Option<Crc32c>),
) -> Result<(), String> {
    let text = |column: usize, row: usize| {
        let values = batch.column(column).as_string::<i32>();
        let value = values.is_valid(row).then(|| values.value(row).to_owned());
        value.ok_or_else(|| missing(batch, column))
    };
    let int = |column: usize, row: usize| {
        let values = batch.column(column).as_primitive::<Int32Type>();
        let value = values.is_valid(row).then(|| values.value(row));
        value.ok_or_else(|| missing(batch, column))
    };
    let long = |column: usize, row: usize| {
        let values = batch.column(column).as_primitive::<Int64Type>();
        let value = values.is_valid(row).then(|| values.value(row));
        value.ok_or_else(|| missing(batch, column))
    };
    let count = |column: usize, row: usize| {
        let number = long(column, row)?;
        let count = u64::try_from(number).ok().and_then(number::check_count);
        count.ok_or_else(|| format!("{number} is no count"))
    };
    // What an earlier version has no column for is as if it were null.
    let is_there = |column: usize, row: usize| {
        let columns = batch.columns();
        columns
            .get(column)
            .is_some_and(|values| values.is_valid(row))
    };
    let checksum = |column: usize, row: usize| match is_there(column, row) {
        true => checked::<_, Crc32c>(text(column, row)?).map(Some),
        false => Ok(None),
    };
    for row in 0..batch.num_rows() {
        let kind = text(1, row)?;
        if kind == KIND_COMMIT {
            let session = text(5, row).ok();
            let session = session.map(|session| serde_json::from_str(&session));
            let record = CommitRecord {
                number: count(0, row)?,
                nonce: checked(text(2, row)?)?,
                run_id: match is_there(16, row) {
                    true => Some(checked(text(16, row)?)?),
                    false => None,
                },
                run_crc32c: checksum(17, row)?,
                previous_crc32c: checksum(18, row)?,
                time: text(3, row)?,
                rank: checked(int(4, row)?)?,
                session: session.transpose().map_err(|e| e.to_string())?,
                run_json: match is_there(21, row) {
                    true => Some(text(21, row)?),
                    false => None,
                },
                is_final: is_there(20, row) && batch.column(20).as_boolean().value(row),
                captures: Vec::new(),
                files: Vec::new(),
                retired: Vec::new(),
            };
            let crc32c = checksum(19, row)?;
            if let Some((whole, crc32c)) = begun.replace((record, crc32c)) {
                visit(whole, crc32c);
            }
            continue;
        }
        let (record, _) = begun.as_mut().ok_or("a row comes before its commit")?;
        match kind.as_str() {
            KIND_CAPTURE => record.captures.push(CaptureId {
                epoch: checked(int(6, row)?)?,
                step: checked(long(7, row)?)?,
            }),
            KIND_FILE => {
                let file = FileEntry {
                    table: checked(text(8, row)?)?,
                    epoch: checked(int(6, row)?)?,
                    layer: text(9, row)
                        .ok()
                        .map(checked::<_, LayerLabel>)
                        .transpose()?,
                    path: checked(text(10, row)?)?,
                    rows: count(11, row)?,
                    bytes: count(12, row)?,
                    footer_bytes: match is_there(14, row) {
                        true => Some(count(14, row)?),
                        false => None,
                    },
                    footer_crc32c: checksum(15, row)?,
                    column_crc32c: match is_there(22, row) {
                        true => Some(checked(text(22, row)?)?),
                        false => None,
                    },
                    crc32c: checked(text(13, row)?)?,
                };
                file.check_place().map_err(|error| error.to_string())?;
                record.files.push(file);
            }
            KIND_RETIRED => record.retired.push(checked(text(10, row)?)?),
            _ => return Err(format!("a row is of kind {kind:?}")),
        }
    }
    Ok(())
}

fn missing(batch: &RecordBatch, column: usize) -> String {
    format!("a row lacks its {}", batch.schema().field(column).name())
}

/// A value as what it is said to be.
fn checked<V, T: TryFrom<V, Error: std::fmt::Display>>(value: V) -> Result<T, String> {
    T::try_from(value).map_err(|error| error.to_string())
}

#[cfg(test)]
pub(crate) mod tests;
