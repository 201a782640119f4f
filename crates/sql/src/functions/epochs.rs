//! `first_epoch()` and `last_epoch()`: the epochs between which a run was captured, as literals.
//!
//! They are known before a query is planned, so `WHERE epoch = last_epoch()` leaves files out, where
//! `(SELECT max(epoch) FROM weights)` is known only once all of them were read.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::doc::{FunctionDoc, FunctionKind};

/// What the functions are; they belong to a run, and are not among
/// [`function_docs`](super::function_docs).
pub(crate) const EPOCH_DOCS: [FunctionDoc; 2] = [
    FunctionDoc {
        name: "first_epoch",
        aliases: &[],
        kind: FunctionKind::Scalar,
        signature: "first_epoch()",
        summary: "the first epoch that was captured, the untrained network (-1) aside; NULL where \
                  nothing was. Files are left out by it as by a number",
        example: "SELECT layer, neuron, weight_l2 FROM weights WHERE epoch = first_epoch()",
    },
    FunctionDoc {
        name: "last_epoch",
        aliases: &[],
        kind: FunctionKind::Scalar,
        signature: "last_epoch()",
        summary: "the last epoch that was captured when the run was opened; NULL where nothing \
                  was. Files are left out by it as by a number, as (SELECT max(epoch) ...) does \
                  not",
        example: "SELECT layer, neuron, weight_l2 FROM weights WHERE epoch = last_epoch()",
    },
];

/// The functions of a run whose first and last epochs are these.
pub(crate) fn epoch_functions(epochs: Option<(i32, i32)>) -> [ScalarUDF; 2] {
    let of = |doc: &FunctionDoc, epoch| {
        ScalarUDF::new_from_impl(EpochFunction {
            name: doc.name,
            epoch,
            signature: Signature::nullary(Volatility::Immutable),
        })
    };
    let [first, last] = &EPOCH_DOCS;
    [
        of(first, epochs.map(|(first, _)| first)),
        of(last, epochs.map(|(_, last)| last)),
    ]
}

/// A function without arguments whose value a run decides. Being immutable, the optimizer replaces its
/// calls by that value before filters reach a table.
#[derive(Debug, PartialEq, Eq, Hash)]
struct EpochFunction {
    name: &'static str,
    epoch: Option<i32>,
    signature: Signature,
}

impl ScalarUDFImpl for EpochFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    // A literal that takes the call's place may be null exactly where the call may.
    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        let may_be_null = self.epoch.is_none();
        Ok(Arc::new(Field::new(
            self.name,
            DataType::Int32,
            may_be_null,
        )))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::Int32(self.epoch)))
    }
}
