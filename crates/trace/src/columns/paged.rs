//! The rows of a row group some at a time, for one that has more than go into a batch.
//!
//! A page of lists is decoded by itself, and only if one of its rows is wanted. All else is decoded at once: it is
//! little beside lists.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBufferBuilder, ListArray, PrimitiveArray, RecordBatch,
    RecordBatchOptions, UInt32Array,
};
use arrow::buffer::{BooleanBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef, Float32Type, SchemaRef};
use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::PageReader;
use parquet::errors::Result;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;

use crate::caught::caught;

use super::read::{Chunk, join_planes, malformed, planes_of};

/// A row group with more rows is not read by [`PagedRows`]: the columns beside its lists would be large.
const MAX_ROWS: usize = 1 << 16;

/// Nor is one with a column that is no list and that unpacks to more.
const MAX_DECODED_BYTES: i64 = 64 << 20;

/// So many rows a condition is asked about at once: of each it may make a long text.
const CONDITION_ROWS: usize = 8192;

/// The rows of a file's one row group, batch by batch.
pub(crate) struct PagedRows<F: ChunkReader> {
    file: Arc<F>,
    metadata: Arc<ParquetMetaData>,
    columns: SchemaRef,
    readers: Vec<Reader<F>>,
    /// Which rows are wanted; all where it is none.
    wanted: Option<BooleanBuffer>,
    num_rows: usize,
    next_row: usize,
    batch_rows: usize,
}

enum Reader<F: ChunkReader> {
    Decoded(ArrayRef),
    Lists { index: usize, pages: ListPages<F> },
}

impl<F: ChunkReader> fmt::Debug for PagedRows<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PagedRows")
            .field("columns", &self.columns)
            .field("num_rows", &self.num_rows)
            .field("next_row", &self.next_row)
            .finish_non_exhaustive()
    }
}

/// The number of rows of the one row group, if its columns at `indices`, which are `columns`, are for [`PagedRows`]:
/// lists lie in it as a layer's do.
pub(crate) fn num_rows_of_one(
    metadata: &ParquetMetaData,
    indices: &[usize],
    columns: &SchemaRef,
) -> Option<usize> {
    let [row_group] = metadata.row_groups() else {
        return None;
    };
    let num_rows = usize::try_from(row_group.num_rows()).ok();
    let num_rows = num_rows.filter(|num_rows| (1..=MAX_ROWS).contains(num_rows))?;
    let is_fitting = |(index, field): (&usize, &FieldRef)| match field.data_type() {
        DataType::List(_) => length_of_lists(row_group, *index, num_rows).is_some(),
        _ => {
            let chunk = row_group.columns().get(*index);
            chunk.is_some_and(|chunk| chunk.uncompressed_size() <= MAX_DECODED_BYTES)
        }
    };
    let are_fitting = indices.iter().zip(columns.fields()).all(is_fitting);
    are_fitting.then_some(num_rows)
}

/// The length of lists that may have one, in pages of byte planes.
fn length_of_lists(row_group: &RowGroupMetaData, index: usize, num_rows: usize) -> Option<usize> {
    let chunk = row_group.columns().get(index)?;
    let is_known = |encoding| matches!(encoding, Encoding::RLE | Encoding::BYTE_STREAM_SPLIT);
    // Offsets of lists are 32-bit numbers.
    let num_values = usize::try_from(i32::try_from(chunk.num_values()).ok()?).ok()?;
    let length = num_values / num_rows;
    (length > 0 && length * num_rows == num_values && chunk.encodings().all(is_known))
        .then_some(length)
}

