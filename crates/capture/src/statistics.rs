//! Statistics of a neuron's values: of the finite ones, in f64, stored as f32, population form
//! (ARCHITECTURE.md, invariant 11).

mod median;

use median::Median;

/// Statistics of a row of weights or activations; the `Option`s are none where no value is finite.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Statistics {
    pub(crate) mean: Option<f32>,
    pub(crate) std: Option<f32>,
    pub(crate) min: Option<f32>,
    pub(crate) max: Option<f32>,
    /// Of an even number of values, the mean of the middle two.
    pub(crate) median: Option<f32>,
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
    /// Of each of `num_rows` rows of `width` values, one row behind the other.
    ///
    /// The same bits on every processor: those that have vectors of 256 bits do the same in fewer instructions.
    pub(crate) fn of_rows(values: &[f32], num_rows: usize, width: usize) -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "a processor without AVX2 could not run it")]
            // SAFETY: this processor has AVX2.
            return unsafe { of_rows_by_avx2(values, num_rows, width) };
        }
        of_rows(values, num_rows, width)
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn of_rows_by_avx2(values: &[f32], num_rows: usize, width: usize) -> Vec<Statistics> {
    of_rows(values, num_rows, width)
}

/// Written in loops, as is all that is called for every row: what an iterator's adapters call is not compiled for
/// the processor that the caller is compiled for.
#[inline(always)]
fn of_rows(values: &[f32], num_rows: usize, width: usize) -> Vec<Statistics> {
    let mut median = Median::default();
    let mut picked = Vec::new();
    let mut all = Vec::with_capacity(num_rows);
    for nth in 0..num_rows {
        let row = &values[nth * width..][..width];
        let mut statistics = Statistics::default();
        if !row.is_empty() && statistics.add_finite(row) {
            statistics.median = Some(median.of(row, &statistics));
        } else {
            // Almost always all are finite, and then none need be picked.
            picked.clear();
            picked.reserve_exact(width);
            picked.extend(row.iter().filter(|value| value.is_finite()));
            statistics = Statistics {
                nonfinite: (width - picked.len()) as i64,
                ..Statistics::default()
            };
            if !picked.is_empty() && statistics.add_finite(&picked) {
                statistics.median = Some(median.of(&picked, &statistics));
            }
        }
        all.push(statistics);
    }
    all
}

/// So many sums are kept side by side, as processors add them. Which value goes into which does not depend on
/// the processor, so neither do the bits that come out.
const LANES: usize = 8;

impl Statistics {
    /// All but the median; there are some values. Says whether all are finite: if not, nothing is to be made of it.
    ///
    /// One pass. For the variance a deviation is from the first value, which is as good as the mean: that lies at most
    /// √n standard deviations from any of n values, so that of 53 bits log₂ n are lost, and 24 are kept.
    #[inline(always)]
    fn add_finite(&mut self, values: &[f32]) -> bool {
        let (chunks, rest) = values.as_chunks::<LANES>();
        let first = f64::from(values[0]);
        let mut zeros = [0u32; LANES];
        let (mut min, mut max) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        let (mut sums, mut absolute, mut squares) = ([0f64; LANES], [0f64; LANES], [0f64; LANES]);
        let (mut deviations, mut square_deviations) = ([0f64; LANES], [0f64; LANES]);
        for chunk in chunks {
            for lane in 0..LANES {
                let wide = f64::from(chunk[lane]);
                let deviation = wide - first;
                sums[lane] += wide;
                absolute[lane] += wide.abs();
                squares[lane] += wide * wide;
                deviations[lane] += deviation;
                square_deviations[lane] += deviation * deviation;
                min[lane] = lesser(min[lane], chunk[lane]);
                max[lane] = greater(max[lane], chunk[lane]);
                zeros[lane] += u32::from(chunk[lane] == 0.0);
            }
        }
        for (lane, &value) in rest.iter().enumerate() {
            let wide = f64::from(value);
            let deviation = wide - first;
            sums[lane] += wide;
            absolute[lane] += wide.abs();
            squares[lane] += wide * wide;
            deviations[lane] += deviation;
            square_deviations[lane] += deviation * deviation;
            min[lane] = lesser(min[lane], value);
            max[lane] = greater(max[lane], value);
            zeros[lane] += u32::from(value == 0.0);
        }
        // No sum of finite 32-bit floats is too large for 64 bits, and one with others in it is not finite.
        let l1 = total(&absolute);
        if !l1.is_finite() {
            return false;
        }
        let num = values.len() as f64;
        let deviation = total(&deviations);
        let variance = (total(&square_deviations) - deviation * deviation / num) / num;

        self.mean = Some((total(&sums) / num) as f32);
        self.std = Some(variance.max(0.0).sqrt() as f32);
        self.min = min.into_iter().reduce(lesser);
        self.max = max.into_iter().reduce(greater);
        self.l2 = Some(total(&squares).sqrt() as f32);
        self.l1 = Some(l1 as f32);
        self.zeros = zeros.into_iter().map(i64::from).sum();
        true
    }
}

