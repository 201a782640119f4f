//! How alike two networks are.

use super::rows::Rows;
use crate::kernels::{dot, sum_over};

/// Linear centred kernel alignment of what two layers make of the same samples: 1 where one is the
/// other rotated and scaled, 0 where they have nothing in common. A row each of a neuron, a column
/// of a sample. None where a layer makes the same of all samples, or a value is not finite.
///
/// With the rows of `a` and `b` centred it is ‖B Aᵀ‖² / (‖A Aᵀ‖ ‖B Bᵀ‖), in Frobenius norms
/// (Kornblith, Norouzi, Lee and Hinton, "Similarity of neural network representations revisited",
/// ICML 2019).
pub fn linear_cka(mut a: Rows, mut b: Rows) -> Option<f64> {
    debug_assert_eq!(a.num_columns(), b.num_columns());
    a.center_rows();
    b.center_rows();
    let num_samples = a.num_columns();
    let [own_a, own_b, shared] = match num_samples < a.len().min(b.len()) {
        true => of_sample_kernels(&a.transposed(), &b.transposed()),
        false => [(&a, &a), (&b, &b), (&a, &b)].map(|(a, b)| squared_products(a, b)),
    };
    let alignment = shared / (own_a.sqrt() * own_b.sqrt());
    (own_a > 0.0 && own_b > 0.0 && alignment.is_finite()).then_some(alignment)
}

/// Σ (aᵢ·bⱼ)² over all pairs of rows: ‖A Bᵀ‖².
fn squared_products(a: &Rows, b: &Rows) -> f64 {
    let of_row = |i: usize| {
        (0..b.len())
            .map(|j| dot(a.row(i), b.row(j)).powi(2))
            .sum::<f64>()
    };
    (0..a.len()).map(of_row).sum()
}

/// ‖A Aᵀ‖², ‖B Bᵀ‖² and ‖A Bᵀ‖² by the samples, which are the rows here: since
/// ‖A Bᵀ‖² = tr(AᵀA BᵀB), the products of pairs of samples are enough, where there are fewer of
/// them.
fn of_sample_kernels(a: &Rows, b: &Rows) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for i in 0..a.len() {
        for j in i..a.len() {
            let times = if i == j { 1.0 } else { 2.0 };
            let (in_a, in_b) = (dot(a.row(i), a.row(j)), dot(b.row(i), b.row(j)));
            sums[0] += times * in_a * in_a;
            sums[1] += times * in_b * in_b;
            sums[2] += times * in_a * in_b;
        }
    }
    sums
}

/// ‖A - B‖ / ‖A‖ in Frobenius norms. None where A is 0 or a value is not finite.
pub fn relative_distance(a: &Rows, b: &Rows) -> Option<f64> {
    let between = sum_over(a.values(), b.values(), |x, y| (x - y) * (x - y)).sqrt();
    let relative = between / dot(a.values(), a.values()).sqrt();
    relative.is_finite().then_some(relative)
}

#[cfg(test)]
mod tests;