impl<F: ChunkReader + 'static> PagedRows<F> {
    /// The columns at `indices`, which are `columns`, of a file's one row group of `num_rows`, as
    /// [`num_rows_of_one`] says; at most `batch_rows` rows at a time, and those alone that are `wanted`.
    ///
    /// # Errors
    /// If what is no list cannot be decoded.
    pub(crate) fn try_new(
        file: Arc<F>,
        metadata: Arc<ParquetMetaData>,
        (indices, columns): (&[usize], &SchemaRef),
        num_rows: usize,
        wanted: Option<BooleanBuffer>,
        batch_rows: usize,
    ) -> Result<Self> {
        let row_group = metadata.row_group(0);
        let mut readers = Vec::with_capacity(indices.len());
        for (&index, field) in indices.iter().zip(columns.fields()) {
            let chunk = Chunk::new(&file, row_group, index, num_rows);
            let is_list = matches!(field.data_type(), DataType::List(_));
            let length = length_of_lists(row_group, index, num_rows);
            readers.push(match length.filter(|_| is_list) {
                None => Reader::Decoded(chunk.array(field)?),
                Some(length) => Reader::Lists {
                    index,
                    pages: ListPages::new(chunk.pages()?, length),
                },
            });
        }
        Ok(Self {
            columns: Arc::clone(columns),
            file,
            metadata,
            readers,
            wanted,
            num_rows,
            next_row: 0,
            batch_rows: batch_rows.max(1),
        })
    }

    fn batch(&mut self, rows: Range<usize>, wanted: Option<&BooleanBuffer>) -> Result<RecordBatch> {
        // Copies: of a slice whoever keeps it counts all of the column's memory.
        let places = rows
            .clone()
            .filter(|&row| wanted.is_none_or(|wanted| wanted.value(row)));
        let places = UInt32Array::from_iter_values(places.map(|row| row as u32));
        let num_chosen = places.len();
        let mut arrays = Vec::with_capacity(self.readers.len());
        for (reader, field) in self.readers.iter_mut().zip(self.columns.fields()) {
            if let Reader::Lists { index, pages } = reader {
                let most = self.file.len() / size_of::<f32>() as u64;
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                let mut values = Vec::with_capacity((num_chosen * pages.length).min(most));
                if pages.append(rows.clone(), wanted, &mut values)? {
                    arrays.push(lists(field, values, num_chosen, pages.length)?);
                    continue;
                }
                // Another writer's lists, of several lengths.
                let row_group = self.metadata.row_group(0);
                let chunk = Chunk::new(&self.file, row_group, *index, self.num_rows);
                *reader = Reader::Decoded(chunk.array(field)?);
            }
            if let Reader::Decoded(array) = reader {
                arrays.push(take(array, &places, None).map_err(malformed)?);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(num_chosen));
        let columns = Arc::clone(&self.columns);
        RecordBatch::try_new_with_options(columns, arrays, &options).map_err(malformed)
    }
}

fn lists(field: &FieldRef, values: Vec<f32>, num_lists: usize, length: usize) -> Result<ArrayRef> {
    let DataType::List(item) = field.data_type() else {
        return Err(malformed(format!("{} is no column of lists", field.name())));
    };
    let offsets = OffsetBuffer::from_repeated_length(length, num_lists);
    let values = PrimitiveArray::<Float32Type>::new(ScalarBuffer::from(values), None);
    let lists = ListArray::try_new(Arc::clone(item), offsets, Arc::new(values), None);
    Ok(Arc::new(lists.map_err(malformed)?))
}

impl<F: ChunkReader + 'static> Iterator for PagedRows<F> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.next_row < self.num_rows {
            let end = self
                .num_rows
                .min(self.next_row.saturating_add(self.batch_rows));
            let rows = self.next_row..end;
            self.next_row = end;
            let wanted = self.wanted.take();
            let num_wanted = wanted.as_ref().map_or(rows.len(), |wanted| {
                wanted.slice(rows.start, rows.len()).count_set_bits()
            });
            let batch = (num_wanted > 0).then(|| self.batch(rows, wanted.as_ref()));
            self.wanted = wanted;
            if let Some(Err(_)) = batch {
                // A page was read, and the next is not where the readers are.
                self.next_row = self.num_rows;
            }
            if batch.is_some() {
                return batch;
            }
        }
        None
    }
}

/// Lists of one length, in pages of whole lists.
struct ListPages<F: ChunkReader> {
    pages: SerializedPageReader<F>,
    length: usize,
    /// The row that the next page begins with.
    next_row: usize,
    /// The rows of the page that was decoded last by itself, and its values.
    decoded: (Range<usize>, Vec<f32>),
}

