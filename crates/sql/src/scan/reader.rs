//! Reads part files: committed, local, never changing.
//!
//! A run has thousands of small files, so what every file costs before its first value is what a
//! query costs. A part file of this format version has the columns of its table: its schema is not
//! decoded again, nor are the statistics that the commits already stand for.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use bytes::Bytes;
use datafusion::common::{DataFusionError, Result};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ArrowSchemaConverter, ProjectionMask};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{FileMetaData, ParquetMetaDataReader, ParquetStatisticsPolicy};
use parquet::file::reader::ChunkReader;
use trace::{Crc32c, FORMAT_KEY, FORMAT_VERSION, read_row_group};

use crate::run::error::BadFileError;

/// A file up to this size is read in one go and held against its checksum; of a larger one, only
/// what a query asks for is read.
pub const WHOLE_FILE_BYTES: u64 = 4 << 20;

/// Reads some columns of a table's part files.
#[derive(Debug, Clone)]
pub(super) struct PartReader {
    /// The columns that are read, in the table's order.
    columns: SchemaRef,
    /// Where they are among the table's.
    indices: Arc<[usize]>,
    mask: ProjectionMask,
    batch_rows: usize,
    /// For files whose columns are known from their format version.
    known: ArrowReaderOptions,
}

/// Which file is read, and what was committed of it.
#[derive(Debug, Clone)]
pub(super) struct PartFile {
    pub(super) path: PathBuf,
    pub(super) num_bytes: u64,
    /// None where the run has no commits.
    pub(super) crc32c: Option<Crc32c>,
}

impl PartReader {
    /// Reads the columns at `indices`, which ascend, of files with the columns of `stored`, at most
    /// `batch_rows` rows at a time.
    pub(super) fn try_new(
        stored: &SchemaRef,
        indices: &[usize],
        batch_rows: usize,
    ) -> Result<Self> {
        let leaves = Arc::new(ArrowSchemaConverter::new().convert(stored)?);
        Ok(Self {
            columns: Arc::new(stored.project(indices)?),
            indices: indices.into(),
            mask: ProjectionMask::roots(&leaves, indices.iter().copied()),
            batch_rows,
            known: ArrowReaderOptions::new()
                .with_schema(Arc::clone(stored))
                .with_parquet_schema(leaves)
                .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
                .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
                .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll),
        })
    }

    /// Opens a file. The rows of a small one are decoded at once, others as they are asked for.
    pub(super) fn open(&self, file: PartFile) -> Result<PartRows> {
        let content = file.content()?;
        let rows = self
            .rows_of(content)
            .map_err(|error| file.bad(format!("is no whole Parquet file ({error})")))?;
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
    pub(super) fn read_whole(&self, file: &PartFile) -> Result<RecordBatch> {
        let rows = self.open(file.clone())?.collect::<Result<Vec<_>>>()?;
        match &rows[..] {
            [rows] => Ok(rows.clone()),
            rows => Ok(concat_batches(&self.columns, rows)?),
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

/// The rows of a file, batch by batch.
pub(super) struct PartRows {
    file: PartFile,
    rows: Rows,
}

enum Rows {
    Decoded(Option<RecordBatch>),
    Decoding {
        rows: ParquetRecordBatchReader,
        /// The columns that are wanted, where those of the file are others.
        columns: Option<SchemaRef>,
    },
}

impl Iterator for PartRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let (rows, columns) = match &mut self.rows {
            Rows::Decoded(rows) => return rows.take().map(Ok),
            Rows::Decoding { rows, columns } => (rows, columns),
        };
        let batch = match rows.next()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(self.file.bad(format!("cannot be decoded ({error})")))),
        };
        Some(match columns {
            None => Ok(batch),
            Some(columns) => adapt(&batch, columns)
                .map_err(|error| self.file.bad(format!("has other columns ({error})"))),
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

enum Content {
    Whole(Bytes),
    Parts(File),
}

impl PartFile {
    fn bad(&self, problem: String) -> DataFusionError {
        DataFusionError::External(Box::new(BadFileError {
            path: self.path.clone(),
            problem,
        }))
    }

    fn unreadable(&self, error: &io::Error) -> DataFusionError {
        self.bad(match error.kind() {
            io::ErrorKind::NotFound => "is committed, but not there".to_owned(),
            io::ErrorKind::UnexpectedEof => format!(
                "is shorter than the {} bytes that were committed",
                self.num_bytes
            ),
            _ => format!("cannot be read: {error}"),
        })
    }

    fn content(&self) -> Result<Content> {
        let read = self.read().map_err(|error| self.unreadable(&error))?;
        if let (Content::Whole(bytes), Some(committed)) = (&read, self.crc32c) {
            let found = Crc32c::of(bytes);
            if found != committed {
                return Err(self.bad(format!(
                    "was damaged: its checksum is {found}, {committed} was committed"
                )));
            }
        }
        Ok(read)
    }

    fn read(&self) -> io::Result<Content> {
        let file = File::open(&self.path)?;
        if self.num_bytes > WHOLE_FILE_BYTES {
            if file.metadata()?.len() < self.num_bytes {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            return Ok(Content::Parts(file));
        }
        let mut bytes = Vec::with_capacity(self.num_bytes as usize);
        file.take(self.num_bytes).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < self.num_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Content::Whole(bytes.into()))
    }
}

#[cfg(test)]
mod tests;
