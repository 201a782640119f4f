//! Whole columns of a small part file, from parquet's column readers to Arrow.
//!
//! parquet's own Arrow reader sets up a tree of readers for every file, decodes in batches that
//! may end anywhere, and treats every list as if it could hold nulls and be of any length. A small
//! part is decoded whole, its floats are never null, and all lists of a layer have one length.

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
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{self as physical, ByteArray};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

/// Decodes the columns at `indices` of a file's one row group as `columns`, which they are.
pub(super) fn decode(
    file: &Arc<Bytes>,
    row_group: &RowGroupMetaData,
    indices: &[usize],
    columns: &SchemaRef,
) -> Result<RecordBatch> {
    let num_rows = usize::try_from(row_group.num_rows()).map_err(malformed)?;
    let arrays = indices.iter().zip(columns.fields()).map(|(&index, field)| {
        let chunk = Chunk {
            file,
            row_group,
            index,
            num_rows,
        };
        chunk.array(field)
    });
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(num_rows));
    RecordBatch::try_new_with_options(Arc::clone(columns), arrays, &options).map_err(malformed)
}

fn malformed(error: impl std::fmt::Display) -> ParquetError {
    ParquetError::General(error.to_string())
}

/// One column of the row group.
struct Chunk<'a> {
    file: &'a Arc<Bytes>,
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

impl Chunk<'_> {
    fn array(&self, field: &FieldRef) -> Result<ArrayRef> {
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

    fn decode<T: physical::DataType>(&self) -> Result<Decoded<T::T>> {
        let metadata = self.row_group.column(self.index);
        let column = metadata.column_descr_ptr();
        let (max_definition, max_repetition) = (column.max_def_level(), column.max_rep_level());
        let pages =
            SerializedPageReader::new(Arc::clone(self.file), metadata, self.num_rows, None)?;
        let mut reader = ColumnReaderImpl::<T>::new(column, Box::new(pages));
        // Of a file that nobody checked it may be any number: no more is set aside than it has bytes.
        let num_levels = usize::try_from(metadata.num_values()).map_err(malformed)?;
        let num_levels = num_levels.min(self.file.len());
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
        let decoded = self.decode::<physical::FloatType>()?;
        let (offsets, nulls) = match self.equal_lengths(&decoded) {
            Some(length) => {
                let lengths = std::iter::repeat_n(length, self.num_rows);
                (OffsetBuffer::from_lengths(lengths), None)
            }
            None => self.any_lengths(&decoded)?,
        };
        let values = PrimitiveArray::<Float32Type>::new(ScalarBuffer::from(decoded.values), None);
        ListArray::try_new(Arc::clone(item), offsets, Arc::new(values), nulls).map_err(malformed)
    }

    /// The length that all lists have, if they do, and none is null or empty.
    fn equal_lengths(&self, decoded: &Decoded<f32>) -> Option<usize> {
        let num_levels = decoded.repetition.len();
        let length = num_levels.checked_div(self.num_rows)?;
        let all_values = decoded.values.len() == num_levels && length * self.num_rows == num_levels;
        // A list begins where the level is 0.
        let num_lists = decoded
            .repetition
            .iter()
            .filter(|level| **level == 0)
            .count();
        let starts = || decoded.repetition.iter().step_by(length.max(1));
        (all_values && num_lists == self.num_rows && starts().all(|level| *level == 0))
            .then_some(length)
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

#[cfg(test)]
mod tests;
