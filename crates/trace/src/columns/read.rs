//! From parquet's column readers to Arrow, a row group at a time.
//!
//! parquet's own Arrow reader decodes in batches that may end anywhere, and treats every list as
//! if it could hold nulls and be of any length. Here a row group is decoded whole, floats in lists
//! are never null, and all lists of a layer have one length.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, ListArray, PrimitiveArray, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, FieldRef, Float32Type, Float64Type, Int32Type, Int64Type,
    SchemaRef,
};
use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{self as physical, ByteArray};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;

/// Decodes the columns at `indices` of a row group of `file` as `columns`, which they are.
///
/// # Errors
/// If the bytes are not what the footer says, or a column is of a type that no table has.
pub fn read_row_group<F: ChunkReader + 'static>(
    file: &Arc<F>,
    row_group: &RowGroupMetaData,
    indices: &[usize],
    columns: &SchemaRef,
) -> Result<RecordBatch> {
    let num_rows = usize::try_from(row_group.num_rows()).map_err(malformed)?;
    let arrays = indices
        .iter()
        .zip(columns.fields())
        .map(|(&index, field)| Chunk::new(file, row_group, index, num_rows).array(field));
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(num_rows));
    RecordBatch::try_new_with_options(Arc::clone(columns), arrays, &options).map_err(malformed)
}

pub(super) fn malformed(error: impl std::fmt::Display) -> ParquetError {
    ParquetError::General(error.to_string())
}

/// One column of the row group.
pub(super) struct Chunk<'a, F> {
    file: &'a Arc<F>,
    row_group: &'a RowGroupMetaData,
    index: usize,
    num_rows: usize,
}

/// What a column chunk holds.
struct Decoded<T> {
    /// Those that are not null.
    values: Vec<T>,
    /// Empty where nothing can be null or in a list.
    definition: Vec<i16>,
    /// Empty where there are no lists.
    repetition: Vec<i16>,
    /// The definition level of a value.
    max_definition: i16,
}

impl<T> Decoded<T> {
    fn is_valid(&self, row: usize) -> bool {
        self.definition
            .get(row)
            .is_none_or(|&level| level == self.max_definition)
    }

    /// None where no row of a scalar column is null.
    fn nulls(&self, num_rows: usize) -> Option<NullBuffer> {
        let has_nulls = self.values.len() < num_rows;
        has_nulls.then(|| (0..num_rows).map(|row| self.is_valid(row)).collect())
    }
}

