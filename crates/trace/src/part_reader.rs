//! Reads part files: committed, never changing, of whatever store.
//!
//! A run has thousands of small files, so what every file costs before its first value is what a
//! query costs. A part file of this format version has the columns of its table: its schema is not
//! decoded again, nor are the statistics that the commits already stand for. One of an earlier minor
//! version is read in the same way if its schema says the same columns.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ArrowSchemaConverter, ProjectionMask};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetStatisticsPolicy};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};

use crate::caught::caught;
use crate::checksum::Crc32c;
use crate::column_checksums;
use crate::columns::{PagedRows, RowFilter, check_pages, num_rows_of_one, read_row_group};
use crate::footer::CheckedFooter;
use crate::part_file::{BadFileError, CheckedParts, Content, FileProblem, PartFile, stretches};
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
    /// Which rows of large files are wanted; all where there is none.
    filter: Option<RowFilter>,
    /// Whether all of a file is held against its checksum, whatever is read of it.
    checks_all: bool,
    /// For files whose columns are known from their format version.
    known: ArrowReaderOptions,
    /// For all others.
    other: ArrowReaderOptions,
    /// The columns of the table, as Parquet has them.
    leaves: Arc<SchemaDescriptor>,
}

/// What a file's footer says.
struct Described {
    metadata: Arc<ParquetMetaData>,
    /// Whether the file has the table's columns, and no others.
    has_table_columns: bool,
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
            filter: None,
            checks_all: false,
            known: without_statistics()
                .with_schema(Arc::clone(stored))
                .with_parquet_schema(Arc::clone(&leaves)),
            other: without_statistics(),
            leaves,
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

