//! Rows as JSON, which has no numbers that are not finite.

use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonFormat, Writer};

use super::{BatchWriter, Format, WriteRowsError};

/// One array, a row a line.
#[derive(Debug, Default)]
pub(super) struct RowArray;

impl JsonFormat for RowArray {
    fn start_stream<W: Write>(&self, out: &mut W) -> Result<(), ArrowError> {
        Ok(out.write_all(b"[")?)
    }

    fn start_row<W: Write>(&self, out: &mut W, is_first_row: bool) -> Result<(), ArrowError> {
        match is_first_row {
            true => Ok(()),
            false => Ok(out.write_all(b",\n")?),
        }
    }

    fn end_stream<W: Write>(&self, out: &mut W) -> Result<(), ArrowError> {
        Ok(out.write_all(b"]\n")?)
    }
}

/// Writes rows as JSON objects, set apart as `F` says.
pub(super) struct JsonRows<'a, F: JsonFormat> {
    format: Format,
    rows: Writer<&'a mut (dyn Write + Send), F>,
}

impl<'a, F: JsonFormat> JsonRows<'a, F> {
    pub(super) fn new(format: Format, out: &'a mut (dyn Write + Send)) -> Self {
        let rows = arrow::json::WriterBuilder::new().with_explicit_nulls(true);
        let rows = rows.build::<_, F>(out);
        Self { format, rows }
    }

    fn encode(format: Format) -> impl Fn(ArrowError) -> WriteRowsError {
        move |source| WriteRowsError::Encode { format, source }
    }
}

impl<F: JsonFormat> BatchWriter for JsonRows<'_, F> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteRowsError> {
        self.rows.write(batch).map_err(Self::encode(self.format))
    }

    fn finish(mut self: Box<Self>) -> Result<(), WriteRowsError> {
        self.rows.finish().map_err(Self::encode(self.format))
    }
}

/// How many numbers of a batch JSON cannot hold, those inside of lists and structs among them.
pub(super) fn num_nonfinite(batch: &RecordBatch) -> u64 {
    let columns = batch.columns().iter();
    columns.map(nonfinite_in).sum()
}

fn nonfinite_in(array: &ArrayRef) -> u64 {
    match array.data_type() {
        DataType::Float16 => {
            let values = array.as_primitive::<Float16Type>().iter().flatten();
            values.filter(|value| !value.is_finite()).count() as u64
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().iter().flatten();
            values.filter(|value| !value.is_finite()).count() as u64
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().iter().flatten();
            values.filter(|value| !value.is_finite()).count() as u64
        }
        DataType::List(_) => nonfinite_in_lists::<i32>(array),
        DataType::LargeList(_) => nonfinite_in_lists::<i64>(array),
        DataType::FixedSizeList(..) => {
            let lists = array.as_fixed_size_list().iter().flatten();
            lists.map(|list| nonfinite_in(&list)).sum()
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter();
            columns.map(nonfinite_in).sum()
        }
        _ => 0,
    }
}

/// What a null list covers is not written, and not counted.
fn nonfinite_in_lists<O: OffsetSizeTrait>(array: &ArrayRef) -> u64 {
    let lists = array.as_list::<O>();
    if lists.null_count() > 0 {
        return lists.iter().flatten().map(|list| nonfinite_in(&list)).sum();
    }
    let offsets = lists.value_offsets();
    let (start, end) = (offsets[0].as_usize(), offsets[lists.len()].as_usize());
    nonfinite_in(&lists.values().slice(start, end - start))
}