impl<'a, F: ChunkReader + 'static> Chunk<'a, F> {
    pub(super) fn new(
        file: &'a Arc<F>,
        row_group: &'a RowGroupMetaData,
        index: usize,
        num_rows: usize,
    ) -> Self {
        Self {
            file,
            row_group,
            index,
            num_rows,
        }
    }

    pub(super) fn array(&self, field: &FieldRef) -> Result<ArrayRef> {
        Ok(match field.data_type() {
            DataType::Int32 => self.primitive::<Int32Type, physical::Int32Type>()?,
            DataType::Int64 => self.primitive::<Int64Type, physical::Int64Type>()?,
            DataType::Float32 => self.primitive::<Float32Type, physical::FloatType>()?,
            DataType::Float64 => self.primitive::<Float64Type, physical::DoubleType>()?,
            DataType::Boolean => {
                let decoded = self.decode::<physical::BoolType>()?;
                let rows = self.rows(&decoded, |&value| value);
                Arc::new(BooleanArray::from_iter(rows))
            }
            DataType::Utf8 => {
                let decoded = self.decode::<physical::ByteArrayType>()?;
                let texts = decoded.values.iter().map(ByteArray::as_utf8);
                let texts = texts.collect::<Result<Vec<&str>>>()?;
                let mut texts = texts.into_iter();
                let rows = (0..self.num_rows).map(|row| {
                    let is_valid = decoded.is_valid(row);
                    is_valid.then(|| texts.next()).flatten()
                });
                Arc::new(StringArray::from_iter(rows))
            }
            DataType::List(item) => Arc::new(self.lists(item)?),
            other => return Err(malformed(format!("no table has a column of type {other}"))),
        })
    }

    /// Bytes that the file has: of what a footer that nobody checked says, no more is set aside.
    fn num_bytes(&self) -> usize {
        usize::try_from(self.file.len()).unwrap_or(usize::MAX)
    }

    pub(super) fn pages(&self) -> Result<SerializedPageReader<F>> {
        let metadata = self.row_group.column(self.index);
        SerializedPageReader::new(Arc::clone(self.file), metadata, self.num_rows, None)
    }

    fn decode<T: physical::DataType>(&self) -> Result<Decoded<T::T>> {
        let metadata = self.row_group.column(self.index);
        let column = metadata.column_descr_ptr();
        let (max_definition, max_repetition) = (column.max_def_level(), column.max_rep_level());
        let mut reader = ColumnReaderImpl::<T>::new(column, Box::new(self.pages()?));
        let num_levels = usize::try_from(metadata.num_values()).map_err(malformed)?;
        let num_levels = num_levels.min(self.num_bytes());
        let levels = |are_there: bool| Vec::with_capacity(if are_there { num_levels } else { 0 });
        let mut decoded = Decoded {
            values: Vec::with_capacity(num_levels),
            definition: levels(max_definition > 0),
            repetition: levels(max_repetition > 0),
            max_definition,
        };
        let mut num_rows = 0;
        while num_rows < self.num_rows {
            let (read, ..) = reader.read_records(
                self.num_rows - num_rows,
                (max_definition > 0).then_some(&mut decoded.definition),
                (max_repetition > 0).then_some(&mut decoded.repetition),
                &mut decoded.values,
            )?;
            if read == 0 {
                return Err(malformed("a column ends before its last row"));
            }
            num_rows += read;
        }
        Ok(decoded)
    }

    /// The rows of a scalar column.
    fn rows<'d, T, R>(
        &self,
        decoded: &'d Decoded<T>,
        get: impl Fn(&T) -> R + 'd,
    ) -> impl Iterator<Item = Option<R>> + 'd {
        let mut values = decoded.values.iter();
        (0..self.num_rows).map(move |row| {
            let is_valid = decoded.is_valid(row);
            is_valid.then(|| values.next().map(&get)).flatten()
        })
    }

    fn primitive<A, P>(&self) -> Result<ArrayRef>
    where
        A: ArrowPrimitiveType,
        P: physical::DataType<T = A::Native>,
    {
        let decoded = self.decode::<P>()?;
        let nulls = decoded.nulls(self.num_rows);
        let values = match nulls {
            None => decoded.values,
            Some(_) => self
                .rows(&decoded, |&value| value)
                .map(Option::unwrap_or_default)
                .collect(),
        };
        let array = PrimitiveArray::<A>::try_new(values.into(), nulls).map_err(malformed)?;
        Ok(Arc::new(array))
    }

    fn lists(&self, item: &FieldRef) -> Result<ListArray> {
        let (values, offsets, nulls) = match self.equal_lists()? {
            Some((values, length)) => {
                let lengths = std::iter::repeat_n(length, self.num_rows);
                (values, OffsetBuffer::from_lengths(lengths), None)
            }
            None => {
                let decoded = self.decode::<physical::FloatType>()?;
                let (offsets, nulls) = self.any_lengths(&decoded)?;
                (decoded.values, offsets, nulls)
            }
        };
        let values = PrimitiveArray::<Float32Type>::new(ScalarBuffer::from(values), None);
        ListArray::try_new(Arc::clone(item), offsets, Arc::new(values), nulls).map_err(malformed)
    }

    /// All values, and the length of the lists, if they have one and none is null or empty, as
    /// those of a layer. The levels then say the same for every value, and are compared with what
    /// they should be rather than decoded, which is most of the work.
    fn equal_lists(&self) -> Result<Option<(Vec<f32>, usize)>> {
        let num_values = self.row_group.column(self.index).num_values();
        let num_values = usize::try_from(num_values).map_err(malformed)?;
        let length = num_values.checked_div(self.num_rows).unwrap_or(0);
        if length == 0 || length * self.num_rows != num_values {
            return Ok(None);
        }
        let mut pages = self.pages()?;
        let mut values = Vec::with_capacity(num_values.min(self.num_bytes()));
        while let Some(page) = pages.get_next_page()? {
            let Some(planes) = planes_of(page, length)? else {
                return Ok(None);
            };
            join_planes(&planes, &mut values);
        }
        Ok(Some((values, length)).filter(|(values, _)| values.len() == num_values))
    }

    fn any_lengths(
        &self,
        decoded: &Decoded<f32>,
    ) -> Result<(OffsetBuffer<i32>, Option<NullBuffer>)> {
        let mut offsets = Vec::with_capacity(self.num_rows + 1);
        let mut is_valid = Vec::with_capacity(self.num_rows);
        // The level below a value's is an empty list's; one of null lists is lower still.
        let empty = decoded.max_definition - 1;
        let mut end = 0_i32;
        for (&repetition, &definition) in decoded.repetition.iter().zip(&decoded.definition) {
            if repetition == 0 {
                offsets.push(end);
                is_valid.push(definition >= empty);
            }
            if definition == decoded.max_definition {
                end = end
                    .checked_add(1)
                    .ok_or_else(|| malformed("lists are too long"))?;
            }
        }
        offsets.push(end);
        let nulls = Some(NullBuffer::from(is_valid)).filter(|nulls| nulls.null_count() > 0);
        Ok((OffsetBuffer::new(offsets.into()), nulls))
    }
}