    /// Leaves out rows that nobody wants where that spares work: of a file that is read by columns, since it is larger
    /// than [`SMALL_FILE_BYTES`](crate::SMALL_FILE_BYTES). Without a row that is wanted nothing of it is read but the
    /// filter's columns, else no page of lists without one is decoded. Rows that nobody wants may still come. Where
    /// the filter speaks of columns that are not read, nothing is left out.
    #[must_use]
    pub fn with_filter(mut self, filter: RowFilter) -> Self {
        let is_read = |column: &usize| self.indices.contains(column);
        self.filter = Some(filter).filter(|filter| filter.columns.iter().all(is_read));
        self
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
            Content::Whole(bytes) => {
                let described = self.describe_checked(&bytes);
                self.rows_in_memory(bytes, described.map_err(FileProblem::NotParquet)?)
            }
            Content::Checked(parts) => self.rows_in_file(parts),
            Content::ByColumn(parts) => self.rows_by_column(file, parts),
        }
    }

    fn rows_in_file(&self, parts: CheckedParts) -> Result<Rows, FileProblem> {
        let described = self.describe_checked(&parts);
        let rows = described.and_then(|described| self.rows(parts, described, None));
        rows.map_err(FileProblem::NotParquet)
    }

    /// The rows of a file of which nothing but the footer was read: that of the columns that are asked
    /// for now is.
    fn rows_by_column(
        &self,
        file: &PartFile,
        mut parts: CheckedParts,
    ) -> Result<Rows, FileProblem> {
        let described = self.describe(&parts).map_err(FileProblem::NotParquet)?;
        let metadata = &described.metadata;
        let Some(checksums) = column_checksums::of_chunks(metadata, file.columns.as_deref()) else {
            // Another writer's, who left them out.
            return self.rows_in_file(file.checked()?);
        };
        let columns = self.columns_in(&described);
        let mut wanted = None;
        if let Some((filter, num_rows)) = self.filter_of(&described) {
            let num_bytes = file.num_bytes;
            let read = |parts: &mut CheckedParts, columns: &[usize]| {
                read_columns(parts, metadata, columns, &checksums, num_bytes)
            };
            read(&mut parts, &filter.columns)?;
            let input = Arc::new(parts);
            wanted = self
                .wanted(filter, &input, metadata)
                .map_err(FileProblem::NotParquet)?;
            parts = Arc::into_inner(input).expect("nobody else holds the file");
            let num_wanted = wanted
                .as_ref()
                .map_or(num_rows, BooleanBuffer::count_set_bits);
            if num_wanted == 0 {
                return Ok(Rows::Decoded(None));
            }
            let others: Vec<usize> = columns
                .iter()
                .copied()
                .filter(|column| !filter.columns.contains(column))
                .collect();
            read(&mut parts, &others)?;
        } else {
            read_columns(&mut parts, metadata, &columns, &checksums, file.num_bytes)?;
        }
        match parts.is_in_memory() && wanted.is_none() {
            true => self.rows_in_memory(parts, described),
            false => self
                .rows(parts, described, wanted)
                .map_err(FileProblem::NotParquet),
        }
    }

    /// The filter, and how many rows a file has of which it leaves some out.
    fn filter_of(&self, described: &Described) -> Option<(&RowFilter, usize)> {
        let filter = self
            .filter
            .as_ref()
            .filter(|_| described.has_table_columns)?;
        let num_rows = num_rows_of_one(&described.metadata, &self.indices, &self.columns)?;
        Some((filter, num_rows))
    }

    /// Which rows of a file are wanted, of which the filter's columns can be read; none if all are.
    fn wanted<T: ChunkReader + 'static>(
        &self,
        filter: &RowFilter,
        input: &Arc<T>,
        metadata: &ParquetMetaData,
    ) -> ParquetResult<Option<BooleanBuffer>> {
        let places = self.indices.iter().enumerate();
        let places = places.filter(|(_, column)| filter.columns.contains(column));
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        let columns = Arc::new(self.columns.project(&places)?);
        let rows = read_row_group(input, metadata.row_group(0), &filter.columns, &columns)?;
        Ok(filter.wanted(&rows))
    }

    /// What the footer says. That of a file of this format version is read with the table's columns, any
    /// other with its own.
    fn describe(&self, input: &impl ChunkReader) -> ParquetResult<Described> {
        let footer = CheckedFooter::of(input)?;
        let parse = |options: &ArrowReaderOptions| footer.read(Some(options.metadata_options()));
        if let Ok(metadata) = parse(&self.known)
            && minor_version(metadata.file_metadata()) == Some(FORMAT_VERSION.minor)
        {
            return Ok(Described {
                metadata: Arc::new(metadata),
                has_table_columns: true,
            });
        }
        let metadata = parse(&self.other)?;
        let file = metadata.file_metadata();
        let is_earlier = minor_version(file).is_some_and(|minor| minor < FORMAT_VERSION.minor);
        let has_table_columns = is_earlier && has_columns(file.schema_descr(), &self.leaves);
        Ok(Described {
            metadata: Arc::new(metadata),
            has_table_columns,
        })
    }

    /// As [`PartReader::describe`], of a file of which every byte may be read; the pages that are read ask for no
    /// more than they can have.
    fn describe_checked(&self, input: &impl ChunkReader) -> ParquetResult<Described> {
        let described = self.describe(input)?;
        check_pages(input, &described.metadata, &self.columns_in(&described))?;
        Ok(described)
    }

    /// Where a file has the columns that are read.
    fn columns_in(&self, described: &Described) -> Vec<usize> {
        if described.has_table_columns {
            return self.indices.to_vec();
        }
        let file = described.metadata.file_metadata();
        let leaves = file.schema_descr().columns().iter();
        let is_wanted = |leaf: &ColumnDescPtr| {
            let name = leaf.path().parts().first();
            name.is_some_and(|name| self.columns.index_of(name).is_ok())
        };
        let wanted = leaves.enumerate().filter(|(_, leaf)| is_wanted(leaf));
        wanted.map(|(index, _)| index).collect()
    }

    fn rows_in_memory<T: ChunkReader + 'static>(
        &self,
        input: T,
        described: Described,
    ) -> Result<Rows, FileProblem> {
        let input = Arc::new(input);
        let rows = match self.small_part(&input, &described) {
            Ok(Some(rows)) => return Ok(Rows::Decoded(Some(rows))),
            Ok(None) => Arc::into_inner(input).map(|input| self.rows(input, described, None)),
            Err(error) => Some(Err(error)),
        };
        let rows = rows.expect("nobody else holds the file");
        rows.map_err(FileProblem::NotParquet)
    }

    /// All rows of a file with the table's columns that has no more than go into one batch.
    fn small_part<T: ChunkReader + 'static>(
        &self,
        input: &Arc<T>,
        described: &Described,
    ) -> ParquetResult<Option<RecordBatch>> {
        // What does not have the table's columns is read with its own.
        if !described.has_table_columns {
            return Ok(None);
        }
        let [row_group] = described.metadata.row_groups() else {
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

    /// The rows of any file, batch by batch; those alone that are `wanted`, which is of files of the table's columns.
    fn rows<T: ChunkReader + 'static>(
        &self,
        input: T,
        described: Described,
        wanted: Option<BooleanBuffer>,
    ) -> ParquetResult<Rows> {
        let Described {
            metadata,
            has_table_columns,
        } = described;
        let num_rows = num_rows_of_one(&metadata, &self.indices, &self.columns);
        if let Some(num_rows) = num_rows.filter(|_| has_table_columns) {
            let columns = (&self.indices[..], &self.columns);
            let rows = PagedRows::try_new(
                Arc::new(input),
                metadata,
                columns,
                num_rows,
                wanted,
                self.batch_rows,
            )?;
            return Ok(Rows::Paged(Box::new(rows)));
        }
        let (metadata, mask, columns) = if has_table_columns {
            let known = ArrowReaderMetadata::try_new(metadata, self.known.clone())?;
            (known, self.mask.clone(), None)
        } else {
            // Of another minor version, which may lack columns or have more.
            let found = ArrowReaderMetadata::try_new(metadata, self.other.clone())?;
            let names = self.columns.fields().iter();
            let names = names.filter_map(|field| found.schema().index_of(field.name()).ok());
            let mask = ProjectionMask::roots(found.parquet_schema(), names);
            (found, mask, Some(Arc::clone(&self.columns)))
        };
        let rows = ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata)
            .with_projection(mask)
            .with_batch_size(self.batch_rows)
            .build()?;
        Ok(Rows::Decoding { rows, columns })
    }
}

