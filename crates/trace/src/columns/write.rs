//! Values and levels of one column, from Arrow to parquet's column writers.

use arrow::array::{Array, ArrayRef, AsArray, ListArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int32Type, Int64Type,
};
use bytes::Bytes;
use parquet::column::writer::{ColumnWriter, ColumnWriterImpl};
use parquet::data_type::{self as physical, ByteArray};
use parquet::errors::{ParquetError, Result};

/// Levels of a list column that are made before they are written; a row is never split.
const LEVELS_AT_ONCE: usize = 8192;

/// Writes the whole of a column: a scalar, a text, or lists of floats that are not null.
///
/// # Errors
/// If the column is of a type that no table has, or cannot be encoded.
pub fn write_column(
    writer: &mut ColumnWriter<'_>,
    array: &ArrayRef,
    is_nullable: bool,
) -> Result<()> {
    let nulls = Nulls {
        len: array.len(),
        is_nullable,
        buffer: array.nulls().filter(|nulls| nulls.null_count() > 0),
    };
    match (writer, array.data_type()) {
        (ColumnWriter::Int32ColumnWriter(w), DataType::Int32) => {
            write_primitive::<Int32Type, _>(w, array.as_primitive(), &nulls)
        }
        (ColumnWriter::Int64ColumnWriter(w), DataType::Int64) => {
            write_primitive::<Int64Type, _>(w, array.as_primitive(), &nulls)
        }
        (ColumnWriter::FloatColumnWriter(w), DataType::Float32) => {
            write_primitive::<Float32Type, _>(w, array.as_primitive(), &nulls)
        }
        (ColumnWriter::DoubleColumnWriter(w), DataType::Float64) => {
            write_primitive::<Float64Type, _>(w, array.as_primitive(), &nulls)
        }
        (ColumnWriter::BoolColumnWriter(w), DataType::Boolean) => {
            let values: Vec<bool> = array.as_boolean().iter().flatten().collect();
            write_present(w, &values, &nulls)
        }
        (ColumnWriter::ByteArrayColumnWriter(w), DataType::Utf8) => {
            let texts = array.as_string::<i32>();
            let data = Bytes::copy_from_slice(texts.value_data());
            let value = |row: usize| {
                let (start, end) = (texts.value_offsets()[row], texts.value_offsets()[row + 1]);
                ByteArray::from(data.slice(start.as_usize()..end.as_usize()))
            };
            let values: Vec<ByteArray> = (0..texts.len())
                .filter(|row| texts.is_valid(*row))
                .map(value)
                .collect();
            write_present(w, &values, &nulls)
        }
        (ColumnWriter::FloatColumnWriter(w), DataType::List(_)) => {
            write_list(w, array.as_list(), is_nullable)
        }
        (_, data_type) => Err(ParquetError::NYI(format!(
            "no table has a column of type {data_type}"
        ))),
    }
}

/// Size of what [`write_column`] encodes, before it is encoded.
pub fn value_bytes(array: &ArrayRef) -> usize {
    match array.data_type() {
        DataType::List(_) => {
            let offsets = array.as_list::<i32>().value_offsets();
            (offsets[array.len()] - offsets[0]).as_usize() * size_of::<f32>()
        }
        DataType::Utf8 => {
            let offsets = array.as_string::<i32>().value_offsets();
            (offsets[array.len()] - offsets[0]).as_usize()
        }
        DataType::Boolean => array.len().div_ceil(8),
        data_type => array.len() * data_type.primitive_width().unwrap_or(0),
    }
}

/// How many bytes the values of a column's longest list have.
pub fn list_bytes(lists: &ArrayRef) -> u64 {
    let lists = lists.as_list::<i32>();
    let lengths = (0..lists.len()).filter(|row| lists.is_valid(*row));
    let longest = lengths.map(|row| lists.value_length(row)).max();
    let longest = longest.map_or(0, |length| length.as_usize());
    (longest * size_of::<f32>()) as u64
}

