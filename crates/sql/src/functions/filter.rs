//! `vec_filter(list, mask)`: the elements of a list that a list of booleans selects.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, BooleanBufferBuilder, ListArray};
use arrow::compute::filter;
use arrow::datatypes::DataType;
use datafusion::common::cast::{as_boolean_array, as_list_array};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::doc::documentation;
use super::lists::{
    ListArg, as_plain_list, check_num_args, columnar, element_type, num_rows_to_compute,
    offsets_of, validity,
};

const NAME: &str = "vec_filter";

/// `vec_filter` as DataFusion plans it. Elements of any type are kept as they are.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct VecFilter {
    signature: Signature,
}

impl VecFilter {
    pub(super) fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for VecFilter {
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
        check_num_args(2..=2, given.len(), "vec_filter(list, mask)")?;
        let list = match element_type(&given[0]) {
            Some(element) => as_plain_list(&given[0], element.clone()),
            None if given[0].is_null() => DataType::new_list(DataType::Float32, true),
            None => return plan_err!("{NAME} takes a list and a mask, not {}", given[0]),
        };
        let mask = match element_type(&given[1]) {
            Some(DataType::Boolean | DataType::Null) => as_plain_list(&given[1], DataType::Boolean),
            None if given[1].is_null() => DataType::new_list(DataType::Boolean, true),
            _ => {
                return plan_err!(
                    "{NAME} takes a list of booleans as its mask, not {}",
                    given[1]
                );
            }
        };
        Ok(vec![list, mask])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let num_rows = num_rows_to_compute(&call.args, call.number_rows);
        let lists = call.args[0].to_array(num_rows)?;
        let lists = as_list_array(&lists)?;
        columnar(
            filter_lists(lists, &ListArg::try_new(&call.args[1])?)?,
            &call.args,
        )
    }
}

fn filter_lists(lists: &ListArray, masks: &ListArg) -> Result<ArrayRef> {
    let mask_lists = masks.lists()?;
    let flags = as_boolean_array(mask_lists.values())?;
    let (offsets, mask_offsets) = (lists.value_offsets(), mask_lists.value_offsets());
    let first = offsets[0] as usize;
    let elements = lists
        .values()
        .slice(first, offsets[lists.len()] as usize - first);

    // One flat mask over all elements: those of NULL rows stay out, and so do those whose flag is
    // NULL.
    let mut selected = BooleanBufferBuilder::new(elements.len());
    let mut lengths = Vec::with_capacity(lists.len());
    let mut valid = BooleanBufferBuilder::new(lists.len());
    for row in 0..lists.len() {
        let len = (offsets[row + 1] - offsets[row]) as usize;
        let mask = masks.index(row);
        if lists.is_null(row) || mask_lists.is_null(mask) {
            selected.append_n(len, false);
            lengths.push(0);
            valid.append(false);
            continue;
        }
        let mask_len = (mask_offsets[mask + 1] - mask_offsets[mask]) as usize;
        if len != mask_len {
            return exec_err!(
                "{NAME}: a list of {len} elements and a mask of {mask_len} have unequal lengths"
            );
        }
        let row_flags = flags.slice(mask_offsets[mask] as usize, len);
        let chosen = match row_flags.nulls() {
            Some(nulls) => row_flags.values() & nulls.inner(),
            None => row_flags.values().clone(),
        };
        selected.append_buffer(&chosen);
        lengths.push(chosen.count_set_bits());
        valid.append(true);
    }

    let kept = filter(&elements, &BooleanArray::new(selected.finish(), None))?;
    let nulls = validity(valid.finish());
    let DataType::List(item) = lists.data_type() else {
        return exec_err!("{NAME} takes a list, not {}", lists.data_type());
    };
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(item),
        offsets_of(NAME, lengths.into_iter())?,
        kept,
        nulls,
    )?))
}
