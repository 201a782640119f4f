//! Eigenvalues and eigenvectors of a symmetric matrix.
//!
//! The `evd` of `smartcore` gives the same to rounding, but panics where a value takes more than 30 steps (0.7,
//! `tql2`), which no caller can answer. And t-SNE begins at these vectors and carries their last digits far:
//! its pictures would be others.

use super::rows::Rows;
use crate::kernels::dot;

/// How often a step towards an eigenvalue is taken at most; a handful is usual.
const MAX_STEPS: usize = 100;

/// The eigenvalues of a symmetric matrix, the largest first, and a row each of its eigenvector, of
/// length 1.
///
/// Householder reflections make the matrix tridiagonal, QL steps with implicit shifts then diagonal
/// (Bowdler, Martin, Reinsch and Wilkinson, "The QR and QL algorithms for symmetric matrices", 1968,
/// as in Golub and Van Loan, "Matrix computations", 8.3): about 4 n³ operations.
pub(crate) fn symmetric_eigen(matrix: &Rows) -> (Vec<f64>, Rows) {
    let size = matrix.len();
    let mut tridiagonal = Tridiagonal::of(matrix);
    tridiagonal.diagonalize();
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| tridiagonal.diagonal[b].total_cmp(&tridiagonal.diagonal[a]));
    let values = order.iter().map(|&i| tridiagonal.diagonal[i]).collect();
    let vectors = order.iter().flat_map(|&i| &tridiagonal.vectors[i]);
    let vectors = Rows::new(size, size, vectors.copied().collect());
    (values, vectors)
}

/// A matrix with the same eigenvalues that has values on the diagonal and beside it alone.
struct Tridiagonal {
    diagonal: Vec<f64>,
    /// Beside the diagonal: element i stands between i and i + 1; the last is 0.
    beside: Vec<f64>,
    /// Row i of what turns this matrix into the other: in the end, eigenvectors.
    vectors: Vec<Vec<f64>>,
}

impl Tridiagonal {
    fn of(matrix: &Rows) -> Self {
        let size = matrix.len();
        let mut a: Vec<Vec<f64>> = (0..size).map(|i| matrix.row(i).to_vec()).collect();
        let mut vectors: Vec<Vec<f64>> = (0..size)
            .map(|i| (0..size).map(|j| f64::from(u8::from(i == j))).collect())
            .collect();
        for column in 0..size.saturating_sub(2) {
            // The reflection that leaves of this column the element below the diagonal alone.
            let first = column + 1;
            let mut v: Vec<f64> = a[column][first..].to_vec();
            let rest = dot(&v[1..], &v[1..]);
            if rest == 0.0 {
                continue;
            }
            let length = (v[0] * v[0] + rest).sqrt();
            v[0] += length.copysign(v[0]);
            let scale = 2.0 / dot(&v, &v);
            // a becomes (1 - scale v vᵀ) a (1 - scale v vᵀ), which changes its lower right part by
            // v wᵀ + w vᵀ.
            let mut w: Vec<f64> = (first..size)
                .map(|i| scale * dot(&a[i][first..], &v))
                .collect();
            let half = 0.5 * scale * dot(&w, &v);
            w.iter_mut().zip(&v).for_each(|(w, v)| *w -= half * v);
            for (i, row) in a[first..].iter_mut().enumerate() {
                for (j, value) in row[first..].iter_mut().enumerate() {
                    *value -= v[i] * w[j] + w[i] * v[j];
                }
            }
            let below = -length.copysign(a[column][first]);
            a[column][first..].fill(0.0);
            a[column][first] = below;
            // Rows of `vectors` are reflected as well: row i of them is basis vector i.
            let mut along = vec![0.0; size];
            for (v, row) in v.iter().zip(&vectors[first..]) {
                along
                    .iter_mut()
                    .zip(row)
                    .for_each(|(sum, x)| *sum += scale * v * x);
            }
            for (v, row) in v.iter().zip(&mut vectors[first..]) {
                row.iter_mut()
                    .zip(&along)
                    .for_each(|(x, along)| *x -= v * along);
            }
        }
        let beside = (0..size).map(|i| a[i].get(i + 1).copied().unwrap_or(0.0));
        Self {
            diagonal: (0..size).map(|i| a[i][i]).collect(),
            beside: beside.collect(),
            vectors,
        }
    }

    fn diagonalize(&mut self) {
        for low in 0..self.diagonal.len() {
            for _ in 0..MAX_STEPS {
                // Up to the next element beside the diagonal that is as good as 0.
                let is_split = |i: &usize| {
                    let around = self.diagonal[*i].abs() + self.diagonal[*i + 1].abs();
                    self.beside[*i].abs() <= f64::EPSILON * around
                };
                let last = self.diagonal.len() - 1;
                let high = (low..last).find(is_split).unwrap_or(last);
                if high == low {
                    break;
                }
                self.step(low, high);
            }
        }
    }

    /// An implicit QL step on rows `low` to `high`.
    fn step(&mut self, low: usize, high: usize) {
        let (d, e) = (&mut self.diagonal, &mut self.beside);
        // Wilkinson's shift: the eigenvalue of the upper 2 by 2 that is nearer to its corner.
        let half = (d[low + 1] - d[low]) / (2.0 * e[low]);
        let root = half.hypot(1.0);
        let mut g = d[high] - d[low] + e[low] / (half + root.copysign(half));
        let (mut sin, mut cos, mut shifted) = (1.0, 1.0, 0.0);
        for i in (low..high).rev() {
            let (f, b) = (sin * e[i], cos * e[i]);
            let length = f.hypot(g);
            e[i + 1] = length;
            if length == 0.0 {
                // Split by chance: what is shifted is put back.
                d[i + 1] -= shifted;
                e[high] = 0.0;
                return;
            }
            sin = f / length;
            cos = g / length;
            let before = d[i + 1] - shifted;
            let turned = (d[i] - before) * sin + 2.0 * cos * b;
            shifted = sin * turned;
            d[i + 1] = before + shifted;
            g = cos * turned - b;
            let (above, below) = self.vectors.split_at_mut(i + 1);
            for (x, y) in above[i].iter_mut().zip(&mut below[0]) {
                (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
            }
        }
        d[low] -= shifted;
        e[low] = g;
        e[high] = 0.0;
    }
}

#[cfg(test)]
mod tests;
