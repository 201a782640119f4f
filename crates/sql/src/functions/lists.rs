//! Flat views of list columns, and the types in which the list functions compute.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, ListArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::cast::{as_list_array, as_primitive_array};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::ColumnarValue;

/// The field of a `Float32` list's elements in every result: never null, as in the tables of a run.
pub(super) static FLOAT32_ITEM: LazyLock<FieldRef> =
    LazyLock::new(|| Arc::new(Field::new_list_field(DataType::Float32, false)));

/// The type of every `Float32` list that these functions return.
pub(super) fn float32_list() -> DataType {
    DataType::List(Arc::clone(&FLOAT32_ITEM))
}

/// An element type on which the list functions compute.
pub(super) trait Float: ArrowPrimitiveType<Native: Into<f64>> {}

impl Float for Float32Type {}
impl Float for Float64Type {}

/// The list type into which an argument is cast before `function` sees it: a `List` of `Float32`,
/// or of `Float64` where `f32` would lose digits. A list that is already one of these keeps its
/// type, so that no cast is planned.
pub(super) fn coerce_to_floats(function: &str, given: &DataType) -> Result<DataType> {
    let float = match element_type(given) {
        Some(DataType::Float64) => DataType::Float64,
        Some(DataType::Int32 | DataType::Int64 | DataType::UInt32 | DataType::UInt64) => {
            DataType::Float64
        }
        Some(element) if element.is_decimal() => DataType::Float64,
        Some(element) if element.is_numeric() => DataType::Float32,
        Some(DataType::Boolean | DataType::Null) => DataType::Float32,
        _ if given.is_null() => DataType::Float32,
        _ => return plan_err!("{function} takes a list of numbers, not {given}"),
    };
    Ok(as_plain_list(given, float))
}

/// As [`coerce_to_floats`], for functions whose result is the list's own values and therefore
/// `Float32`.
pub(super) fn coerce_to_float32(function: &str, given: &DataType) -> Result<DataType> {
    coerce_to_floats(function, given)?;
    Ok(as_plain_list(given, DataType::Float32))
}

/// The type of a list's elements, whatever kind of list it is.
pub(super) fn element_type(list: &DataType) -> Option<&DataType> {
    match list {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => Some(item.data_type()),
        _ => None,
    }
}

/// `given` if it is a `List` of `element`, the nullable `List` of it otherwise.
pub(super) fn as_plain_list(given: &DataType, element: DataType) -> DataType {
    match given {
        DataType::List(item) if item.data_type() == &element => given.clone(),
        _ => DataType::new_list(element, true),
    }
}

/// Refuses a call with another number of arguments than `expected`, and shows how the call is
/// written.
pub(super) fn check_num_args(
    expected: std::ops::RangeInclusive<usize>,
    given: usize,
    signature: &str,
) -> Result<()> {
    if expected.contains(&given) {
        return Ok(());
    }
    plan_err!("{given} arguments do not fit {signature}")
}

/// A column of float lists as the flat values and offsets that it is. Rows are slices: no list is
/// copied or boxed, and an array that is a slice of another one needs no care.
pub(super) struct FloatLists<'a, T: Float> {
    function: &'static str,
    offsets: &'a [i32],
    values: &'a [T::Native],
    nulls: Option<&'a NullBuffer>,
    element_nulls: Option<&'a NullBuffer>,
}

impl<'a, T: Float> FloatLists<'a, T> {
    pub(super) fn try_new(function: &'static str, lists: &'a ArrayRef) -> Result<Self> {
        let lists = as_list_array(lists)?;
        let values = as_primitive_array::<T>(lists.values())?;
        Ok(Self {
            function,
            offsets: lists.value_offsets(),
            values: values.values(),
            nulls: lists.nulls(),
            element_nulls: values.nulls().filter(|nulls| nulls.null_count() > 0),
        })
    }

    /// The list at `row`, or none where it is NULL. A NULL among its elements is an error.
    pub(super) fn row(&self, row: usize) -> Result<Option<&'a [T::Native]>> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(None);
        }
        let (start, end) = (self.offsets[row] as usize, self.offsets[row + 1] as usize);
        if let Some(nulls) = self.element_nulls
            && nulls.slice(start, end - start).null_count() > 0
        {
            return exec_err!(
                "{}: a list holds a NULL element; leave NULLs out where the list is made, as in \
                 vec_collect(x) FILTER (WHERE x IS NOT NULL)",
                self.function
            );
        }
        Ok(Some(&self.values[start..end]))
    }
}

/// A list argument of a scalar function: a column, or one list for all rows, which is then not
/// repeated.
pub(super) struct ListArg {
    array: ArrayRef,
    constant: bool,
}

impl ListArg {
    pub(super) fn try_new(argument: &ColumnarValue) -> Result<Self> {
        Ok(match argument {
            ColumnarValue::Array(array) => Self {
                array: Arc::clone(array),
                constant: false,
            },
            ColumnarValue::Scalar(scalar) => Self {
                array: scalar.to_array()?,
                constant: true,
            },
        })
    }

    pub(super) fn array(&self) -> &ArrayRef {
        &self.array
    }

    pub(super) fn lists(&self) -> Result<&ListArray> {
        as_list_array(&self.array)
    }

    /// Where the list of `row` is in the array.
    pub(super) fn index(&self, row: usize) -> usize {
        if self.constant { 0 } else { row }
    }

    /// Whether the elements are `Float64`.
    pub(super) fn is_float64(&self) -> bool {
        element_type(self.array.data_type()) == Some(&DataType::Float64)
    }
}

/// How many rows a scalar function has to compute: one where all arguments are constants.
pub(super) fn num_rows_to_compute(arguments: &[ColumnarValue], number_rows: usize) -> usize {
    if all_constant(arguments) {
        1
    } else {
        number_rows
    }
}

/// The result of a scalar function, as a constant where all its arguments were.
pub(super) fn columnar(result: ArrayRef, arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    Ok(if all_constant(arguments) {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
    } else {
        ColumnarValue::Array(result)
    })
}

fn all_constant(arguments: &[ColumnarValue]) -> bool {
    arguments
        .iter()
        .all(|argument| matches!(argument, ColumnarValue::Scalar(_)))
}

/// The offsets of lists of these lengths. More elements than `i32` offsets can address are an
/// error.
pub(super) fn offsets_of(
    function: &str,
    lengths: impl Iterator<Item = usize>,
) -> Result<OffsetBuffer<i32>> {
    let mut offsets = Vec::with_capacity(lengths.size_hint().0 + 1);
    let mut end = 0_usize;
    offsets.push(0);
    for length in lengths {
        end += length;
        let Ok(offset) = i32::try_from(end) else {
            return exec_err!(
                "{function}: the lists of one batch have more than {} elements in all; make them \
                 shorter, or fewer of them, as with WHERE layer = '...' AND epoch = ...",
                i32::MAX
            );
        };
        offsets.push(offset);
    }
    Ok(OffsetBuffer::new(offsets.into()))
}

/// `valid` as the null buffer of an array, which needs none where every row is valid.
pub(super) fn validity(valid: BooleanBuffer) -> Option<NullBuffer> {
    Some(NullBuffer::new(valid)).filter(|nulls| nulls.null_count() > 0)
}
