//! How far points are from each other.

use super::rows::Rows;
use crate::kernels::sum_over;

/// The distances of all pairs of points.
#[derive(Debug, Clone)]
pub struct Distances {
    num_points: usize,
    /// Those of point 0 to 1, 2, ..., then of 1 to 2, 3, ...
    condensed: Vec<f64>,
}

impl Distances {
    /// Those of pairs, in the order of [`condensed`](Self::condensed).
    pub fn new(num_points: usize, condensed: Vec<f64>) -> Self {
        debug_assert_eq!(
            condensed.len(),
            num_points * num_points.saturating_sub(1) / 2
        );
        Self {
            num_points,
            condensed,
        }
    }

    /// The Euclidean ones of the rows.
    pub fn of(points: &Rows) -> Self {
        let num_points = points.len();
        let mut condensed = Vec::with_capacity(num_points * num_points.saturating_sub(1) / 2);
        for i in 0..num_points {
            condensed.extend(
                (i + 1..num_points).map(|j| {
                    sum_over(points.row(i), points.row(j), |x, y| (x - y) * (x - y)).sqrt()
                }),
            );
        }
        Self::new(num_points, condensed)
    }

    /// How many points there are.
    pub fn num_points(&self) -> usize {
        self.num_points
    }

    /// That of two points.
    pub fn between(&self, i: usize, j: usize) -> f64 {
        let (i, j) = (i.min(j), i.max(j));
        if i == j {
            return 0.0;
        }
        self.condensed[i * (2 * self.num_points - i - 1) / 2 + j - i - 1]
    }

    /// All of them, pair after pair: of 0 and 1, 0 and 2, ..., 1 and 2, ...
    pub fn condensed(&self) -> &[f64] {
        &self.condensed
    }

    /// The other points by their distance from one, the nearest first; of equal ones the first.
    pub fn nearest(&self, point: usize) -> Vec<usize> {
        let mut others: Vec<usize> = (0..self.num_points).filter(|&j| j != point).collect();
        others.sort_by(|&a, &b| self.between(point, a).total_cmp(&self.between(point, b)));
        others
    }
}
