//! Reads part files: committed, local, never changing.
//!
//! A run has thousands of small files, so what every file costs before its first value is what a
//! query costs. A part file of this format version has the columns of its table: its schema is not
//! decoded again, nor are the statistics that the commits already stand for.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ArrowSchemaConverter, ProjectionMask};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataReader,
    ParquetStatisticsPolicy,
};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::ColumnDescPtr;

use crate::caught::caught;
use crate::checksum::Crc32c;
use crate::column_checksums;
use crate::columns::read_row_group;
use crate::part_file::{BadFileError, CheckedParts, Content, FileProblem, PartFile, Stretch};
use crate::run::{FORMAT_KEY, FORMAT_VERSION};
use crate::table::Table;

/// Reads some columns of a table's part files.
#[derive(Debug, Clone)]
pub struct PartReader {
    /// The columns that are read, in the table's order.
    columns: SchemaRef,
    /// Where they are among the table's.
    indices: Arc<[usize]>,
    mask: ProjectionMask,
    batch_rows: usize,
    /// Whether all of a file is held against its checksum, whatever is read of it.
    checks_all: bool,
    /// For files whose columns are known from their format version.
    known: ArrowReaderOptions,
}

impl PartReader {
    /// Reads the columns at `indices`, which ascend, of files with the columns of `stored`, at most
    /// `batch_rows` rows at a time. What is read is held against its checksum before a row is given:
    /// the columns and the footer where the file has checksums of these, else all of the file.
    ///
    /// # Errors
    /// If there is no such column, or one is of a type that Parquet does not have.
    pub fn try_new(
        stored: &SchemaRef,
        indices: &[usize],
        batch_rows: usize,
    ) -> Result<Self, ArrowError> {
        let leaves = Arc::new(ArrowSchemaConverter::new().convert(stored)?);
        Ok(Self {
            columns: Arc::new(stored.project(indices)?),
            indices: indices.into(),
            mask: ProjectionMask::roots(&leaves, indices.iter().copied()),
            batch_rows,
            checks_all: false,
            known: ArrowReaderOptions::new()
                .with_schema(Arc::clone(stored))
                .with_parquet_schema(leaves)
                .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
                .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
                .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll),
        })
    }

    /// Reads columns of a table by their names, or all of them where none is named; of every file,
    /// however large, all bytes are held against its checksum before a row is given, and nothing may
    /// come after them.
    ///
    /// # Errors
    /// If the table has no such column.
    pub fn checked(table: Table, columns: &[&str], batch_rows: usize) -> Result<Self, ArrowError> {
        let stored = table.schema();
        let mut indices: Vec<usize> = match columns {
            [] => (0..stored.fields().len()).collect(),
            columns => {
                let indices = columns.iter().map(|name| stored.index_of(name));
                indices.collect::<Result<_, _>>()?
            }
        };
        indices.sort_unstable();
        let reader = Self::try_new(&stored, &indices, batch_rows)?;
        Ok(Self {
            checks_all: true,
            ..reader
        })
    }

    /// Opens a file. The rows of a small one are decoded at once, others as they are asked for.
    ///
    /// # Errors
    /// If what is read of the file is not what was committed, or it is no Parquet file.
    pub fn open(&self, file: PartFile) -> Result<PartRows, BadFileError> {
        let content = file.content(self.checks_all)?;
        let rows = caught(|| self.rows_of(&file, content));
        match rows.unwrap_or_else(|error| Err(FileProblem::Panicked(error))) {
            Ok(rows) => Ok(PartRows { file, rows }),
            Err(problem) => Err(file.bad(problem)),
        }
    }

    fn rows_of(&self, file: &PartFile, content: Content) -> Result<Rows, FileProblem> {
        match content {
            Content::Whole(bytes) => self.rows_in_memory(bytes),
            Content::Checked(input) => self.rows(input).map_err(FileProblem::NotParquet),
            Content::ByColumn(parts) => self.rows_by_column(file, parts),
        }
    }

    /// The rows of a file of which nothing but the footer was read: that of the columns that are asked
    /// for now is.
    fn rows_by_column(
        &self,
        file: &PartFile,
        mut parts: CheckedParts,
    ) -> Result<Rows, FileProblem> {
        let (metadata, columns) = match self.known_metadata(&parts) {
            Some(metadata) => (metadata, self.indices.to_vec()),
            None => self
                .other_metadata(&parts)
                .map_err(FileProblem::NotParquet)?,
        };
        let Some(checksums) = column_checksums::of_chunks(&metadata) else {
            // Another writer's, who left them out.
            let checked = file.checked()?;
            return self.rows(checked).map_err(FileProblem::NotParquet);
        };
        let stretches = stretches(&metadata, &columns, &checksums, file.num_bytes);
        parts.read(stretches.map_err(FileProblem::NotParquet)?)?;
        match parts.is_in_memory() {
            true => self.rows_in_memory(parts),
            false => self.rows(parts).map_err(FileProblem::NotParquet),
        }
    }

    /// What the footer says of a file that has the table's columns, as those of this format version;
    /// none of another.
    fn known_metadata(&self, input: &impl ChunkReader) -> Option<ParquetMetaData> {
        let metadata = ParquetMetaDataReader::new()
            .with_metadata_options(Some(self.known.metadata_options().clone()))
            .parse_and_finish(input)
            .ok()?;
        is_of_this_version(metadata.file_metadata()).then_some(metadata)
    }

    /// What the footer says of any file, and where it has the columns that are read.
    fn other_metadata(
        &self,
        input: &impl ChunkReader,
    ) -> ParquetResult<(ParquetMetaData, Vec<usize>)> {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(input)?;
        let leaves = metadata.file_metadata().schema_descr().columns().iter();
        let is_wanted = |leaf: &ColumnDescPtr| {
            let name = leaf.path().parts().first();
            name.is_some_and(|name| self.columns.index_of(name).is_ok())
        };
        let wanted = leaves.enumerate().filter(|(_, leaf)| is_wanted(leaf));
        let wanted = wanted.map(|(index, _)| index).collect();
        Ok((metadata, wanted))
    }

    fn rows_in_memory<T: ChunkReader + 'static>(&self, input: T) -> Result<Rows, FileProblem> {
        let input = Arc::new(input);
        let rows = match self.small_part(&input) {
            Ok(Some(rows)) => return Ok(Rows::Decoded(Some(rows))),
            Ok(None) => Arc::into_inner(input).map(|input| self.rows(input)),
            Err(error) => Some(Err(error)),
        };
        let rows = rows.expect("nobody else holds the file");
        rows.map_err(FileProblem::NotParquet)
    }

    /// All rows of a file of this format version that has no more than go into one batch.
    fn small_part<T: ChunkReader + 'static>(
        &self,
        input: &Arc<T>,
    ) -> ParquetResult<Option<RecordBatch>> {
        // What cannot be read with the table's columns is read with its own.
        let Some(metadata) = self.known_metadata(input.as_ref()) else {
            return Ok(None);
        };
        let [row_group] = metadata.row_groups() else {
            return Ok(None);
        };
        let is_small =
            u64::try_from(row_group.num_rows()).is_ok_and(|n| n <= self.batch_rows as u64);
        if !is_small {
            return Ok(None);
        }
        read_row_group(input, row_group, &self.indices, &self.columns).map(Some)
    }

    /// All rows of a file that has few.
    ///
    /// # Errors
    /// As those of [`PartReader::open`], and if the rows cannot be decoded.
    pub fn read_whole(&self, file: &PartFile) -> Result<RecordBatch, BadFileError> {
        let rows = self.open(file.clone())?.collect::<Result<Vec<_>, _>>()?;
        match &rows[..] {
            [rows] => Ok(rows.clone()),
            rows => concat_batches(&self.columns, rows)
                .map_err(|error| file.bad(FileProblem::Undecodable(error))),
        }
    }

    /// The rows of any file, batch by batch.
    fn rows<T: ChunkReader + 'static>(&self, input: T) -> ParquetResult<Rows> {
        let known = ArrowReaderMetadata::load(&input, self.known.clone());
        let (metadata, mask, columns) = match known {
            Ok(known) if is_of_this_version(known.metadata().file_metadata()) => {
                (known, self.mask.clone(), None)
            }
            // Of another minor version, which may lack columns or have more.
            _ => {
                let found = ArrowReaderMetadata::load(&input, ArrowReaderOptions::new())?;
                let names = self.columns.fields().iter();
                let names = names.filter_map(|field| found.schema().index_of(field.name()).ok());
                let mask = ProjectionMask::roots(found.parquet_schema(), names);
                (found, mask, Some(Arc::clone(&self.columns)))
            }
        };
        let rows = ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata)
            .with_projection(mask)
            .with_batch_size(self.batch_rows)
            .build()?;
        Ok(Rows::Decoding { rows, columns })
    }
}

