//! Many numbers a point made two or three, so that it can be drawn.

mod affinities;
mod pca;
mod tsne;

use super::distances::Distances;
use super::rows::Rows;

pub use affinities::divergence;
pub use pca::principal_components;
pub use tsne::{Start, Tsne, largest_perplexity};

/// How far the neighbours of points in a picture are neighbours in the data: 1 if the `k` nearest of
/// every point are among its `k` nearest there, less the further away they are (Venna and Kaski,
/// 2001). None unless `k` is at least 1 and less than half the number of points.
pub fn trustworthiness(data: &Distances, picture: &Rows, k: usize) -> Option<f64> {
    let num_points = data.num_points();
    if k == 0 || 2 * k >= num_points {
        return None;
    }
    let picture = Distances::of(picture);
    let mut intrusion = 0;
    let mut ranks = vec![0usize; num_points];
    for point in 0..num_points {
        for (rank, other) in (1..).zip(data.nearest(point)) {
            ranks[other] = rank;
        }
        let neighbours = picture.nearest(point);
        let ranks = neighbours[..k].iter().map(|&other| ranks[other]);
        intrusion += ranks.map(|rank| rank.saturating_sub(k)).sum::<usize>();
    }
    let (n, k) = (num_points as f64, k as f64);
    Some(1.0 - 2.0 / (n * k * (2.0 * n - 3.0 * k - 1.0)) * intrusion as f64)
}

#[cfg(test)]
mod tests;