/// [`f32::min`] of numbers, as processors have it.
#[inline(always)]
fn lesser(one: f32, other: f32) -> f32 {
    if other < one { other } else { one }
}

/// [`f32::max`] of numbers, as processors have it.
#[inline(always)]
fn greater(one: f32, other: f32) -> f32 {
    if other > one { other } else { one }
}

fn total(lanes: &[f64; LANES]) -> f64 {
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32]) -> Statistics {
        Statistics::of_rows(values, 1, values.len())[0]
    }

    #[test]
    fn statistics_are_of_the_finite_values_in_population_form() {
        // Mean 0, squares 16 + 0 + 16 over 4.
        let statistics = of(&[-4.0, 0.0, f32::NAN, 4.0, -0.0, f32::INFINITY]);
        assert_eq!(
            statistics,
            Statistics {
                mean: Some(0.0),
                std: Some(8f64.sqrt() as f32),
                min: Some(-4.0),
                max: Some(4.0),
                median: Some(0.0),
                l2: Some(32f64.sqrt() as f32),
                l1: Some(8.0),
                zeros: 2,
                nonfinite: 2,
            }
        );
    }

    #[test]
    fn without_a_finite_value_there_are_no_statistics() {
        let statistics = of(&[f32::NAN, f32::NEG_INFINITY]);
        assert_eq!(
            statistics,
            Statistics {
                nonfinite: 2,
                ..Statistics::default()
            }
        );
        assert_eq!(of(&[]), Statistics::default());
    }

    #[test]
    fn a_median_is_of_the_finite_values() {
        assert_eq!(
            of(&[4.0, f32::NAN, 1.0, 3.0, f32::INFINITY, 2.0]).median,
            Some(2.5)
        );
    }

    #[test]
    fn a_small_deviation_far_from_zero_is_kept() {
        // 16777216 = 2^24: neighbours are 2 apart.
        let statistics = of(&[16_777_216.0, 16_777_218.0]);
        assert_eq!(statistics.std, Some(1.0));
    }

    /// The first value is then as far from the mean as one can be.
    #[test]
    fn one_value_far_from_all_others_costs_no_digits() {
        let mut values: Vec<f32> = (0..50_000).map(|n| (n % 100) as f32 / 64.0).collect();
        values[0] = -3.0e7;
        let wide = || values.iter().map(|&value| f64::from(value));
        let mean = wide().sum::<f64>() / 5e4;
        let std = (wide().map(|v| (v - mean).powi(2)).sum::<f64>() / 5e4).sqrt();
        let statistics = of(&values);
        assert_eq!(statistics.mean, Some(mean as f32));
        assert_eq!(statistics.std, Some(std as f32));
        // Of values that are all the same, far from zero.
        assert_eq!(of(&[1e7 + 1.0; 1_000]).std, Some(0.0));
    }

    /// What the first value is large beside is in the sum.
    #[test]
    fn a_mean_near_zero_is_that_of_the_values() {
        assert_eq!(of(&[1e8, -1e8, 3e-9, 2e-9]).mean, Some(1.25e-9));
        assert_eq!(of(&[1.0, -1.0, 1e-12]).mean, Some(1e-12 / 3.0));
    }

    #[test]
    fn values_of_any_number_are_those_of_one_after_the_other() {
        // Multiples of 1/64: sums are exact in any order.
        let values: Vec<f32> = (0..2 * LANES as i32 + 3)
            .map(|n| (n * 37 % 23 - 11) as f32 / 64.0)
            .collect();
        for len in 1..values.len() {
            let values = &values[..len];
            let wide = || values.iter().map(|&value| f64::from(value));
            let mean = wide().sum::<f64>() / len as f64;
            let variance = wide().map(|v| (v - mean).powi(2)).sum::<f64>() / len as f64;
            let statistics = of(values);
            assert_eq!(statistics.mean, Some(mean as f32));
            let std = f64::from(statistics.std.unwrap());
            assert!((std - variance.sqrt()).abs() <= 1e-7, "{len}: {std}");
            assert_eq!(
                statistics.l1,
                Some(wide().map(f64::abs).sum::<f64>() as f32)
            );
            let squares: f64 = wide().map(|v| v * v).sum();
            assert_eq!(statistics.l2, Some(squares.sqrt() as f32));
            assert_eq!(statistics.min, values.iter().copied().reduce(f32::min));
            assert_eq!(statistics.max, values.iter().copied().reduce(f32::max));
            let zeros = values.iter().filter(|v| **v == 0.0).count();
            assert_eq!((statistics.zeros, statistics.nonfinite), (zeros as i64, 0));
        }
    }

    #[test]
    fn every_processor_says_the_same() {
        let values: Vec<f32> = (0..4_000u32)
            .map(|n| f32::from_bits(n.wrapping_mul(2_654_435_761)))
            .collect();
        let bits = |all: Vec<Statistics>| format!("{all:?}");
        assert_eq!(
            bits(Statistics::of_rows(&values, 5, 800)),
            bits(of_rows(&values, 5, 800))
        );
    }
}
