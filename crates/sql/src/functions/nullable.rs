//! DataFusion's functions that take lists whose elements may be NULL, and fail on others.
//!
//! The elements of a run's lists are never NULL, by their type. Some functions promise a list of that
//! type and then make one whose elements may be NULL, which DataFusion takes for a defect; they get
//! lists here whose elements may be.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};

/// The functions, as DataFusion 55 has them.
pub(super) const FAILING: [&str; 6] = [
    "array_add",
    "array_subtract",
    "array_normalize",
    "array_except",
    "array_resize",
    "array_repeat",
];

/// A function that is given lists whose elements may be NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct OfNullable {
    function: ScalarUDF,
    signature: Signature,
}

impl OfNullable {
    pub(super) fn new(function: &ScalarUDF) -> Self {
        Self {
            signature: Signature::user_defined(function.signature().volatility),
            function: function.clone(),
        }
    }
}

/// The type, with elements that may be NULL if it is a list.
fn with_nullable_elements(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(item) => {
            let inner = with_nullable_elements(item.data_type());
            let item = item.as_ref().clone().with_nullable(true);
            DataType::List(Arc::new(item.with_data_type(inner)))
        }
        other => other.clone(),
    }
}

impl ScalarUDFImpl for OfNullable {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let given = given.iter().map(with_nullable_elements);
        let fields: Vec<FieldRef> = given
            .map(|data_type| Arc::new(Field::new("argument", data_type, true)))
            .collect();
        let coerced = fields_with_udf(&fields, &self.function)?;
        let types = coerced.iter().map(|field| field.data_type());
        Ok(types.map(with_nullable_elements).collect())
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.function.inner().return_type(arguments)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.function.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.function.invoke_with_args(args)
    }
}
