//! Parquet.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::KeyValue;
use serde::Deserialize;

use super::columns::{Columns, Role};
use super::decimal::is_distinct;
use super::missing::is_missing;
use super::raw::{
    Gaps, InputKind, Numbers, RawTable, ReadFile, TextColumn, as_argument, lost, not_finite, refuse,
};
use super::table::{empty_table, finish};
use super::{DatasetError, FileSpec, Place};

/// A file may have so many values in the columns that are read, or so many for every byte that it has: where all
/// of a column are the same they take nearly none.
const MAX_VALUES: u64 = 1 << 20;
const MAX_VALUES_A_BYTE: u64 = 256;

/// The key under which pandas says of a file which columns are what.
const PANDAS: &str = "pandas";

/// Reads a file of that name from its bytes: a row a sample.
///
/// # Errors
/// A column that has no numbers, the first value that is none, or the columns that lack values.
pub(super) fn read(file: &Path, bytes: Bytes, spec: &FileSpec) -> Result<ReadFile, DatasetError> {
    // What decodes them does not bear every file.
    trace::caught(|| decode(file, bytes, spec)).unwrap_or_else(|error| {
        Err(refuse(
            file,
            format!("it cannot be read as Parquet: {error}"),
        ))
    })
}

fn decode(file: &Path, bytes: Bytes, spec: &FileSpec) -> Result<ReadFile, DatasetError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        refuse(file, format!("it cannot be read as Parquet: {error}"))
    };
    let num_bytes = bytes.len() as u64;
    let footer = trace::read_footer(&bytes).and_then(|footer| {
        ArrowReaderMetadata::try_new(Arc::new(footer), ArrowReaderOptions::default())
    });
    let footer = footer.map_err(|error| unreadable(&error))?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), footer);
    let schema = builder.schema().clone();
    let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let index = pandas_index(builder.metadata().file_metadata().key_value_metadata());
    let mut columns = Columns::assign(file, names, spec, &index)?;
    let texts_are_categories = Columns::any_text_is_a_category(spec);
    for (field, role) in schema.fields().iter().zip(&mut columns.roles) {
        let data_type = field.data_type();
        if *role == Role::Number && texts_are_categories && is_text(data_type) {
            *role = Role::Category;
        }
        check_type(file, field.name(), data_type, *role)?;
    }

    let used = |index: &usize| columns.roles[*index] != Role::Ignored;
    let kept: Vec<usize> = (0..columns.names.len()).filter(used).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), kept.iter().copied());
    let num_rows = u64::try_from(builder.metadata().file_metadata().num_rows());
    let num_rows = num_rows.map_err(|error| unreadable(&error))?;
    let num_values = num_rows.saturating_mul(kept.len() as u64);
    let most = num_bytes.saturating_mul(MAX_VALUES_A_BYTE);
    if num_values > most.max(MAX_VALUES) {
        let problem = format!(
            "its footer says that it has {num_values} values in {num_bytes} bytes: if they are what they \
             should be, write it without compression and dictionaries"
        );
        return Err(refuse(file, problem));
    }
    let leaves: Vec<usize> = (0..builder.parquet_schema().num_columns())
        .filter(|&leaf| mask.leaf_included(leaf))
        .collect();
    trace::check_pages(&bytes, builder.metadata(), &leaves).map_err(|error| unreadable(&error))?;
    let mut table = empty_table(file, &columns, spec);
    let width = table.num_numbers;
    let mut numbers: Vec<f64> = Vec::new();
    let room = numbers.try_reserve_exact((num_rows as usize).saturating_mul(width));
    room.map_err(|error| unreadable(&error))?;
    let mut first = 0;
    let reader = builder.with_projection(mask).build();
    for batch in reader.map_err(|error| unreadable(&error))? {
        let batch = batch.map_err(|error| unreadable(&error))?;
        if (first + batch.num_rows()) as u64 > num_rows {
            return Err(refuse(
                file,
                format!("it has more than the {num_rows} rows of its footer"),
            ));
        }
        numbers.resize((first + batch.num_rows()) * width, f64::NAN);
        let RawTable {
            inputs, targets, ..
        } = &mut table;
        let mut inputs = inputs.iter_mut();
        for (column, &index) in batch.columns().iter().zip(&kept) {
            let refused = |(row, problem): (usize, String)| DatasetError::Refused {
                file: file.to_owned(),
                place: Some(Place::Row((first + row) as u64)),
                column: Some(columns.names[index].clone()),
                problem,
            };
            match columns.roles[index] {
                Role::Number => {
                    let input = inputs.next().expect("an input has a column");
                    let values = read_numbers(column, first, &mut input.gaps).map_err(refused)?;
                    let InputKind::Number(number) = input.kind else {
                        unreachable!("it was made for numbers")
                    };
                    for (row, value) in values.into_iter().enumerate() {
                        numbers[(first + row) * width + number] = value;
                    }
                }
                Role::Category => {
                    let input = inputs.next().expect("an input has a column");
                    if let InputKind::Category(texts) = &mut input.kind {
                        push_texts(texts, column, spec);
                    }
                }
                Role::Target(target) => push_texts(&mut targets[target], column, spec),
                Role::Ignored => unreachable!("it was not read"),
            }
        }
        first += batch.num_rows();
    }
    table.numbers = Numbers::Double(numbers);
    finish(table, columns, spec, None)
}

/// The columns that pandas wrote as the index of its rows.
fn pandas_index(metadata: Option<&Vec<KeyValue>>) -> Vec<String> {
    #[derive(Deserialize)]
    struct Pandas {
        /// Names of columns, or objects that describe an index that has none.
        index_columns: Vec<serde_json::Value>,
    }
    let of_pandas = metadata.into_iter().flatten();
    let of_pandas = of_pandas.filter(|entry| entry.key == PANDAS);
    let said = of_pandas.filter_map(|entry| entry.value.as_deref());
    said.filter_map(|json| serde_json::from_str::<Pandas>(json).ok())
        .flat_map(|pandas| pandas.index_columns)
        .filter_map(|column| column.as_str().map(str::to_owned))
        .collect()
}