/// Where the columns are that are read, row group by row group, with their checksums.
fn stretches(
    metadata: &ParquetMetaData,
    columns: &[usize],
    checksums: &[Crc32c],
    num_bytes: u64,
) -> ParquetResult<Vec<Stretch>> {
    let mut stretches = Vec::new();
    let mut first = 0;
    for row_group in metadata.row_groups() {
        for &column in columns {
            let chunk = row_group.columns().get(column);
            let range = chunk.and_then(|chunk| range_of(chunk, num_bytes));
            let (Some(chunk), Some(range)) = (chunk, range) else {
                let message = format!("there is no column {column} where its footer says");
                return Err(ParquetError::General(message));
            };
            stretches.push(Stretch {
                range,
                crc32c: checksums[first + column],
                name: format!("column {}", chunk.column_path()),
            });
        }
        first += row_group.num_columns();
    }
    stretches.sort_by_key(|stretch| stretch.range.start);
    Ok(stretches)
}

/// The bytes of a column chunk in a file of so many; none if the footer cannot mean that.
fn range_of(chunk: &ColumnChunkMetaData, num_bytes: u64) -> Option<Range<u64>> {
    let start = chunk
        .dictionary_page_offset()
        .unwrap_or_else(|| chunk.data_page_offset());
    let start = u64::try_from(start).ok()?;
    let end = start.checked_add(u64::try_from(chunk.compressed_size()).ok()?)?;
    (end <= num_bytes).then_some(start..end)
}