/// Which rows of a scalar column are null.
struct Nulls<'a> {
    len: usize,
    is_nullable: bool,
    /// None if no row is.
    buffer: Option<&'a NullBuffer>,
}

impl Nulls<'_> {
    /// Definition levels: 1 for a value, 0 for null; none for a column that cannot be null.
    fn levels(&self) -> Option<Vec<i16>> {
        self.is_nullable.then(|| match self.buffer {
            None => vec![1; self.len],
            Some(nulls) => nulls.iter().map(i16::from).collect(),
        })
    }
}

fn write_primitive<A, P>(
    writer: &mut ColumnWriterImpl<'_, P>,
    array: &PrimitiveArray<A>,
    nulls: &Nulls<'_>,
) -> Result<()>
where
    A: ArrowPrimitiveType,
    P: physical::DataType<T = A::Native>,
{
    if nulls.buffer.is_none() {
        return write_present(writer, array.values(), nulls);
    }
    let present: Vec<A::Native> = array.iter().flatten().collect();
    write_present(writer, &present, nulls)
}

/// Writes the values of the rows that are not null.
fn write_present<P: physical::DataType>(
    writer: &mut ColumnWriterImpl<'_, P>,
    present: &[P::T],
    nulls: &Nulls<'_>,
) -> Result<()> {
    writer.write_batch(present, nulls.levels().as_deref(), None)?;
    Ok(())
}

/// Writes lists of floats that are not null themselves.
fn write_list(
    writer: &mut ColumnWriterImpl<'_, physical::FloatType>,
    lists: &ListArray,
    is_nullable: bool,
) -> Result<()> {
    let values: &[f32] = lists.values().as_primitive::<Float32Type>().values();
    let offsets = lists.value_offsets();
    let mut pending = Levels::new(is_nullable);
    // The first value that was not written yet.
    let mut start = offsets[0].as_usize();
    for row in 0..lists.len() {
        let (from, to) = (offsets[row].as_usize(), offsets[row + 1].as_usize());
        if lists.is_null(row) {
            pending.push_null();
            // What lies behind a null is no value.
            if from != to {
                pending.write(writer, &values[start..from])?;
                start = to;
            }
        } else {
            pending.push_list(to - from);
        }
        if pending.len() >= LEVELS_AT_ONCE {
            let end = to.max(start);
            pending.write(writer, &values[start..end])?;
            start = end;
        }
    }
    pending.write(writer, &values[start..offsets[lists.len()].as_usize()])
}

/// Levels of rows that are not written yet.
struct Levels {
    definition: Vec<i16>,
    repetition: Vec<i16>,
    /// Definition level of an empty list; a value's is one more, null's is 0.
    empty: i16,
}

impl Levels {
    fn new(is_nullable: bool) -> Self {
        Self {
            definition: Vec::with_capacity(LEVELS_AT_ONCE),
            repetition: Vec::with_capacity(LEVELS_AT_ONCE),
            empty: i16::from(is_nullable),
        }
    }

    fn len(&self) -> usize {
        self.definition.len()
    }

    fn push_null(&mut self) {
        self.definition.push(0);
        self.repetition.push(0);
    }

    fn push_list(&mut self, num_values: usize) {
        let first = self.repetition.len();
        if num_values == 0 {
            self.definition.push(self.empty);
        } else {
            self.definition.resize(first + num_values, self.empty + 1);
        }
        self.repetition.resize(self.definition.len(), 1);
        self.repetition[first] = 0;
    }

    /// Writes the rows and forgets them.
    fn write(
        &mut self,
        writer: &mut ColumnWriterImpl<'_, physical::FloatType>,
        values: &[f32],
    ) -> Result<()> {
        if self.len() > 0 {
            writer.write_batch(values, Some(&self.definition), Some(&self.repetition))?;
            self.definition.clear();
            self.repetition.clear();
        }
        Ok(())
    }
}
