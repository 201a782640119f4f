//! Statistics of a neuron's values: of the finite ones, in f64, stored as f32, population form
//! (ARCHITECTURE.md, invariant 11).

/// Statistics of a row of weights or activations; the `Option`s are none where no value is finite.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Statistics {
    pub(crate) mean: Option<f32>,
    pub(crate) std: Option<f32>,
    pub(crate) min: Option<f32>,
    pub(crate) max: Option<f32>,
    /// Euclidean norm.
    pub(crate) l2: Option<f32>,
    /// Sum of the absolute values.
    pub(crate) l1: Option<f32>,
    /// How many values are 0 (or -0).
    pub(crate) zeros: i64,
    /// How many values are NaN or infinite.
    pub(crate) nonfinite: i64,
}

impl Statistics {
    pub(crate) fn of(values: &[f32]) -> Self {
        let mut statistics = Self::default();
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        let (mut num, mut sum, mut absolute, mut squares) = (0u64, 0.0, 0.0, 0.0);
        let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
        for value in finite() {
            num += 1;
            let wide = f64::from(value);
            sum += wide;
            absolute += wide.abs();
            squares += wide * wide;
            min = min.min(value);
            max = max.max(value);
            statistics.zeros += i64::from(value == 0.0);
        }
        statistics.nonfinite = values.len() as i64 - num as i64;
        if num == 0 {
            return statistics;
        }
        let mean = sum / num as f64;
        // A second pass: the difference of two large sums would lose a small deviation.
        let deviations: f64 = finite().map(|v| (f64::from(v) - mean).powi(2)).sum();
        statistics.mean = Some(mean as f32);
        statistics.std = Some((deviations / num as f64).sqrt() as f32);
        statistics.min = Some(min);
        statistics.max = Some(max);
        statistics.l2 = Some(squares.sqrt() as f32);
        statistics.l1 = Some(absolute as f32);
        statistics
    }
}

/// The median of the finite values: of an even number, the mean of the middle two. `scratch` is
/// overwritten, so that a layer's rows share one allocation.
pub(crate) fn median(values: &[f32], scratch: &mut Vec<f32>) -> Option<f32> {
    scratch.clear();
    scratch.extend(values.iter().copied().filter(|v| v.is_finite()));
    let middle = scratch.len() / 2;
    let is_even = scratch.len().is_multiple_of(2);
    if scratch.is_empty() {
        return None;
    }
    let (below, upper, _) = scratch.select_nth_unstable_by(middle, f32::total_cmp);
    let upper = f64::from(*upper);
    if !is_even {
        return Some(upper as f32);
    }
    let lower = below
        .iter()
        .copied()
        .max_by(f32::total_cmp)
        .expect("an even number above zero has a lower half");
    Some(((f64::from(lower) + upper) / 2.0) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_of_the_finite_values_in_population_form() {
        // Mean 0, squares 16 + 0 + 16 over 4.
        let statistics = Statistics::of(&[-4.0, 0.0, f32::NAN, 4.0, -0.0, f32::INFINITY]);
        assert_eq!(
            statistics,
            Statistics {
                mean: Some(0.0),
                std: Some(8f64.sqrt() as f32),
                min: Some(-4.0),
                max: Some(4.0),
                l2: Some(32f64.sqrt() as f32),
                l1: Some(8.0),
                zeros: 2,
                nonfinite: 2,
            }
        );
    }

    #[test]
    fn without_a_finite_value_there_are_no_statistics() {
        let statistics = Statistics::of(&[f32::NAN, f32::NEG_INFINITY]);
        assert_eq!(
            statistics,
            Statistics {
                nonfinite: 2,
                ..Statistics::default()
            }
        );
        assert_eq!(median(&[f32::NAN], &mut Vec::new()), None);
        assert_eq!(Statistics::of(&[]), Statistics::default());
    }

    #[test]
    fn a_small_deviation_far_from_zero_is_kept() {
        // 16777216 = 2^24: neighbours are 2 apart.
        let statistics = Statistics::of(&[16_777_216.0, 16_777_218.0]);
        assert_eq!(statistics.std, Some(1.0));
    }

    #[test]
    fn medians() {
        let mut scratch = Vec::new();
        assert_eq!(median(&[3.0, 1.0, 2.0], &mut scratch), Some(2.0));
        assert_eq!(
            median(&[4.0, 1.0, 3.0, f32::NAN, 2.0], &mut scratch),
            Some(2.5)
        );
        assert_eq!(median(&[-1.0], &mut scratch), Some(-1.0));
        assert_eq!(median(&[f32::MAX, f32::MAX], &mut scratch), Some(f32::MAX));
    }
}
