//! A column a list element.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::functions_nested::expr_fn::array_length;
use datafusion::logical_expr::{cast, ident};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::DataFrame;
use futures::StreamExt;

use crate::run::error::QueryError;

/// The rows of a query with every list spread over columns: `w_0`, `w_1`, ... for `weights`,
/// `<column>_0`, ... for any other, null past a list's end.
///
/// A stream's columns have to be known before its first row, so the query runs once more for the
/// longest length of each list.
///
/// # Errors
/// If the query fails.
pub async fn widened(rows: DataFrame) -> Result<SendableRecordBatchStream, QueryError> {
    let schema = Arc::clone(rows.schema().inner());
    let widths = widths(&rows, &schema).await?;
    let wide = wide_schema(&schema, &widths);
    let rows = rows.execute_stream().await?;
    let batch_schema = Arc::clone(&wide);
    let rows = rows.map(move |batch| widen(&batch?, &widths, &batch_schema));
    Ok(Box::pin(RecordBatchStreamAdapter::new(wide, rows)))
}

fn is_list(field: &Field) -> bool {
    matches!(field.data_type(), DataType::List(_))
}

/// The length of the longest list of each column; none for a column that is no list.
async fn widths(rows: &DataFrame, schema: &Schema) -> Result<Vec<Option<usize>>, QueryError> {
    let lists = schema.fields().iter().filter(|field| is_list(field));
    let longest: Vec<_> = lists
        .enumerate()
        .map(|(index, field)| {
            let length = cast(array_length(ident(field.name())), DataType::Int64);
            max(length).alias(index.to_string())
        })
        .collect();
    if longest.is_empty() {
        return Ok(vec![None; schema.fields().len()]);
    }
    let longest = rows.clone().aggregate(vec![], longest)?.collect().await?;
    let row = &longest[0];
    let mut lengths = row.columns().iter().map(|length| {
        let length: &Int64Array = length.as_primitive::<Int64Type>();
        if length.is_null(0) {
            0
        } else {
            length.value(0) as usize
        }
    });
    let width = |field: &Arc<Field>| is_list(field).then(|| lengths.next().unwrap_or(0));
    Ok(schema.fields().iter().map(width).collect())
}

fn wide_schema(schema: &Schema, widths: &[Option<usize>]) -> SchemaRef {
    let mut fields = Vec::new();
    for (field, width) in schema.fields().iter().zip(widths) {
        match (field.data_type(), width) {
            (DataType::List(item), Some(width)) => {
                let stem = if field.name() == "weights" {
                    "w"
                } else {
                    field.name()
                };
                fields.extend((0..*width).map(|index| {
                    Field::new(format!("{stem}_{index}"), item.data_type().clone(), true)
                }));
            }
            _ => fields.push(field.as_ref().clone()),
        }
    }
    Arc::new(Schema::new(fields))
}

fn widen(batch: &RecordBatch, widths: &[Option<usize>], schema: &SchemaRef) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for (column, width) in batch.columns().iter().zip(widths) {
        let Some(width) = width else {
            columns.push(Arc::clone(column));
            continue;
        };
        let lists = column.as_list::<i32>();
        let offsets = lists.value_offsets();
        for index in 0..*width as i32 {
            let elements = (0..lists.len()).map(|row| {
                let element = offsets[row] + index;
                (lists.is_valid(row) && element < offsets[row + 1]).then_some(element as u32)
            });
            columns.push(take(
                lists.values(),
                &UInt32Array::from_iter(elements),
                None,
            )?);
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}
