//! Parquet.

use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::raw::{RawTable, Role, TargetColumn, not_finite, refuse, roles};
use super::{DatasetError, FileSpec, Place};

/// Reads a file of that name from its bytes: a row a sample.
///
/// # Errors
/// A column that has no numbers, or the first value that is none.
pub(super) fn read(file: &Path, bytes: Bytes, spec: &FileSpec) -> Result<RawTable, DatasetError> {
    let unreadable = |error: &dyn std::fmt::Display| refuse(file, error.to_string());
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| unreadable(&error))?;
    let schema = builder.schema().clone();
    let columns: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let roles = roles(file, &columns, &spec.targets, &spec.ignored)?;
    for (field, role) in schema.fields().iter().zip(&roles) {
        let numbers = is_numeric(field.data_type());
        let problem = match role {
            Role::Ignored => continue,
            Role::Input(_) if numbers => continue,
            Role::Target(_) if numbers || is_text(field.data_type()) => continue,
            Role::Input(_) => format!(
                "it is of type {}, inputs are numbers: leave it out with --ignore",
                field.data_type()
            ),
            Role::Target(_) => format!(
                "it is of type {}, what is predicted are numbers or texts",
                field.data_type()
            ),
        };
        return Err(DatasetError::Refused {
            file: file.to_owned(),
            place: None,
            column: Some(field.name().clone()),
            problem,
        });
    }

    let used = |index: &usize| roles[*index] != Role::Ignored;
    let kept: Vec<usize> = (0..columns.len()).filter(used).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), kept.iter().copied());
    let input_names = kept.iter().filter(|&&i| matches!(roles[i], Role::Input(_)));
    let input_names: Vec<String> = input_names.map(|&i| columns[i].clone()).collect();
    let mut table = RawTable {
        file: file.to_owned(),
        target_file: None,
        lines: Vec::new(),
        num_inputs: input_names.len(),
        image: None,
        input_names,
        inputs: Vec::new(),
        targets: spec
            .targets
            .iter()
            .cloned()
            .map(TargetColumn::new)
            .collect(),
    };
    let reader = builder.with_projection(mask).build();
    for batch in reader.map_err(|error| unreadable(&error))? {
        let batch = batch.map_err(|error| unreadable(&error))?;
        let first = table.num_rows();
        let width = table.num_inputs;
        let base = table.inputs.len();
        table.inputs.resize(base + batch.num_rows() * width, 0.0);
        for (column, &index) in batch.columns().iter().zip(&kept) {
            let refused = |row: usize, problem: String| DatasetError::Refused {
                file: file.to_owned(),
                place: Some(Place::Row((first + row) as u64)),
                column: Some(columns[index].clone()),
                problem,
            };
            if let Some(row) = (0..column.len()).find(|&row| column.is_null(row)) {
                return Err(refused(row, "it is null".to_owned()));
            }
            match roles[index] {
                Role::Input(input) => {
                    for (row, value) in numbers(column).into_iter().enumerate() {
                        let small = value as f32;
                        if !small.is_finite() {
                            return Err(refused(row, not_finite(&value.to_string())));
                        }
                        table.inputs[base + row * width + input] = small;
                    }
                }
                Role::Target(target) => push_target(&mut table.targets[target], column),
                Role::Ignored => unreachable!("it was not read"),
            }
        }
    }
    Ok(table)
}

fn is_numeric(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean => true,
        DataType::Dictionary(_, values) => is_numeric(values),
        // Decimals and the like are rarely what somebody wants to learn from, but they are numbers.
        _ => data_type.is_numeric(),
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// The values of a column of numbers without nulls.
fn numbers(column: &ArrayRef) -> Vec<f64> {
    let wide = cast(column, &DataType::Float64).expect("numbers become floats");
    wide.as_primitive::<Float64Type>().values().to_vec()
}

/// Whole numbers become texts as people write them: 3, not 3.0.
fn push_target(target: &mut TargetColumn, column: &ArrayRef) {
    if let Some(values) = column.as_any().downcast_ref::<BooleanArray>() {
        for value in values.iter().flatten() {
            target.push(if value { "true" } else { "false" });
        }
    } else if is_numeric(column.data_type()) {
        for value in numbers(column) {
            target.push(&value.to_string());
        }
    } else {
        let texts = cast(column, &DataType::Utf8).expect("texts become texts");
        for value in texts.as_string::<i32>().iter().flatten() {
            target.push(value);
        }
    }
}
