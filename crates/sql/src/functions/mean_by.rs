//! `list_mean_by(list, groups)`: the mean of a list's elements, group by group.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, BooleanBufferBuilder, Float32Builder, Int32Array, ListArray,
};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Int32Type};
use datafusion::common::cast::as_primitive_array;
use datafusion::common::{Result, exec_err, plan_err, resources_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::doc::documentation;
use super::lists::{
    Float, FloatLists, ListArg, as_plain_list, check_num_args, coerce_to_floats, columnar,
    element_type, num_rows_to_compute, offsets_of, validity,
};

const NAME: &str = "list_mean_by";

/// The highest group. The result has a place for each group up to the highest that occurs, so that
/// a number that is no group must not become a list of gigabytes.
const MAX_GROUP: i32 = 65_535;

/// `list_mean_by` as DataFusion plans it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ListMeanBy {
    signature: Signature,
    /// How many bytes a batch of means may take.
    max_bytes: usize,
}

impl ListMeanBy {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            max_bytes,
        }
    }
}

impl ScalarUDFImpl for ListMeanBy {
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
        check_num_args(2..=2, given.len(), "list_mean_by(list, groups)")?;
        let list = coerce_to_floats(NAME, &given[0])?;
        let groups = match element_type(&given[1]) {
            Some(element) if element.is_integer() || element.is_null() => {
                as_plain_list(&given[1], DataType::Int32)
            }
            None if given[1].is_null() => DataType::new_list(DataType::Int32, true),
            _ => {
                return plan_err!(
                    "{NAME} takes a list of whole numbers as its groups, not {}",
                    given[1]
                );
            }
        };
        Ok(vec![list, groups])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(item()))
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let num_rows = num_rows_to_compute(&call.args, call.number_rows);
        let list = ListArg::try_new(&call.args[0])?;
        let groups = ListArg::try_new(&call.args[1])?;
        let means = if list.is_float64() {
            means_of_rows::<Float64Type>(&list, &groups, num_rows, self.max_bytes)?
        } else {
            means_of_rows::<Float32Type>(&list, &groups, num_rows, self.max_bytes)?
        };
        columnar(means, &call.args)
    }
}

/// A group without elements has no mean.
fn item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Float32, true))
}

fn means_of_rows<T: Float>(
    list: &ListArg,
    group_lists: &ListArg,
    num_rows: usize,
    max_bytes: usize,
) -> Result<ArrayRef> {
    let lists = FloatLists::<T>::try_new(NAME, list.array())?;
    let groups = group_lists.lists()?;
    let numbers = as_primitive_array::<Int32Type>(groups.values())?;
    let offsets = groups.value_offsets();
    let mut values = Float32Builder::new();
    let mut lengths = Vec::with_capacity(num_rows);
    let mut valid = BooleanBufferBuilder::new(num_rows);
    // The sum and the number of each group's elements, kept between rows.
    let mut sums: Vec<(f64, u64)> = Vec::new();
    for row in 0..num_rows {
        let at = group_lists.index(row);
        let elements = match lists.row(list.index(row))? {
            Some(elements) if groups.is_valid(at) => elements,
            _ => {
                lengths.push(0);
                valid.append(false);
                continue;
            }
        };
        let (start, end) = (offsets[at] as usize, offsets[at + 1] as usize);
        if elements.len() != end - start {
            return exec_err!(
                "{NAME}: a list of {} elements and groups of {} have unequal lengths",
                elements.len(),
                end - start
            );
        }
        sums.clear();
        add_up(elements, numbers, start, &mut sums)?;
        let bytes = (values.len() + sums.len()).saturating_mul(size_of::<f32>());
        if bytes > max_bytes {
            return resources_err!("{NAME}: the means of one batch take {bytes} bytes");
        }
        for &(sum, count) in &sums {
            values.append_option((count > 0).then(|| (sum / count as f64) as f32));
        }
        lengths.push(sums.len());
        valid.append(true);
    }
    Ok(Arc::new(ListArray::try_new(
        item(),
        offsets_of(NAME, lengths.into_iter())?,
        Arc::new(values.finish()),
        validity(valid.finish()),
    )?))
}

/// Adds each element to the sum of its group, which `numbers` has from `start` on. An element whose
/// group is NULL belongs to none.
fn add_up<V: Copy + Into<f64>>(
    elements: &[V],
    numbers: &Int32Array,
    start: usize,
    sums: &mut Vec<(f64, u64)>,
) -> Result<()> {
    for (&element, at) in elements.iter().zip(start..) {
        if numbers.is_null(at) {
            continue;
        }
        let number = numbers.value(at);
        if !(0..=MAX_GROUP).contains(&number) {
            return exec_err!("{NAME}: {number} is no group: they count from 0 to {MAX_GROUP}");
        }
        let group = number as usize;
        if group >= sums.len() {
            sums.resize(group + 1, (0.0, 0));
        }
        let (sum, count) = &mut sums[group];
        *sum += element.into();
        *count += 1;
    }
    Ok(())
}
