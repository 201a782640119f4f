//! Columns of rows that queries gave.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type};

/// A column of a query of ours: it is there, since the query names it.
fn column<'a>(rows: &'a RecordBatch, name: &str) -> &'a dyn Array {
    let column = rows.column_by_name(name);
    column.expect("the query selects the column").as_ref()
}

/// Whole numbers, -1 where there is none.
pub(crate) fn integers(rows: &RecordBatch, name: &str) -> Vec<i64> {
    let column = column(rows, name);
    match column.data_type() {
        DataType::Int32 => {
            let values = column.as_primitive::<Int32Type>().iter();
            values.map(|value| value.map_or(-1, i64::from)).collect()
        }
        _ => {
            let values = column.as_primitive::<Int64Type>().iter();
            values.map(|value| value.unwrap_or(-1)).collect()
        }
    }
}

/// Numbers that are finite; none where there is no such number.
pub(crate) fn floats(rows: &RecordBatch, name: &str) -> Vec<Option<f64>> {
    let column = column(rows, name);
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
    match column.data_type() {
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>().iter();
            values.map(|value| finite(value.map(f64::from))).collect()
        }
        _ => {
            let values = column.as_primitive::<Float64Type>().iter();
            values.map(finite).collect()
        }
    }
}

/// Texts; empty where there is none.
pub(crate) fn texts(rows: &RecordBatch, name: &str) -> Vec<String> {
    let column = column(rows, name);
    let text = |value: Option<&str>| value.unwrap_or("").to_owned();
    match column.data_type() {
        DataType::Utf8View => column.as_string_view().iter().map(text).collect(),
        _ => column.as_string::<i32>().iter().map(text).collect(),
    }
}

/// Lists of 32-bit floats; none where there is none.
pub(crate) fn lists(rows: &RecordBatch, name: &str) -> Vec<Option<Vec<f32>>> {
    let lists = column(rows, name).as_list::<i32>();
    lists
        .iter()
        .map(|list| Some(list?.as_primitive::<Float32Type>().values().to_vec()))
        .collect()
}
