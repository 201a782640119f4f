//! `vec_norm`, `list_std`, `vec_l2_distance`, `vec_cosine`, `vec_corr`: one number from one or two
//! lists.

use std::sync::Arc;

use analysis::{dot, is_constant, sum_over};
use arrow::array::Float32Array;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::doc::documentation;
use super::lists::{
    Float, FloatLists, ListArg, as_plain_list, check_num_args, coerce_to_floats, columnar,
    element_type, num_rows_to_compute,
};

/// A number that tells something of a list, or of how two lists lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Measure {
    Norm,
    StandardDeviation,
    L2Distance,
    Cosine,
    Correlation,
}

impl Measure {
    pub(super) const ALL: [Self; 5] = [
        Self::Norm,
        Self::StandardDeviation,
        Self::L2Distance,
        Self::Cosine,
        Self::Correlation,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Norm => "vec_norm",
            Self::StandardDeviation => "list_std",
            Self::L2Distance => "vec_l2_distance",
            Self::Cosine => "vec_cosine",
            Self::Correlation => "vec_corr",
        }
    }

    const fn num_lists(self) -> usize {
        match self {
            Self::Norm | Self::StandardDeviation => 1,
            Self::L2Distance | Self::Cosine | Self::Correlation => 2,
        }
    }

    /// The measure of `a` and `b`, which have the same length and are the same list where it takes
    /// only one. None where it is not defined.
    fn of<V: Copy + Into<f64> + PartialEq>(self, a: &[V], b: &[V]) -> Option<f64> {
        match self {
            Self::Norm => Some(dot(a, a).sqrt()),
            Self::StandardDeviation => standard_deviation(a),
            Self::L2Distance => Some(sum_over(a, b, |x, y| (x - y) * (x - y)).sqrt()),
            Self::Cosine => {
                let lengths = dot(a, a).sqrt() * dot(b, b).sqrt();
                (lengths != 0.0).then(|| (dot(a, b) / lengths).clamp(-1.0, 1.0))
            }
            Self::Correlation => correlation(a, b),
        }
    }
}

/// A [`Measure`] as DataFusion plans it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct MeasureFunction {
    measure: Measure,
    signature: Signature,
}

impl MeasureFunction {
    pub(super) fn new(measure: Measure) -> Self {
        Self {
            measure,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for MeasureFunction {
    fn name(&self) -> &str {
        self.measure.name()
    }

    fn documentation(&self) -> Option<&Documentation> {
        documentation(self.name())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let num_lists = self.measure.num_lists();
        let arguments = if num_lists == 1 { "list" } else { "a, b" };
        check_num_args(
            num_lists..=num_lists,
            given.len(),
            &format!("{}({arguments})", self.name()),
        )?;
        let types = given
            .iter()
            .map(|given| coerce_to_floats(self.name(), given))
            .collect::<Result<Vec<_>>>()?;
        let wide = types
            .iter()
            .any(|list| element_type(list) == Some(&DataType::Float64));
        let float = if wide {
            DataType::Float64
        } else {
            DataType::Float32
        };
        Ok(types
            .iter()
            .map(|list| as_plain_list(list, float.clone()))
            .collect())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float32)
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let num_rows = num_rows_to_compute(&call.args, call.number_rows);
        let lists = call
            .args
            .iter()
            .map(ListArg::try_new)
            .collect::<Result<Vec<_>>>()?;
        // A measure of one list is that of the list and itself.
        let (a, b) = (&lists[0], &lists[lists.len() - 1]);
        let numbers = if a.is_float64() {
            measure_rows::<Float64Type>(self.measure, a, b, num_rows)?
        } else {
            measure_rows::<Float32Type>(self.measure, a, b, num_rows)?
        };
        columnar(Arc::new(numbers), &call.args)
    }
}

fn measure_rows<T: Float>(
    measure: Measure,
    a: &ListArg,
    b: &ListArg,
    num_rows: usize,
) -> Result<Float32Array> {
    let lists_a = FloatLists::<T>::try_new(measure.name(), a.array())?;
    let lists_b = FloatLists::<T>::try_new(measure.name(), b.array())?;
    let mut numbers = Vec::with_capacity(num_rows);
    for row in 0..num_rows {
        numbers.push(
            match (lists_a.row(a.index(row))?, lists_b.row(b.index(row))?) {
                (Some(a), Some(b)) if a.len() != b.len() => {
                    return exec_err!(
                        "{}: lists of unequal length: {} and {}; pad(list, width) makes them equal",
                        measure.name(),
                        a.len(),
                        b.len()
                    );
                }
                (Some(a), Some(b)) => measure.of(a, b).map(|number| number as f32),
                _ => None,
            },
        );
    }
    Ok(Float32Array::from(numbers))
}

/// Pearson's correlation; none where a list is constant or empty.
fn correlation<V: Copy + Into<f64> + PartialEq>(a: &[V], b: &[V]) -> Option<f64> {
    if is_constant(a) || is_constant(b) {
        return None;
    }
    let num_elements = a.len() as f64;
    let mean_a = sum_over(a, a, |x, _| x) / num_elements;
    let mean_b = sum_over(b, b, |y, _| y) / num_elements;
    let covariance = sum_over(a, b, |x, y| (x - mean_a) * (y - mean_b));
    let spread_a = sum_over(a, a, |x, _| (x - mean_a) * (x - mean_a));
    let spread_b = sum_over(b, b, |y, _| (y - mean_b) * (y - mean_b));
    Some((covariance / (spread_a.sqrt() * spread_b.sqrt())).clamp(-1.0, 1.0))
}

/// The population's (divided by n); none of an empty list.
fn standard_deviation<V: Copy + Into<f64> + PartialEq>(list: &[V]) -> Option<f64> {
    if list.is_empty() {
        return None;
    }
    // A NaN is not equal to itself, but a list of one has no neighbours to compare.
    if list.len() > 1 && is_constant(list) {
        return Some(0.0);
    }
    let num_elements = list.len() as f64;
    let mean = sum_over(list, list, |x, _| x) / num_elements;
    let squares = sum_over(list, list, |x, _| (x - mean) * (x - mean));
    Some((squares / num_elements).sqrt())
}
