//! Reads part files: committed, local, never changing.
//!
//! A run has thousands of small files, so what every file costs before its first value is what a
//! query costs. A part file of this format version has the columns of its table: its schema is not
//! decoded again, nor are the statistics that the commits already stand for.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ArrowSchemaConverter, ProjectionMask};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{FileMetaData, ParquetMetaDataReader, ParquetStatisticsPolicy};
use parquet::file::reader::ChunkReader;

use crate::caught::caught;
use crate::columns::read_row_group;
use crate::part_file::{BadFileError, Content, FileProblem, PartFile};
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
    /// Whether files that are not read in one go are held against their checksums, too.
    checks_all: bool,
    /// For files whose columns are known from their format version.
    known: ArrowReaderOptions,
}

impl PartReader {
    /// Reads the columns at `indices`, which ascend, of files with the columns of `stored`, at most
    /// `batch_rows` rows at a time. Of files above [`WHOLE_FILE_BYTES`](crate::WHOLE_FILE_BYTES) only
    /// what is asked for is read, and their checksums are not looked at.
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
    /// however large, all bytes are held against its checksum before a row is given.
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
    /// If the file is not what was committed, or is no Parquet file.
    pub fn open(&self, file: PartFile) -> Result<PartRows, BadFileError> {
        let content = file.content(self.checks_all)?;
        let rows = caught(|| self.rows_of(content))
            .map_err(|error| file.bad(FileProblem::Panicked(error)))?
            .map_err(|error| file.bad(FileProblem::NotParquet(error)))?;
        Ok(PartRows { file, rows })
    }

    fn rows_of(&self, content: Content) -> ParquetResult<Rows> {
        match content {
            Content::Whole(bytes) => match self.small_part(&bytes)? {
                Some(rows) => Ok(Rows::Decoded(Some(rows))),
                None => self.rows(bytes),
            },
            Content::Parts(file) => self.rows(file),
        }
    }

    /// All rows of a file of this format version that has no more than go into one batch.
    fn small_part(&self, bytes: &Bytes) -> ParquetResult<Option<RecordBatch>> {
        let metadata = ParquetMetaDataReader::new()
            .with_metadata_options(Some(self.known.metadata_options().clone()))
            .parse_and_finish(bytes);
        // What cannot be read with the table's columns is read with its own.
        let Ok(metadata) = metadata else {
            return Ok(None);
        };
        let [row_group] = metadata.row_groups() else {
            return Ok(None);
        };
        let is_small =
            u64::try_from(row_group.num_rows()).is_ok_and(|n| n <= self.batch_rows as u64);
        if !is_small || !is_of_this_version(metadata.file_metadata()) {
            return Ok(None);
        }
        let file = Arc::new(bytes.clone());
        read_row_group(&file, row_group, &self.indices, &self.columns).map(Some)
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
