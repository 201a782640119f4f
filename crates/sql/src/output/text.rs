//! Lists as text.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch, RecordBatchOptions, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Float16Type, Float32Type, Float64Type, Schema};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// The batch with every nested column turned into text: lists as JSON, anything else as it is
/// displayed. Formats of flat rows need it.
pub(super) fn lists_as_json(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    if !schema
        .fields()
        .iter()
        .any(|field| field.data_type().is_nested())
    {
        return Ok(batch.clone());
    }
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if field.data_type().is_nested() {
            fields.push(Field::new(field.name(), DataType::Utf8, true));
            columns.push(Arc::new(as_text(column)?));
        } else {
            fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

fn as_text(column: &ArrayRef) -> Result<arrow::array::StringArray, ArrowError> {
    let mut texts = StringBuilder::new();
    let mut text = String::new();
    for row in 0..column.len() {
        if column.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        json(column, row, &mut text)?;
        texts.append_value(&text);
    }
    Ok(texts.finish())
}

/// Appends one value as JSON, in which a number that is not finite is `NaN`, `Infinity` or
/// `-Infinity`: JSON proper has none, but what reads lists out of text, as Python's `json` does,
/// takes these.
fn json(array: &ArrayRef, row: usize, text: &mut String) -> Result<(), ArrowError> {
    match array.data_type() {
        _ if array.is_null(row) => text.push_str("null"),
        DataType::Float16 => number(
            array.as_primitive::<Float16Type>().value(row).to_f32(),
            text,
        ),
        DataType::Float32 => number(array.as_primitive::<Float32Type>().value(row), text),
        DataType::Float64 => number(array.as_primitive::<Float64Type>().value(row), text),
        DataType::List(_) => list::<i32>(array, row, text)?,
        DataType::LargeList(_) => list::<i64>(array, row, text)?,
        other => {
            let options = FormatOptions::default();
            let value = ArrayFormatter::try_new(array, &options)?
                .value(row)
                .to_string();
            match other.is_numeric() || *other == DataType::Boolean {
                true => text.push_str(&value),
                false => text.push_str(&serde_json::Value::String(value).to_string()),
            }
        }
    }
    Ok(())
}

/// Appends the shortest text that is read as the same number.
fn number<F: Into<f64> + Copy + std::fmt::Debug>(value: F, text: &mut String) {
    match value.into() {
        wide if wide.is_nan() => text.push_str("NaN"),
        wide if wide == f64::INFINITY => text.push_str("Infinity"),
        wide if wide == f64::NEG_INFINITY => text.push_str("-Infinity"),
        _ => write!(text, "{value:?}").expect("a string takes everything"),
    }
}

fn list<O: OffsetSizeTrait>(
    array: &ArrayRef,
    row: usize,
    text: &mut String,
) -> Result<(), ArrowError> {
    let lists = array.as_list::<O>();
    let offsets = lists.value_offsets();
    text.push('[');
    for index in offsets[row].as_usize()..offsets[row + 1].as_usize() {
        if index > offsets[row].as_usize() {
            text.push_str(", ");
        }
        json(lists.values(), index, text)?;
    }
    text.push(']');
    Ok(())
}
