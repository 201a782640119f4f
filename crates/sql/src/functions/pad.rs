//! `pad(list, width [, value])`: lists of different lengths made equal.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanBufferBuilder, Float32Array, ListArray,
    PrimitiveArray,
};
use arrow::datatypes::{DataType, Float32Type, Int64Type};
use datafusion::common::cast::{as_list_array, as_primitive_array};
use datafusion::common::{Result, exec_err, internal_err, resources_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::doc::documentation;
use super::lists::{
    FLOAT32_ITEM, FloatLists, check_num_args, coerce_to_float32, columnar, float32_list,
    num_rows_to_compute, offsets_of, validity,
};

const NAME: &str = "pad";

/// `pad` as DataFusion plans it. `array_resize` would make the list `Float64`, and cut off what is
/// too long.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Pad {
    signature: Signature,
    /// How many bytes a batch of padded lists may take.
    max_bytes: usize,
}

impl Pad {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            max_bytes,
        }
    }
}

impl ScalarUDFImpl for Pad {
    fn name(&self) -> &str {
        NAME
    }

    fn documentation(&self) -> Option<&Documentation> {
        documentation(self.name())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_num_args(2..=3, given.len(), "pad(list, width [, value])")?;
        let types = [
            coerce_to_float32(NAME, &given[0])?,
            DataType::Int64,
            DataType::Float32,
        ];
        Ok(types.into_iter().take(given.len()).collect())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(float32_list())
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let num_rows = num_rows_to_compute(&call.args, call.number_rows);
        let [lists, widths, fills @ ..] = call.args.as_slice() else {
            return internal_err!("{NAME} got {} arguments", call.args.len());
        };
        let lists = lists.to_array(num_rows)?;
        let widths = Numbers::<Int64Type>::try_new(widths)?;
        let fills = match fills {
            [fill] => Numbers::<Float32Type>::try_new(fill)?,
            _ => Numbers::Constant(Some(0.0)),
        };
        let padded = match (&widths, &fills) {
            (Numbers::Constant(Some(width)), Numbers::Constant(Some(_))) => {
                already_padded(&lists, *width)?
            }
            _ => None,
        };
        let padded = match padded {
            Some(padded) => padded,
            None => pad(&lists, &widths, &fills, self.max_bytes)?,
        };
        columnar(Arc::new(padded), &call.args)
    }
}

/// A number a row, or one for all rows.
enum Numbers<T: ArrowPrimitiveType> {
    Constant(Option<T::Native>),
    Column(PrimitiveArray<T>),
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    fn try_new(argument: &ColumnarValue) -> Result<Self> {
        Ok(match argument {
            ColumnarValue::Scalar(scalar) => {
                let one = scalar.to_array()?;
                let one = as_primitive_array::<T>(&one)?;
                Self::Constant(one.is_valid(0).then(|| one.value(0)))
            }
            ColumnarValue::Array(column) => Self::Column(as_primitive_array::<T>(column)?.clone()),
        })
    }

    fn row(&self, row: usize) -> Option<T::Native> {
        match self {
            Self::Constant(number) => *number,
            Self::Column(column) => column.is_valid(row).then(|| column.value(row)),
        }
    }
}

/// The lists as they are where all have the width already, as those of a layer with the largest
/// fan-in do.
fn already_padded(lists: &ArrayRef, width: i64) -> Result<Option<ListArray>> {
    let lists = as_list_array(lists)?;
    let values = as_primitive_array::<Float32Type>(lists.values())?;
    let fits = lists
        .value_offsets()
        .array_windows()
        .all(|[start, end]| i64::from(end - start) == width);
    if !fits || lists.null_count() > 0 || values.null_count() > 0 {
        return Ok(None);
    }
    let values = Float32Array::new(values.values().clone(), None);
    Ok(Some(ListArray::try_new(
        Arc::clone(&FLOAT32_ITEM),
        lists.offsets().clone(),
        Arc::new(values),
        None,
    )?))
}

fn pad(
    lists: &ArrayRef,
    widths: &Numbers<Int64Type>,
    fills: &Numbers<Float32Type>,
    max_bytes: usize,
) -> Result<ListArray> {
    let num_rows = lists.len();
    let lists = FloatLists::<Float32Type>::try_new(NAME, lists)?;
    let mut rows = Vec::with_capacity(num_rows);
    for row in 0..num_rows {
        rows.push(match (lists.row(row)?, widths.row(row), fills.row(row)) {
            (Some(list), Some(width), Some(fill)) => {
                Some((list, checked_width(list.len(), width)?, fill))
            }
            _ => None,
        });
    }
    let offsets = offsets_of(
        NAME,
        rows.iter().map(|row| row.map_or(0, |(_, width, _)| width)),
    )?;
    let widest = rows.iter().flatten().map(|(_, width, _)| *width).max();
    let mut values = room_for(offsets[num_rows] as usize, widest.unwrap_or(0), max_bytes)?;
    let mut valid = BooleanBufferBuilder::new(num_rows);
    for row in rows {
        valid.append(row.is_some());
        if let Some((list, width, fill)) = row {
            values.extend_from_slice(list);
            values.extend(std::iter::repeat_n(fill, width - list.len()));
        }
    }
    Ok(ListArray::try_new(
        Arc::clone(&FLOAT32_ITEM),
        offsets,
        Arc::new(Float32Array::from(values)),
        validity(valid.finish()),
    )?)
}

/// Budget for the elements of a batch, or an error where a hugely wide one would end the process.
fn room_for(num_elements: usize, width: usize, max_bytes: usize) -> Result<Vec<f32>> {
    let bytes = num_elements.saturating_mul(size_of::<f32>());
    let mut values = Vec::new();
    if bytes > max_bytes || values.try_reserve_exact(num_elements).is_err() {
        return resources_err!("{NAME}: lists of width {width} take {bytes} bytes in one batch");
    }
    Ok(values)
}

/// `width` as a length that holds `len` elements.
fn checked_width(len: usize, width: i64) -> Result<usize> {
    match usize::try_from(width) {
        Ok(width) if width >= len => Ok(width),
        _ => exec_err!("{NAME}: a list of {len} elements does not fit into width {width}"),
    }
}