fn check_type(
    file: &Path,
    column: &str,
    data_type: &DataType,
    role: Role,
) -> Result<(), DatasetError> {
    let (numbers, texts) = (is_numeric(data_type), is_text(data_type));
    let name = as_argument(column);
    let problem = match role {
        Role::Ignored => return Ok(()),
        Role::Number if numbers => return Ok(()),
        Role::Category | Role::Target(_) if numbers || texts => return Ok(()),
        Role::Number if texts => format!(
            "it is of type {data_type}, inputs are numbers: --categorical {name} takes it as \
             categories (--categorical alone every column of texts), --ignore {name} leaves it out"
        ),
        Role::Number | Role::Category => format!(
            "it is of type {data_type}, inputs are numbers: turn it into columns of numbers, or leave \
             it out with --ignore {name}"
        ),
        Role::Target(_) => {
            format!("it is of type {data_type}, what is predicted are numbers or texts")
        }
    };
    Err(DatasetError::Refused {
        file: file.to_owned(),
        place: None,
        column: Some(column.to_owned()),
        problem,
    })
}

fn is_numeric(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean | DataType::Null => true,
        DataType::Dictionary(_, values) => is_numeric(values),
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

/// A column's values themselves, where it has numbers of them.
fn unpacked(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Dictionary(_, values) => {
            cast(column, values).expect("a dictionary becomes its values")
        }
        _ => ArrayRef::clone(column),
    }
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..)
    )
}

/// The values of a column of numbers, NaN where there is none; `first` rows came before.
///
/// # Errors
/// The first number that would become another one, or none, with its row.
fn read_numbers(
    column: &ArrayRef,
    first: usize,
    gaps: &mut Gaps,
) -> Result<Vec<f64>, (usize, String)> {
    let column = unpacked(column);
    let mut numbers = Vec::with_capacity(column.len());
    let value_of = number_of(&column);
    for row in 0..column.len() {
        if column.is_null(row) || *column.data_type() == DataType::Null {
            gaps.push(first + row, "null");
            numbers.push(f64::NAN);
            continue;
        }
        let value = value_of(row).map_err(|text| (row, lost(&text)))?;
        if value.is_nan() {
            gaps.push(first + row, "NaN");
        } else if !(value as f32).is_finite() {
            return Err((row, not_finite(&value.to_string())));
        }
        numbers.push(value);
    }
    Ok(numbers)
}

/// What a row's number is as a float; an error is one that no float is, as it is written.
type NumberOf = Box<dyn Fn(usize) -> Result<f64, String>>;

fn number_of(column: &ArrayRef) -> NumberOf {
    match column.data_type() {
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>().clone();
            Box::new(move |row| {
                let (value, float) = (values.value(row), values.value(row) as f64);
                match i128::from(value) == float as i128 {
                    true => Ok(float),
                    false => Err(value.to_string()),
                }
            })
        }
        DataType::UInt64 => {
            let values = column.as_primitive::<UInt64Type>().clone();
            Box::new(move |row| {
                let (value, float) = (values.value(row), values.value(row) as f64);
                match u128::from(value) == float as u128 {
                    true => Ok(float),
                    false => Err(value.to_string()),
                }
            })
        }
        data_type if is_decimal(data_type) => {
            let texts = cast(column, &DataType::Utf8).expect("decimals become texts");
            let texts = texts.as_string::<i32>().clone();
            Box::new(move |row| {
                let text = texts.value(row);
                match text.parse::<f64>() {
                    Ok(value) if !value.is_finite() || is_distinct(text, value) => Ok(value),
                    _ => Err(text.to_owned()),
                }
            })
        }
        DataType::Null => Box::new(|_| Ok(f64::NAN)),
        _ => {
            let wide = cast(column, &DataType::Float64).expect("numbers become floats");
            let values = wide.as_primitive::<Float64Type>().clone();
            Box::new(move |row| Ok(values.value(row)))
        }
    }
}

/// Numbers become texts as people write them: 3, not 3.0.
fn push_texts(texts: &mut TextColumn, column: &ArrayRef, spec: &FileSpec) {
    let column = unpacked(column);
    let text_of = text_of(&column);
    for row in 0..column.len() {
        if column.is_null(row) || *column.data_type() == DataType::Null {
            texts.push_gap("null");
            continue;
        }
        let text = text_of(row);
        match is_missing(&text, spec) {
            true => texts.push_gap(&text),
            false => texts.push(&text),
        }
    }
}

fn text_of(column: &ArrayRef) -> Box<dyn Fn(usize) -> String> {
    if let Some(values) = column.as_any().downcast_ref::<BooleanArray>() {
        let values = values.clone();
        return Box::new(move |row| values.value(row).to_string());
    }
    if column.data_type().is_floating() {
        let wide = cast(column, &DataType::Float64).expect("numbers become floats");
        let values = wide.as_primitive::<Float64Type>().clone();
        return Box::new(move |row| values.value(row).to_string());
    }
    let is_decimal = is_decimal(column.data_type());
    let texts = cast(column, &DataType::Utf8).expect("integers, decimals and texts become texts");
    let texts = texts.as_string::<i32>().clone();
    Box::new(move |row| match (is_decimal, texts.value(row)) {
        (true, text) if text.contains('.') => {
            let text = text.trim_end_matches('0').trim_end_matches('.');
            text.to_owned()
        }
        (_, text) => text.to_owned(),
    })
}
