//! Principal components.
//!
//! The `PCA` of `smartcore` takes the matrix of the columns whenever there are fewer points than columns, as
//! with a hundred neurons of ten thousand weights each: its square is more than is reserved, its cube takes
//! hours. Here it is the smaller side's.

use super::super::eigen::symmetric_eigen;
use super::super::rows::Rows;
use crate::kernels::dot;

/// The points by their first principal components, in the order of their variance; a component that
/// does not vary is 0. The sign of each is such that the coordinate that is largest by its amount is
/// positive. Values have to be finite.
///
/// The symmetric matrix whose eigenvectors are taken is that of the smaller side: products of points
/// or of columns.
pub fn principal_components(points: &Rows, num_components: usize) -> Rows {
    let num_points = points.len();
    let mut columns = points.transposed();
    columns.center_rows();
    let centred = columns.transposed();
    let by_points = num_points <= centred.num_columns();
    let side = if by_points { &centred } else { &columns };
    let products =
        (0..side.len()).flat_map(|i| (0..side.len()).map(move |j| dot(side.row(i), side.row(j))));
    let products = Rows::new(side.len(), side.len(), products.collect());
    let (variances, vectors) = symmetric_eigen(&products);
    let largest = variances.first().copied().unwrap_or(0.0);

    let mut values = vec![0.0; num_points * num_components];
    for (component, &variance) in variances.iter().take(num_components).enumerate() {
        // Below that it is rounding.
        if variance <= largest * 1e-14 {
            continue;
        }
        let vector = vectors.row(component);
        let along = |point: usize| match by_points {
            true => vector[point] * variance.sqrt(),
            false => dot(centred.row(point), vector),
        };
        let scores: Vec<f64> = (0..num_points).map(along).collect();
        let farthest = scores
            .iter()
            .copied()
            .max_by(|a, b| a.abs().total_cmp(&b.abs()));
        let sign = farthest.map_or(1.0, f64::signum);
        for (point, score) in scores.into_iter().enumerate() {
            values[point * num_components + component] = sign * score;
        }
    }
    Rows::new(num_points, num_components, values)
}
