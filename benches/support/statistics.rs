//! Medians, and how sure they are.

/// The probability that a [`median_interval`] misses the median, at most.
const MISS: f64 = 0.05;

/// The median: the mean of the two values in the middle where their number is even.
pub fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// An interval that holds the median of the distribution with a probability of at least 95 %,
/// whatever the distribution: the k-th smallest and the k-th largest value, where k is the largest
/// for which a binomial variable of n trials and probability 1/2 is below k with at most 2.5 %.
/// None for fewer than six values, which have no such interval.
pub fn median_interval(values: &[f64]) -> Option<(f64, f64)> {
    let sorted = sorted(values);
    let n = sorted.len();
    let mut probability = 0.5_f64.powi(i32::try_from(n).ok()?);
    let mut below = 0.0;
    let mut k = 0;
    loop {
        below += probability;
        if 2.0 * below > MISS {
            break;
        }
        probability *= (n - k) as f64 / (k + 1) as f64;
        k += 1;
    }
    (k > 0).then(|| (sorted[k - 1], sorted[n - k]))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_owned();
    sorted.sort_by(f64::total_cmp);
    sorted
}