/// The byte planes of a page of lists of that length, none of which is null; none if it is none.
pub(super) fn planes_of(page: Page, length: usize) -> Result<Option<Bytes>> {
    let Page::DataPageV2 {
        buf,
        num_values,
        encoding: Encoding::BYTE_STREAM_SPLIT,
        num_nulls: 0,
        def_levels_byte_len,
        rep_levels_byte_len,
        ..
    } = page
    else {
        return Ok(None);
    };
    let lengths = (rep_levels_byte_len as usize, def_levels_byte_len as usize);
    let values = lengths.0.checked_add(lengths.1);
    let values = values.filter(|&values| values <= buf.len());
    let values = values.ok_or_else(|| malformed("a page ends in its levels"))?;
    let num_values = num_values as usize;
    let are_equal = buf.len() - values == num_values * size_of::<f32>()
        && are_levels_of_equal_lists(&buf[..lengths.0], num_values, length);
    Ok(are_equal.then(|| buf.slice(values..)))
}

/// Whether the repetition levels of a page, in the hybrid of run lengths and bits that Parquet
/// writes them in, are those of lists of that length: 0 where one begins, else 1.
fn are_levels_of_equal_lists(levels: &[u8], num_values: usize, length: usize) -> bool {
    let mut levels = levels.iter().copied();
    // The value that the next level is of, and its place in its list.
    let mut value = 0;
    while value < num_values {
        let place = value % length;
        let Some(header) = read_varint(&mut levels) else {
            return false;
        };
        if header & 1 == 0 {
            let run = header >> 1;
            let fits = match levels.next() {
                Some(0) => place == 0 && (run == 1 || length == 1),
                Some(1) => place > 0 && run <= length - place,
                _ => false,
            };
            if !fits || run == 0 {
                return false;
            }
            value += run;
        } else {
            for _ in 0..header >> 1 {
                let Some(bits) = levels.next() else {
                    return false;
                };
                let in_use = (num_values - value).min(8);
                let is_right =
                    |i: usize| (bits >> i & 1 == 0) == (value + i).is_multiple_of(length);
                if !(0..in_use).all(is_right) {
                    return false;
                }
                value += in_use;
            }
        }
    }
    true
}

/// A number in groups of seven bits, the lowest first; none if it does not end or is too large.
fn read_varint(bytes: &mut impl Iterator<Item = u8>) -> Option<usize> {
    let mut number = 0_u32;
    for shift in (0..u32::BITS).step_by(7) {
        let byte = bytes.next()?;
        number |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return usize::try_from(number).ok();
        }
    }
    None
}

/// Puts values together of which all first bytes come first, then all second ones, and so on.
pub(super) fn join_planes(bytes: &[u8], values: &mut Vec<f32>) {
    let (low, high) = bytes.split_at(bytes.len() / 2);
    let ((a, b), (c, d)) = (low.split_at(low.len() / 2), high.split_at(high.len() / 2));
    let joined = a.iter().zip(b).zip(c.iter().zip(d));
    values.extend(joined.map(|((a, b), (c, d))| f32::from_le_bytes([*a, *b, *c, *d])));
}

#[cfg(test)]
pub(super) mod tests;
