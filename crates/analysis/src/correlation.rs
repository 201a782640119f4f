//! Which pairs of many series go together.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::kernels::{dot, is_constant, sum_over};

/// How many series are held against how many at a time: two blocks of 512 values each stay in a
/// core's second cache.
const BLOCK: usize = 32;

/// Series of one length, each moved and scaled to a mean of 0 and a length of 1, so that the dot
/// product of two is Pearson's correlation of them.
#[derive(Debug, Default)]
pub struct Standardized {
    length: usize,
    series: Vec<Series>,
}

#[derive(Debug)]
struct Series {
    values: Box<[f64]>,
    /// Whether it can be correlated at all: it is finite and not constant.
    varies: bool,
}

impl Standardized {
    /// Adds a series, of the length of those before.
    pub fn push(&mut self, series: &[f32]) {
        debug_assert!(self.series.is_empty() || self.length == series.len());
        self.length = series.len();
        let varies = series.iter().all(|value| value.is_finite()) && !is_constant(series);
        let mut values: Box<[f64]> = series.iter().copied().map(f64::from).collect();
        if varies {
            let mean = sum_over(&values, &values, |x, _| x) / values.len() as f64;
            values.iter_mut().for_each(|value| *value -= mean);
            let length = dot(&values, &values).sqrt();
            values.iter_mut().for_each(|value| *value /= length);
        }
        self.series.push(Series { values, varies });
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// At most how many bytes a series of that length takes.
    pub fn num_bytes_of(length: usize) -> usize {
        // Their vector doubles, and both are there while it does.
        let place = 3 * size_of::<Series>();
        length
            .saturating_mul(size_of::<f64>())
            .saturating_add(place)
    }

    /// At most how many bytes [`top_pairs`](Self::top_pairs) takes.
    pub fn num_bytes_of_top(&self, top: usize) -> usize {
        let each = size_of::<Ranked>() + size_of::<Pair>();
        top.min(num_pairs(self.len())).saturating_mul(each)
    }

    /// Whether a series can be correlated at all: it is finite and not constant.
    pub fn varies(&self, index: usize) -> bool {
        self.series[index].varies
    }

    /// Pearson's correlation of two series that can be correlated.
    pub fn correlation(&self, a: usize, b: usize) -> f64 {
        dot(self.series(a), self.series(b)).clamp(-1.0, 1.0)
    }

    fn series(&self, index: usize) -> &[f64] {
        &self.series[index].values
    }

    /// The `top` pairs with the largest correlation by its amount, largest first; of equal ones the
    /// pair that comes first. Pairs of which one is constant or not finite have none, and come last.
    ///
    /// The correlations are those of a Gram matrix of which a block at a time is made, and the best
    /// pairs alone are kept.
    pub fn top_pairs(&self, top: usize) -> Vec<Pair> {
        let top = top.min(num_pairs(self.len()));
        let mut best: BinaryHeap<Reverse<Ranked>> = BinaryHeap::with_capacity(top);
        let starts = || (0..self.len()).step_by(BLOCK);
        for block_a in starts() {
            for block_b in starts().skip(block_a / BLOCK) {
                let end_b = self.len().min(block_b + BLOCK);
                for a in block_a..self.len().min(block_a + BLOCK) {
                    for b in block_b.max(a + 1)..end_b {
                        if !self.varies(a) || !self.varies(b) {
                            continue;
                        }
                        let correlation = self.correlation(a, b);
                        keep_best(&mut best, top, Ranked { a, b, correlation });
                    }
                }
            }
        }
        // The greatest first: it is the least of the reversed.
        let best = best.into_sorted_vec();
        let mut pairs = Vec::with_capacity(top);
        pairs.extend(best.into_iter().map(|Reverse(pair)| pair.pair()));
        pairs.extend(self.undefined_pairs().take(top - pairs.len()));
        pairs
    }

    fn undefined_pairs(&self) -> impl Iterator<Item = Pair> {
        let pairs = (0..self.len()).flat_map(|a| (a + 1..self.len()).map(move |b| (a, b)));
        pairs
            .filter(|&(a, b)| !self.varies(a) || !self.varies(b))
            .map(|(a, b)| Pair {
                a,
                b,
                correlation: None,
            })
    }
}

/// How many pairs so many things make.
pub fn num_pairs(len: usize) -> usize {
    let (len, others) = (len as u128, len.saturating_sub(1) as u128);
    usize::try_from(len * others / 2).unwrap_or(usize::MAX)
}

/// Two series by their places, the first before the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The place of the first.
    pub a: usize,
    /// The place of the second.
    pub b: usize,
    /// None where one of them is constant or not finite.
    pub correlation: Option<f64>,
}

/// A pair that is the greater the better it is.
#[derive(Debug, Clone, Copy)]
struct Ranked {
    a: usize,
    b: usize,
    correlation: f64,
}

impl Ranked {
    fn pair(self) -> Pair {
        Pair {
            a: self.a,
            b: self.b,
            correlation: Some(self.correlation),
        }
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let amounts = self.correlation.abs().total_cmp(&other.correlation.abs());
        amounts.then_with(|| (other.a, other.b).cmp(&(self.a, self.b)))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

/// Keeps `item` if it is among the `top` greatest so far.
fn keep_best<T: Ord>(best: &mut BinaryHeap<Reverse<T>>, top: usize, item: T) {
    if best.len() < top {
        best.push(Reverse(item));
    } else if let Some(mut least) = best.peek_mut()
        && item > least.0
    {
        *least = Reverse(item);
    }
}

#[cfg(test)]
mod tests;
