//! The rows of a row group some at a time, for one that has more than go into a batch.
//!
//! Of lists a page at a time is decoded, and none of whose rows nobody wants. All else is decoded at once: it
//! is little beside lists.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, ListArray, PrimitiveArray, RecordBatch, RecordBatchOptions,
};
use arrow::buffer::{BooleanBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::filter;
use arrow::datatypes::{DataType, FieldRef, Float32Type, SchemaRef};
use parquet::basic::Encoding;
use parquet::column::page::PageReader;
use parquet::errors::Result;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;

use super::read::{Chunk, join_planes, malformed, planes_of};

/// A row group with more rows is none for [`SomeRows`]: the columns beside its lists would be large.
const MAX_ROWS: usize = 1 << 16;

/// The rows of a file's one row group, batch by batch.
pub(crate) struct SomeRows<F: ChunkReader> {
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

impl<F: ChunkReader> fmt::Debug for SomeRows<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SomeRows")
            .field("columns", &self.columns)
            .field("num_rows", &self.num_rows)
            .field("next_row", &self.next_row)
            .finish_non_exhaustive()
    }
}

/// The number of rows of the one row group, if its columns at `indices`, which are `columns`, are for [`SomeRows`]:
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
        _ => true,
    };
    let are_fitting = indices.iter().zip(columns.fields()).all(is_fitting);
    are_fitting.then_some(num_rows)
}

/// The length of lists that may have one, in pages of byte planes.
fn length_of_lists(row_group: &RowGroupMetaData, index: usize, num_rows: usize) -> Option<usize> {
    let chunk = row_group.columns().get(index)?;
    let is_known = |encoding| matches!(encoding, Encoding::RLE | Encoding::BYTE_STREAM_SPLIT);
    let num_values = usize::try_from(chunk.num_values()).ok()?;
    let length = num_values / num_rows;
    (length > 0 && length * num_rows == num_values && chunk.encodings().all(is_known))
        .then_some(length)
}

impl<F: ChunkReader + 'static> SomeRows<F> {
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
        let mut batch_rows = batch_rows.max(1);
        let mut readers = Vec::with_capacity(indices.len());
        for (&index, field) in indices.iter().zip(columns.fields()) {
            let chunk = Chunk::new(&file, row_group, index, num_rows);
            let is_list = matches!(field.data_type(), DataType::List(_));
            let length = length_of_lists(row_group, index, num_rows);
            readers.push(match length.filter(|_| is_list) {
                None => Reader::Decoded(chunk.array(field)?),
                Some(length) => {
                    // Offsets of lists are 32-bit numbers.
                    batch_rows = batch_rows.min(i32::MAX as usize / length).max(1);
                    Reader::Lists {
                        index,
                        pages: ListPages::new(chunk.pages()?, length),
                    }
                }
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
            batch_rows,
        })
    }

    fn batch(&mut self, rows: Range<usize>, wanted: Option<&BooleanBuffer>) -> Result<RecordBatch> {
        let chosen = wanted.map(|wanted| wanted.slice(rows.start, rows.len()));
        let num_chosen = chosen
            .as_ref()
            .map_or(rows.len(), BooleanBuffer::count_set_bits);
        let of_decoded = |array: &ArrayRef| {
            let of_rows = array.slice(rows.start, rows.len());
            match &chosen {
                None => Ok(of_rows),
                Some(chosen) => filter(&of_rows, &BooleanArray::new(chosen.clone(), None)),
            }
        };
        let mut arrays = Vec::with_capacity(self.readers.len());
        for (reader, field) in self.readers.iter_mut().zip(self.columns.fields()) {
            if let Reader::Lists { index, pages } = reader {
                let most = usize::try_from(self.file.len()).unwrap_or(usize::MAX);
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
                arrays.push(of_decoded(array).map_err(malformed)?);
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

impl<F: ChunkReader + 'static> Iterator for SomeRows<F> {
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
            let Some(next) = self.pages.peek_next_page()? else {
                return Ok(false);
            };
            let Some(num_rows) = next.num_rows.filter(|_| !next.is_dict) else {
                return Ok(false);
            };
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
            let num_bytes = num_rows.checked_mul(self.length * size_of::<f32>());
            let planes = page.flatten();
            let Some(planes) = planes.filter(|planes| Some(planes.len()) == num_bytes) else {
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

/// Which rows of some columns are wanted: those for which a condition may hold.
#[derive(Clone)]
pub struct RowFilter {
    /// The table's columns that it speaks of, which are no lists, ascending.
    pub(crate) columns: Vec<usize>,
    holds: Arc<dyn Fn(&RecordBatch) -> Option<BooleanArray> + Send + Sync>,
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
        let holds = (self.holds)(rows).filter(|holds| holds.len() == rows.num_rows())?;
        let wanted = match holds.nulls() {
            None => holds.values().clone(),
            Some(nulls) => holds.values() & nulls.inner(),
        };
        (wanted.count_set_bits() < wanted.len()).then_some(wanted)
    }
}

#[cfg(test)]
mod tests;
