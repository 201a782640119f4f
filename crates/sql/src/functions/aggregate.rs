//! `vec_mean`, `vec_sum`, `vec_var`, `vec_var_samp`, `vec_min`, `vec_max`: one number a position, over the rows of
//! a group.

mod groups;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::function::{
    AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs,
};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator, Signature,
    Volatility,
};

use groups::{ListGroups, state_list};

use super::doc::documentation;
use super::fold::Fold;
use super::lists::{check_num_args, coerce_to_floats, float32_list};
use super::one_group::OneGroup;

/// A list aggregate as DataFusion plans it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ListAggregate {
    fold: Fold,
    aliases: Vec<String>,
    signature: Signature,
}

impl ListAggregate {
    pub(super) fn new(fold: Fold) -> Self {
        Self {
            fold,
            aliases: fold.aliases().iter().copied().map(str::to_owned).collect(),
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    fn groups(&self, args: &AccumulatorArgs, num_groups: usize) -> Result<ListGroups> {
        if args.is_distinct {
            return refuse_distinct(self.name());
        }
        Ok(ListGroups::new(self.fold, num_groups))
    }
}

impl AggregateUDFImpl for ListAggregate {
    fn name(&self) -> &str {
        self.fold.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn documentation(&self) -> Option<&Documentation> {
        documentation(self.name())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_num_args(1..=1, given.len(), &format!("{}(list)", self.name()))?;
        Ok(vec![coerce_to_floats(self.name(), &given[0])?])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(float32_list())
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let lane = |name| Field::new(format_state_name(args.name, name), state_list(), true);
        let mut fields = vec![lane("first")];
        if self.fold.has_second_lane() {
            fields.push(lane("second"));
        }
        fields.push(Field::new(
            format_state_name(args.name, "count"),
            DataType::UInt64,
            true,
        ));
        Ok(fields.into_iter().map(Arc::new).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup::new(self.groups(&args, 1)?)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups(&args, 0)?))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    // The optimizer would turn some DISTINCT calls into a grouping by the list and leave others to
    // us: all are refused before it gets there.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|call, _| {
            if call.params.distinct {
                return refuse_distinct(call.func.name());
            }
            Ok(Expr::AggregateFunction(call))
        }))
    }
}

/// The error of a call with DISTINCT.
pub(super) fn refuse_distinct<T>(function: &str) -> Result<T> {
    plan_err!(
        "{function}(DISTINCT ...) is not supported; select the distinct lists in a subquery first"
    )
}

/// Whether the `FILTER` clause lets a row in.
pub(super) fn passes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

/// The state of rows that are a group each, of which `groups` has seen nothing yet.
pub(super) fn state_of_rows(
    mut groups: impl GroupsAccumulator,
    values: &[ArrayRef],
    filter: Option<&BooleanArray>,
) -> Result<Vec<ArrayRef>> {
    let num_rows = values[0].len();
    let own_group = (0..num_rows).collect::<Vec<_>>();
    groups.update_batch(values, &own_group, filter, num_rows)?;
    groups.state(EmitTo::All)
}
