//! From the text of a parameter to its value, with the words that the run gives a meaning.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::header::{Parameter, ParameterType};
use crate::error::QueryError;
use crate::snapshot::Snapshot;

/// The widest rows that are padded without being asked for: a wider table is hardly meant.
pub const MAX_AUTO_WIDTH: u32 = 65_536;

/// How a header, and a user, says that a filter is off.
const NULL: &str = "NULL";

impl Parameter {
    /// The value that `text` stands for in this run.
    ///
    /// Words are resolved here, before planning, so that the plan has literals and files are
    /// pruned by them.
    pub(crate) fn resolve(
        &self,
        text: &str,
        snapshot: &Snapshot,
    ) -> Result<ScalarValue, QueryError> {
        match (self.name.as_str(), text) {
            ("epoch" | "class" | "top", "all") => self.null(),
            ("epoch", "first" | "last") => {
                let (first, last) = snapshot.epochs().ok_or(QueryError::NothingCaptured)?;
                let epoch = if text == "first" { first } else { last };
                Ok(ScalarValue::Int32(Some(epoch)))
            }
            ("width", "auto") => self.auto_width(snapshot),
            ("layer", text) if text != NULL || self.default != NULL => {
                let layer = snapshot.known_layer(text)?;
                Ok(ScalarValue::Utf8(Some(layer.to_owned())))
            }
            (_, text) => self.parse(text),
        }
    }

    fn arrow_type(&self) -> DataType {
        match self.data_type {
            ParameterType::Boolean => DataType::Boolean,
            ParameterType::Int32 => DataType::Int32,
            ParameterType::Int64 => DataType::Int64,
            ParameterType::Utf8 => DataType::Utf8,
        }
    }

    fn null(&self) -> Result<ScalarValue, QueryError> {
        Ok(ScalarValue::try_new_null(&self.arrow_type())?)
    }

    fn parse(&self, text: &str) -> Result<ScalarValue, QueryError> {
        // Where the filter cannot be off, NULL would leave nothing.
        if text == NULL && self.default == NULL {
            return self.null();
        }
        ScalarValue::try_from_string(text.to_owned(), &self.arrow_type()).map_err(|_| {
            QueryError::BadParameter {
                name: self.name.clone(),
                problem: format!("is {text:?}, which is no {}", self.data_type),
            }
        })
    }

    fn auto_width(&self, snapshot: &Snapshot) -> Result<ScalarValue, QueryError> {
        match snapshot.recorded_width() {
            width if width > MAX_AUTO_WIDTH => Err(QueryError::BadParameter {
                name: self.name.clone(),
                problem: format!(
                    "has to be given: a neuron has up to {width} weights, and rows are widened by \
                     themselves up to {MAX_AUTO_WIDTH} only"
                ),
            }),
            width => Ok(ScalarValue::Int64(Some(width.into()))),
        }
    }
}