fn is_of_this_version(file: &FileMetaData) -> bool {
    let entries = file.key_value_metadata().into_iter().flatten();
    let mut versions = entries.filter(|entry| entry.key == FORMAT_KEY);
    let version = versions.next().and_then(|entry| entry.value.as_deref());
    version == Some(FORMAT_VERSION.to_string().as_str())
}

/// The rows of a file, batch by batch; an error says what is wrong with the file.
#[derive(Debug)]
pub struct PartRows {
    file: PartFile,
    rows: Rows,
}

#[derive(Debug)]
enum Rows {
    Decoded(Option<RecordBatch>),
    Decoding {
        rows: ParquetRecordBatchReader,
        /// The columns that are wanted, where those of the file are others.
        columns: Option<SchemaRef>,
    },
}

impl Iterator for PartRows {
    type Item = Result<RecordBatch, BadFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (rows, columns) = match &mut self.rows {
            Rows::Decoded(rows) => return rows.take().map(Ok),
            Rows::Decoding { rows, columns } => (rows, columns),
        };
        let batch = match caught(|| rows.next()) {
            Ok(next) => next?.map_err(FileProblem::Undecodable),
            Err(error) => {
                let problem = FileProblem::Panicked(error);
                // Nothing is asked of what decoded it any more.
                self.rows = Rows::Decoded(None);
                return Some(Err(self.file.bad(problem)));
            }
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(problem) => return Some(Err(self.file.bad(problem))),
        };
        Some(match columns {
            None => Ok(batch),
            Some(columns) => adapt(&batch, columns)
                .map_err(|error| self.file.bad(FileProblem::OtherColumns(error))),
        })
    }
}

/// The batch with the columns of `wanted`: those that it lacks are null.
fn adapt(batch: &RecordBatch, wanted: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = wanted.fields().iter().map(|field| -> ArrayRef {
        match batch.column_by_name(field.name()) {
            Some(column) => Arc::clone(column),
            None => new_null_array(field.data_type(), batch.num_rows()),
        }
    });
    // A query that only counts wants no column at all.
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(wanted), columns.collect(), &options)
}

#[cfg(test)]
mod tests;
