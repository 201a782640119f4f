//! `vec_collect(value ORDER BY key)`: the values of a group as one list.

mod groups;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::function::{
    AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs,
};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Documentation, Expr, GroupsAccumulator, Signature, Volatility,
};

use groups::CollectGroups;

use super::aggregate::refuse_distinct;
use super::doc::documentation;
use super::lists::check_num_args;
use super::one_group::OneGroup;

const NAME: &str = "vec_collect";

/// `vec_collect` as DataFusion plans it.
///
/// Rows of equal keys keep the order in which they arrive, and so do all rows without ORDER BY. On
/// one thread that is the order of the table; on several it is not fixed.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct VecCollect {
    signature: Signature,
}

impl VecCollect {
    pub(super) fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for VecCollect {
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
        check_num_args(1..=1, given.len(), "vec_collect(value [ORDER BY key, ...])")?;
        Ok(vec![without_sharing(&given[0])])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(item(&arguments[0])))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let values = DataType::List(item(args.input_fields[0].data_type()));
        let mut fields = vec![Arc::new(Field::new(
            format_state_name(args.name, "values"),
            values,
            true,
        ))];
        if !args.ordering_fields.is_empty() {
            let keys = DataType::List(item(&DataType::Binary));
            fields.push(Arc::new(Field::new(
                format_state_name(args.name, "keys"),
                keys,
                true,
            )));
        }
        Ok(fields)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup::new(CollectGroups::try_new(&args, 1)?)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(CollectGroups::try_new(&args, 0)?))
    }

    // Values are sorted when a group is emitted, by a sort that is linear where they already are in
    // order: no plan sorts whole rows for our sake.
    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Beneficial
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        _: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|call, _| {
            if call.params.distinct {
                return refuse_distinct(call.func.name());
            }
            Ok(Expr::AggregateFunction(call))
        }))
    }
}

/// The type without views and dictionaries, which would share buffers that no group owns.
fn without_sharing(given: &DataType) -> DataType {
    match given {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => without_sharing(values),
        other => other.clone(),
    }
}

fn item(data_type: &DataType) -> FieldRef {
    Arc::new(Field::new_list_field(data_type.clone(), true))
}
