//! What t-SNE makes alike: probabilities that points are neighbours, in the data and in a picture.
//!
//! `bhtsne` tells the divergence too, but of nothing that it has not placed itself, and with neighbours that
//! are given it weighs a point's pairs by one probability for all of them (0.7,
//! `evaluate_error_approximately`), so that it says something else. This one is of any picture, and exact.

use super::super::distances::Distances;
use super::super::rows::Rows;
use crate::kernels::sum_over;

/// How near the entropy has to come to the perplexity's, and in how many steps at most.
const TOLERANCE: f64 = 1e-10;
const MAX_STEPS: usize = 200;

/// The probabilities with which a point takes others for its neighbours: a Gaussian of their
/// distances, as wide as gives the perplexity.
fn conditional(distances: &[f64], perplexity: f64) -> Vec<f64> {
    // Relative to the nearest, since nothing is left of a Gaussian far away.
    let nearest = distances.iter().copied().fold(f64::INFINITY, f64::min);
    let squares: Vec<f64> = distances
        .iter()
        .map(|d| d * d - nearest * nearest)
        .collect();
    let wanted = perplexity.ln();
    let (mut precision, mut low, mut high) = (1.0, 0.0, f64::INFINITY);
    let mut probabilities = Vec::new();
    for _ in 0..MAX_STEPS {
        probabilities = squares
            .iter()
            .map(|square| f64::exp(-precision * square))
            .collect();
        let sum: f64 = probabilities.iter().sum();
        probabilities.iter_mut().for_each(|p| *p /= sum);
        let mean = sum_over(&probabilities, &squares, |p, square| p * square);
        let entropy = sum.ln() + precision * mean;
        if (entropy - wanted).abs() < TOLERANCE {
            break;
        }
        match entropy > wanted {
            true => low = precision,
            false => high = precision,
        }
        precision = match high.is_finite() {
            true => (low + high) / 2.0,
            false => 2.0 * precision,
        };
    }
    probabilities
}

/// The Kullback-Leibler divergence of a picture's probabilities from the data's, which is what t-SNE
/// makes small (van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 2008). Each point has
/// `num_neighbours` neighbours in the data, all others or the nearest.
pub fn divergence(data: &Distances, picture: &Rows, perplexity: f64, num_neighbours: usize) -> f64 {
    let num_points = data.num_points();
    let place = |i: usize, j: usize| i * num_points + j;
    let mut joint = vec![0.0; num_points * num_points];
    for point in 0..num_points {
        let mut neighbours = data.nearest(point);
        neighbours.truncate(num_neighbours);
        let distances: Vec<f64> = neighbours.iter().map(|&j| data.between(point, j)).collect();
        for (&other, p) in neighbours.iter().zip(conditional(&distances, perplexity)) {
            let p = p / (2 * num_points) as f64;
            joint[place(point, other)] += p;
            joint[place(other, point)] += p;
        }
    }
    let student = |i: usize, j: usize| {
        1.0 / (1.0 + sum_over(picture.row(i), picture.row(j), |x, y| (x - y) * (x - y)))
    };
    let pairs = || (0..num_points).flat_map(|i| (i + 1..num_points).map(move |j| (i, j)));
    let sum = 2.0 * pairs().map(|(i, j)| student(i, j)).sum::<f64>();
    let of_pair = |(i, j): (usize, usize)| match joint[place(i, j)] {
        0.0 => 0.0,
        p => 2.0 * p * (p * sum / student(i, j)).ln(),
    };
    pairs().map(of_pair).sum()
}