impl<F: ChunkReader + 'static> ListPages<F> {
    fn new(pages: SerializedPageReader<F>, length: usize) -> Self {
        Self {
            pages,
            length,
            next_row: 0,
            decoded: (0..0, Vec::new()),
        }
    }

    /// Appends the values of those of `rows` that are wanted; they are behind those of the last call. Says whether
    /// there were such lists: if not, others have to be looked for.
    fn append(
        &mut self,
        rows: Range<usize>,
        wanted: Option<&BooleanBuffer>,
        values: &mut Vec<f32>,
    ) -> Result<bool> {
        let mut row = rows.start;
        while row < rows.end {
            let (decoded, of_page) = &self.decoded;
            if decoded.contains(&row) {
                let end = decoded.end.min(rows.end);
                for row in row..end {
                    if wanted.is_none_or(|wanted| wanted.value(row)) {
                        let at = (row - decoded.start) * self.length;
                        values.extend_from_slice(&of_page[at..][..self.length]);
                    }
                }
                row = end;
                continue;
            }
            if row < self.next_row {
                // The rest of a page that was passed over, since none of it is wanted.
                row = self.next_row;
                continue;
            }
            let Some(next) = self.pages.peek_next_page()? else {
                return Ok(false);
            };
            let Some(num_rows) = next.num_rows.filter(|_| !next.is_dict) else {
                return Ok(false);
            };
            let num_values = num_rows.checked_mul(self.length);
            if next.num_levels != num_values {
                return Ok(false);
            }
            let of_page = self.next_row..self.next_row.saturating_add(num_rows);
            self.next_row = of_page.end;
            let is_wanted = |wanted: &BooleanBuffer| {
                let end = of_page.end.min(wanted.len());
                (row.max(of_page.start)..end).any(|row| wanted.value(row))
            };
            if of_page.end <= row || !wanted.is_none_or(is_wanted) {
                self.pages.skip_next_page()?;
                row = row.max(of_page.end);
                continue;
            }
            let page = self.pages.get_next_page()?;
            let page = page.map(|page| planes_of(page, self.length)).transpose()?;
            let has_all = |planes: &Bytes| Some(planes.len() / size_of::<f32>()) == num_values;
            let Some(planes) = page.flatten().filter(has_all) else {
                return Ok(false);
            };
            let is_whole = of_page.start == row && of_page.end <= rows.end;
            if is_whole && wanted.is_none() {
                join_planes(&planes, values);
                row = of_page.end;
            } else {
                self.decoded.1.clear();
                join_planes(&planes, &mut self.decoded.1);
                self.decoded.0 = of_page;
            }
        }
        Ok(true)
    }
}

/// Says for which of some rows something holds; none if it cannot.
type Condition = dyn Fn(&RecordBatch) -> Option<BooleanArray> + Send + Sync;

/// Which rows of some columns are wanted: those for which a condition may hold.
#[derive(Clone)]
pub struct RowFilter {
    /// The table's columns that it speaks of, which are no lists, ascending.
    pub(crate) columns: Vec<usize>,
    holds: Arc<Condition>,
}

impl fmt::Debug for RowFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowFilter")
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

impl RowFilter {
    /// Of the table's columns at `columns`, which ascend and are no lists. `holds` says for which of some rows of them
    /// the condition holds; if it cannot say, all rows are wanted.
    pub fn new(
        columns: Vec<usize>,
        holds: impl Fn(&RecordBatch) -> Option<BooleanArray> + Send + Sync + 'static,
    ) -> Self {
        Self {
            columns,
            holds: Arc::new(holds),
        }
    }

    /// Which of the rows are wanted; none if all are.
    pub(crate) fn wanted(&self, rows: &RecordBatch) -> Option<BooleanBuffer> {
        let mut wanted = BooleanBufferBuilder::new(rows.num_rows());
        for start in (0..rows.num_rows()).step_by(CONDITION_ROWS) {
            let rows = rows.slice(start, CONDITION_ROWS.min(rows.num_rows() - start));
            // What the condition does not bear is told by whoever asks it of the rows.
            let holds = caught(|| (self.holds)(&rows)).ok().flatten();
            let holds = holds.filter(|holds| holds.len() == rows.num_rows())?;
            wanted.append_buffer(&match holds.nulls() {
                None => holds.values().clone(),
                Some(nulls) => holds.values() & nulls.inner(),
            });
        }
        let wanted = wanted.finish();
        (wanted.count_set_bits() < wanted.len()).then_some(wanted)
    }
}

#[cfg(test)]
mod tests;
