//! Many conditions that are joined, as functions of many arguments.
//!
//! The optimizer takes what is joined by AND apart and puts it together again as a tree that is as deep
//! as there are conditions, whatever it was before. A function it leaves as it is.

use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::compute::{and_kleene, or_kleene};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// How many conditions the optimizer may chain.
pub(super) const MAX_CHAINED: usize = 100;

/// The plan with no more than [`MAX_CHAINED`] conditions joined by AND, or by an OR that may be
/// negated: more are arguments of as many functions.
pub(super) fn shorten(plan: LogicalPlan) -> Result<LogicalPlan> {
    let shortened = plan.transform_down_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let shortened = shortened(expr, true)?;
            Ok(Transformed::yes(name.restore(shortened)))
        })
    })?;
    Ok(shortened.data)
}

/// The same condition, `as_it_is` unless something else than AND and OR is around it.
fn shortened(expr: Expr, as_it_is: bool) -> Result<Expr> {
    let op = match &expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) if matches!(op, Operator::And | Operator::Or) => {
            *op
        }
        _ => {
            let children = expr.map_children(|child| {
                let child = shortened(child, false)?;
                Ok(Transformed::yes(child))
            });
            return Ok(children?.data);
        }
    };
    let terms = terms(expr, op).into_iter();
    let terms = terms.map(|term| shortened(term, as_it_is));
    let mut terms = terms.collect::<Result<Vec<_>>>()?;
    if terms.len() > MAX_CHAINED && (op == Operator::And || !as_it_is) {
        let function = Arc::new(ScalarUDF::new_from_impl(Joined::by(op)));
        let together = terms.len().div_ceil(MAX_CHAINED);
        let groups = terms.chunks(together);
        let groups = groups.map(|group| {
            let call = ScalarFunction::new_udf(Arc::clone(&function), group.to_vec());
            Expr::ScalarFunction(call)
        });
        terms = groups.collect();
    }
    balanced(terms, op)
}

/// What an operator joins, in order.
fn terms(expr: Expr, op: Operator) -> Vec<Expr> {
    let mut terms = Vec::new();
    let mut left_over = vec![expr];
    while let Some(expr) = left_over.pop() {
        match expr {
            Expr::BinaryExpr(joined) if joined.op == op => {
                left_over.push(*joined.right);
                left_over.push(*joined.left);
            }
            term => terms.push(term),
        }
    }
    terms
}

/// The terms joined by the operator, in order, by as few levels as there can be.
fn balanced(mut terms: Vec<Expr>, op: Operator) -> Result<Expr> {
    while terms.len() > 1 {
        let mut pairs = Vec::with_capacity(terms.len().div_ceil(2));
        let mut left_over = terms.into_iter();
        while let Some(left) = left_over.next() {
            pairs.push(match left_over.next() {
                Some(right) => {
                    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
                }
                None => left,
            });
        }
        terms = pairs;
    }
    let joined = terms.pop();
    joined.ok_or_else(|| internal_datafusion_err!("an operator joins nothing"))
}

/// Conditions joined by AND or by OR: `all_of(a, b, ...)`, `any_of(a, b, ...)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Joined {
    by_and: bool,
    signature: Signature,
}

impl Joined {
    fn by(op: Operator) -> Self {
        Self {
            by_and: op == Operator::And,
            signature: Signature::variadic(vec![DataType::Boolean], Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &str {
        if self.by_and { "all_of" } else { "any_of" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    // As of AND and OR: plans were made with it.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(
            self.name(),
            DataType::Boolean,
            is_nullable,
        )))
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let join = if self.by_and { and_kleene } else { or_kleene };
        let mut joined = BooleanArray::from(vec![self.by_and; call.number_rows]);
        for argument in &call.args {
            let argument = argument.to_array(call.number_rows)?;
            joined = join(&joined, as_boolean_array(&argument)?)?;
        }
        Ok(ColumnarValue::Array(Arc::new(joined)))
    }
}
