//! `sum` of integers that do not fit into an integer: an error, where DataFusion's own `sum` would
//! wrap around and be some other number.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, PrimitiveArray,
};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator, Operator,
    ReversedUDAF, SetMonotonicity, Signature, StatisticsArgs,
};

use super::aggregate::passes;

/// What sums are kept in until they are asked for: of as many integers of 64 bits as there can be.
const STATE: DataType = DataType::Decimal128(38, 0);

/// DataFusion's `sum`, of integers with sums that are exact.
#[derive(Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct ExactSum {
    of_others: Sum,
}

fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::UInt64)
}

/// What sums integers; none of other numbers.
fn exact(args: &AccumulatorArgs) -> Option<Box<dyn Accumulator>> {
    let data_type = args.return_field.data_type().clone();
    match (is_integer(&data_type), args.is_distinct) {
        (true, true) => Some(Box::new(DistinctTotal::new(data_type))),
        (true, false) => Some(Box::new(Total::new(data_type))),
        (false, _) => None,
    }
}

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        self.of_others.name()
    }

    fn signature(&self) -> &Signature {
        self.of_others.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.of_others.return_type(arg_types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct || !is_integer(args.return_type()) {
            return self.of_others.state_fields(args);
        }
        let name = format_state_name(args.name, "sum");
        Ok(vec![Arc::new(Field::new(name, STATE, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match exact(&args) {
            Some(exact) => Ok(exact),
            None => self.of_others.accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match exact(&args) {
            Some(exact) => Ok(exact),
            None => self.of_others.create_sliding_accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.of_others.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let data_type = args.return_field.data_type();
        match is_integer(data_type) {
            true => Ok(Box::new(Totals {
                data_type: data_type.clone(),
                sums: Vec::new(),
            })),
            false => self.of_others.create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.of_others.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.of_others.order_sensitivity()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.of_others.documentation()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.of_others.set_monotonicity(data_type)
    }

    // `sum(x + 1)` becomes `sum(x) + 1 * count(x)`, which wraps around once more.
    fn simplify_expr_op_literal(
        &self,
        agg_function: &AggregateFunction,
        arg: &Expr,
        op: Operator,
        lit: &Expr,
        arg_is_left: bool,
    ) -> Result<Option<Expr>> {
        match lit {
            Expr::Literal(value, _) if value.data_type().is_integer() => Ok(None),
            _ => {
                let sum = &self.of_others;
                sum.simplify_expr_op_literal(agg_function, arg, op, lit, arg_is_left)
            }
        }
    }

    fn value_from_stats(&self, statistics_args: &StatisticsArgs) -> Option<ScalarValue> {
        self.of_others.value_from_stats(statistics_args)
    }
}

/// Calls `f` with the rows that have a value, and it.
fn each(values: &ArrayRef, f: impl FnMut(usize, i128)) -> Result<()> {
    fn each_of<T>(values: &PrimitiveArray<T>, mut f: impl FnMut(usize, i128))
    where
        T: ArrowPrimitiveType,
        T::Native: Into<i128>,
    {
        for (row, value) in values.iter().enumerate() {
            if let Some(value) = value {
                f(row, value.into());
            }
        }
    }
    match values.data_type() {
        DataType::Int64 => each_of(values.as_primitive::<Int64Type>(), f),
        DataType::UInt64 => each_of(values.as_primitive::<UInt64Type>(), f),
        DataType::Decimal128(..) => each_of(values.as_primitive::<Decimal128Type>(), f),
        other => return internal_err!("the sum of integers was given {other}"),
    }
    Ok(())
}

/// A sum as an integer of the type that was promised.
fn fitted<T: TryFrom<i128>>(sum: i128) -> Result<T> {
    match T::try_from(sum) {
        Ok(sum) => Ok(sum),
        Err(_) => exec_err!(
            "the sum of integers is {sum}, which does not fit into 64 bits: take \
             sum(CAST(... AS DECIMAL(38, 0))), or sum(CAST(... AS DOUBLE)), which is rounded"
        ),
    }
}

fn scalar(data_type: &DataType, sum: Option<i128>) -> Result<ScalarValue> {
    Ok(match data_type {
        DataType::UInt64 => ScalarValue::UInt64(sum.map(fitted).transpose()?),
        _ => ScalarValue::Int64(sum.map(fitted).transpose()?),
    })
}

/// The sum of one group, or of a window that slides.
#[derive(Debug)]
struct Total {
    data_type: DataType,
    sum: i128,
    /// Of how many values.
    count: u64,
}

impl Total {
    fn new(data_type: DataType) -> Self {
        Self {
            data_type,
            sum: 0,
            count: 0,
        }
    }

    fn known(&self) -> Option<i128> {
        (self.count > 0).then_some(self.sum)
    }
}

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&values[0], |_, value| {
            self.sum += value;
            self.count += 1;
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        scalar(&self.data_type, self.known())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Decimal128(self.known(), 38, 0)])
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&values[0], |_, value| {
            self.sum -= value;
            self.count -= 1;
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}

/// The sum of what differs.
#[derive(Debug)]
struct DistinctTotal {
    data_type: DataType,
    /// How often each value is there.
    counts: HashMap<i128, u64>,
    sum: i128,
}

impl DistinctTotal {
    fn new(data_type: DataType) -> Self {
        Self {
            data_type,
            counts: HashMap::new(),
            sum: 0,
        }
    }
}

impl Accumulator for DistinctTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&values[0], |_, value| {
            let count = self.counts.entry(value).or_default();
            if *count == 0 {
                self.sum += value;
            }
            *count += 1;
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for values in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[values])?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = (!self.counts.is_empty()).then_some(self.sum);
        scalar(&self.data_type, sum)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.counts.keys();
        let values = values.map(|value| scalar(&self.data_type, Some(*value)));
        let values = values.collect::<Result<Vec<_>>>()?;
        let values = ScalarValue::new_list_nullable(&values, &self.data_type);
        Ok(vec![ScalarValue::List(values)])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.capacity() * size_of::<(i128, u64)>()
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&values[0], |_, value| {
            let Some(count) = self.counts.get_mut(&value) else {
                return;
            };
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&value);
                self.sum -= value;
            }
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}

/// The sums of many groups.
#[derive(Debug)]
struct Totals {
    data_type: DataType,
    sums: Vec<Option<i128>>,
}

impl Totals {
    fn add(
        &mut self,
        values: &ArrayRef,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        num_groups: usize,
    ) -> Result<()> {
        if self.sums.len() < num_groups {
            self.sums.resize(num_groups, None);
        }
        each(values, |row, value| {
            if passes(filter, row) {
                *self.sums[groups[row]].get_or_insert(0) += value;
            }
        })
    }
}

fn decimals(sums: impl IntoIterator<Item = Option<i128>>) -> Result<Vec<ArrayRef>> {
    let sums: Decimal128Array = sums.into_iter().collect();
    Ok(vec![Arc::new(sums.with_precision_and_scale(38, 0)?)])
}

impl GroupsAccumulator for Totals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.add(&values[0], group_indices, opt_filter, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.sums).into_iter();
        Ok(match self.data_type {
            DataType::UInt64 => {
                let sums = sums.map(|sum| sum.map(fitted::<u64>).transpose());
                Arc::new(sums.collect::<Result<PrimitiveArray<UInt64Type>>>()?)
            }
            _ => {
                let sums = sums.map(|sum| sum.map(fitted::<i64>).transpose());
                Arc::new(sums.collect::<Result<PrimitiveArray<Int64Type>>>()?)
            }
        })
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        decimals(emit_to.take_needed(&mut self.sums))
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.add(&values[0], group_indices, None, total_num_groups)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let mut sums = vec![None; values[0].len()];
        each(&values[0], |row, value| {
            if passes(opt_filter, row) {
                sums[row] = Some(value);
            }
        })?;
        decimals(sums)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<Option<i128>>()
    }
}