/// Reads columns of a file, and holds them against their checksums.
fn read_columns(
    parts: &mut CheckedParts,
    metadata: &ParquetMetaData,
    columns: &[usize],
    checksums: &[Crc32c],
    num_bytes: u64,
) -> Result<(), FileProblem> {
    let stretches = stretches(metadata, columns, checksums, num_bytes);
    parts.read(stretches.map_err(FileProblem::NotParquet)?)?;
    check_pages(parts, metadata, columns).map_err(FileProblem::NotParquet)
}

/// The commits stand for the statistics already.
fn without_statistics() -> ArrowReaderOptions {
    ArrowReaderOptions::new()
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll)
}

/// The minor version of the format that a file's footer says; none if it says none, or one that this
/// library does not read.
pub(crate) fn minor_version(file: &FileMetaData) -> Option<u32> {
    let mut entries = file.key_value_metadata()?.iter();
    let entry = entries.find(|entry| entry.key == FORMAT_KEY)?;
    let (major, minor) = entry.value.as_deref()?.split_once('.')?;
    let major: u32 = major.parse().ok()?;
    (major == FORMAT_VERSION.major).then(|| minor.parse().ok())?
}

/// Whether a file has these columns and no others, by their names and types.
fn has_columns(found: &SchemaDescriptor, expected: &SchemaDescriptor) -> bool {
    found.root_schema().get_fields() == expected.root_schema().get_fields()
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
    Paged(Box<dyn Batches>),
    Decoding {
        rows: ParquetRecordBatchReader,
        /// The columns that are wanted, where those of the file are others.
        columns: Option<SchemaRef>,
    },
}

/// The rows of a file as they are decoded.
trait Batches: Iterator<Item = ParquetResult<RecordBatch>> + fmt::Debug + Send {}

impl<T: Iterator<Item = ParquetResult<RecordBatch>> + fmt::Debug + Send> Batches for T {}

impl Iterator for PartRows {
    type Item = Result<RecordBatch, BadFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match &mut self.rows {
            Rows::Decoded(rows) => return rows.take().map(Ok),
            Rows::Paged(rows) => caught(|| {
                rows.next()
                    .map(|batch| batch.map_err(FileProblem::NotParquet))
            }),
            Rows::Decoding { rows, .. } => caught(|| {
                rows.next()
                    .map(|batch| batch.map_err(FileProblem::Undecodable))
            }),
        };
        let columns = match &self.rows {
            Rows::Decoding { columns, .. } => columns.clone(),
            _ => None,
        };
        let batch = match next {
            Ok(next) => next?,
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
            Some(columns) => adapt(&batch, &columns)
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
