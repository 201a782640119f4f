//! How a layer's values are spread.

use std::num::NonZeroU32;

/// What a histogram is of, in the column `of`.
pub(crate) const OF_WEIGHTS: &str = "weights";
/// What a histogram is of, in the column `of`.
pub(crate) const OF_ACTIVATIONS: &str = "activations";

/// Equally wide bins from the smallest finite value to the largest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Histogram {
    /// One more than there are bins, ascending: bin `i` has the values from edge `i` to below edge
    /// `i + 1`, the last bin also those at its upper edge.
    pub(crate) edges: Vec<f32>,
    /// How many values each bin has.
    pub(crate) counts: Vec<u64>,
}

impl Histogram {
    /// None where no value is finite. Where all are equal, so are the edges, and the last bin has
    /// them.
    pub(crate) fn of(values: &[f32], num_bins: NonZeroU32) -> Option<Self> {
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        let (min, max) = finite().fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), v| {
            (min.min(v), max.max(v))
        });
        if min > max {
            return None;
        }
        let num_bins = num_bins.get() as usize;
        let first = f64::from(min);
        let width = (f64::from(max) - first) / num_bins as f64;
        let edge = |bin: usize| (first + width * bin as f64) as f32;
        let mut edges = Vec::with_capacity(num_bins + 1);
        edges.extend((0..num_bins).map(edge));
        edges.push(max);
        let mut counts = vec![0; num_bins];
        for value in finite() {
            // Edges are rounded, and what the columns say is to hold: near one, a look decides.
            let guess = ((f64::from(value) - first) / width) as usize;
            let mut bin = guess.min(num_bins - 1);
            while bin > 0 && value < edges[bin] {
                bin -= 1;
            }
            while bin + 1 < num_bins && value >= edges[bin + 1] {
                bin += 1;
            }
            counts[bin] += 1;
        }
        Some(Self { edges, counts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32], num_bins: u32) -> Option<(Vec<f32>, Vec<u64>)> {
        let histogram = Histogram::of(values, NonZeroU32::new(num_bins).unwrap());
        histogram.map(|histogram| (histogram.edges, histogram.counts))
    }

    #[test]
    fn a_bin_has_its_lower_edge_and_the_last_one_both() {
        let values = [0.0, 1.0, 1.5, 2.0, f32::NAN, 4.0, 3.0, f32::INFINITY];
        let expected = (vec![0.0, 1.0, 2.0, 3.0, 4.0], vec![1, 2, 1, 2]);
        assert_eq!(of(&values, 4), Some(expected));
    }

    #[test]
    fn counts_hold_by_the_rounded_edges() {
        // Edges of thirds cannot be written as 32-bit floats.
        let values: Vec<f32> = (0..=3000).map(|n| n as f32 / 3000.0).collect();
        let (edges, counts) = of(&values, 7).unwrap();
        for (bin, &count) in counts.iter().enumerate() {
            let is_in = |v: &&f32| {
                **v >= edges[bin] && (**v < edges[bin + 1] || bin == 6 && **v == edges[7])
            };
            assert_eq!(count, values.iter().filter(is_in).count() as u64, "{bin}");
        }
        assert_eq!(counts.iter().sum::<u64>(), 3001);
    }

    #[test]
    fn values_that_are_equal_or_not_there() {
        assert_eq!(of(&[2.5; 3], 2), Some((vec![2.5; 3], vec![0, 3])));
        assert_eq!(of(&[], 2), None);
        assert_eq!(of(&[f32::NAN], 2), None);
        let widest = of(&[f32::MIN, 0.0, f32::MAX], 2).unwrap();
        assert_eq!(widest, (vec![f32::MIN, 0.0, f32::MAX], vec![1, 2]));
    }
}
