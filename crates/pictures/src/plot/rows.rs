//! Rows that queries gave, and their columns.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::prelude::DataFrame;
use futures::StreamExt;
use sql::QueryError;

use super::error::PlotError;

/// All rows of an answer; what they take is reserved while they come.
pub(crate) async fn collected(rows: DataFrame) -> Result<RecordBatch, PlotError> {
    let task = rows.task_ctx();
    let memory = MemoryConsumer::new("rows of a picture").register(task.memory_pool());
    Ok(collect(rows, &memory).await?)
}

async fn collect(rows: DataFrame, memory: &MemoryReservation) -> Result<RecordBatch, QueryError> {
    let schema = rows.schema().inner().clone();
    let mut stream = rows.execute_stream().await?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        for column in batch.columns() {
            // They are put together into others.
            memory.try_grow(2 * column.to_data().get_slice_memory_size()?)?;
        }
        batches.push(batch);
    }
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    Ok(concat_batches(&schema, &batches)?)
}

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
