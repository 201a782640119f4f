//! Arrow's values as Python's.

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::error::query;

/// Appends the rows of a batch as tuples.
pub(super) fn append_rows(rows: &Bound<'_, PyList>, batch: &RecordBatch) -> PyResult<()> {
    let py = rows.py();
    let columns = batch
        .columns()
        .iter()
        .map(|column| column_values(py, column));
    let columns: Vec<Vec<Py<PyAny>>> = columns.collect::<PyResult<_>>()?;
    for row in 0..batch.num_rows() {
        let values = columns.iter().map(|column| column[row].bind(py));
        rows.append(PyTuple::new(py, values)?)?;
    }
    Ok(())
}

macro_rules! numbers {
    ($py:expr, $array:expr, $type:ty, $into:ty) => {
        $array
            .as_primitive::<$type>()
            .iter()
            .map(|value| value.map(<$into>::from).into_py_any($py))
            .collect()
    };
}

/// The values of an array: None, numbers, texts, times in UTC, lists, and dicts for structs. Whatever else
/// there is as text.
fn column_values(py: Python<'_>, array: &dyn Array) -> PyResult<Vec<Py<PyAny>>> {
    match array.data_type() {
        DataType::Null => Ok((0..array.len()).map(|_| py.None()).collect()),
        DataType::Boolean => each(py, array.as_boolean().iter()),
        DataType::Int8 => numbers!(py, array, Int8Type, i64),
        DataType::Int16 => numbers!(py, array, Int16Type, i64),
        DataType::Int32 => numbers!(py, array, Int32Type, i64),
        DataType::Int64 => numbers!(py, array, Int64Type, i64),
        DataType::UInt8 => numbers!(py, array, UInt8Type, u64),
        DataType::UInt16 => numbers!(py, array, UInt16Type, u64),
        DataType::UInt32 => numbers!(py, array, UInt32Type, u64),
        DataType::UInt64 => numbers!(py, array, UInt64Type, u64),
        DataType::Float16 => numbers!(py, array, Float16Type, f64),
        DataType::Float32 => numbers!(py, array, Float32Type, f64),
        DataType::Float64 => numbers!(py, array, Float64Type, f64),
        DataType::Utf8 => each(py, array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => each(py, array.as_string::<i64>().iter()),
        DataType::Utf8View => each(py, array.as_string_view().iter()),
        DataType::Timestamp(unit, _) => times(py, array, *unit),
        DataType::List(_) => lists(py, array.as_list::<i32>().iter()),
        DataType::LargeList(_) => lists(py, array.as_list::<i64>().iter()),
        DataType::FixedSizeList(..) => lists(py, array.as_fixed_size_list().iter()),
        DataType::Struct(_) => structs(py, array),
        DataType::Dictionary(_, of) => column_values(py, &cast(array, of).map_err(query)?),
        _ => texts(py, array),
    }
}

fn each<'py, T: IntoPyObject<'py>>(
    py: Python<'py>,
    values: impl Iterator<Item = Option<T>>,
) -> PyResult<Vec<Py<PyAny>>> {
    values.map(|value| value.into_py_any(py)).collect()
}

fn lists(
    py: Python<'_>,
    lists: impl Iterator<Item = Option<arrow::array::ArrayRef>>,
) -> PyResult<Vec<Py<PyAny>>> {
    let list = |list: Option<arrow::array::ArrayRef>| match list {
        None => Ok(py.None()),
        Some(list) => PyList::new(py, column_values(py, &list)?)?.into_py_any(py),
    };
    lists.map(list).collect()
}

fn structs(py: Python<'_>, array: &dyn Array) -> PyResult<Vec<Py<PyAny>>> {
    let of = array.as_struct();
    let fields = of.columns().iter().map(|field| column_values(py, field));
    let fields: Vec<_> = fields.collect::<PyResult<_>>()?;
    let row = |row: usize| {
        if of.is_null(row) {
            return Ok(py.None());
        }
        let values = PyDict::new(py);
        for (name, field) in of.column_names().into_iter().zip(&fields) {
            values.set_item(name, &field[row])?;
        }
        values.into_py_any(py)
    };
    (0..of.len()).map(row).collect()
}

/// As `datetime`, to the microsecond.
fn times(py: Python<'_>, array: &dyn Array, unit: TimeUnit) -> PyResult<Vec<Py<PyAny>>> {
    let (up, down) = match unit {
        TimeUnit::Second => (1_000_000, 1),
        TimeUnit::Millisecond => (1_000, 1),
        TimeUnit::Microsecond => (1, 1),
        TimeUnit::Nanosecond => (1, 1_000),
    };
    let datetime = py.import("datetime")?;
    let zero = datetime.getattr("datetime")?.call1((
        1970,
        1,
        1,
        0,
        0,
        0,
        0,
        datetime.getattr("timezone")?.getattr("utc")?,
    ))?;
    let since = datetime.getattr("timedelta")?;
    let counts = cast(array, &DataType::Int64).map_err(query)?;
    let time = |count: Option<i64>| match count {
        None => Ok(py.None()),
        Some(count) => {
            let microseconds = i128::from(count) * up / down;
            zero.add(since.call1((0, 0, microseconds))?)?
                .into_py_any(py)
        }
    };
    counts
        .as_primitive::<Int64Type>()
        .iter()
        .map(time)
        .collect()
}

fn texts(py: Python<'_>, array: &dyn Array) -> PyResult<Vec<Py<PyAny>>> {
    let options = FormatOptions::default();
    let format = ArrayFormatter::try_new(array, &options).map_err(query)?;
    let text = |row: usize| match array.is_null(row) {
        true => Ok(py.None()),
        false => format.value(row).to_string().into_py_any(py),
    };
    (0..array.len()).map(text).collect()
}
