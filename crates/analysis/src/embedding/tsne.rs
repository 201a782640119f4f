//! t-SNE by the crate `bhtsne`.

use crate::random::KeyedRng;
use bhtsne::{Neighbor, tSNE};

use super::super::distances::Distances;
use super::super::rows::Rows;

/// Up to how many points all pairs repel each other as they are. Beyond, far ones do as groups
/// (Barnes and Hut; van der Maaten, "Accelerating t-SNE using tree-based algorithms", JMLR 2014), and
/// only the nearest attract.
pub(crate) const EXACT_POINTS: usize = 1000;

/// How large a group may be for its distance, where there are groups.
const THETA: f64 = 0.5;
/// So small that nothing is a group.
const NO_GROUPS: f64 = 1e-9;

/// Steps from the start, of which the first pull neighbours together the harder.
const STEPS: usize = 1000;
const EXAGGERATED_STEPS: usize = 250;
/// Steps from where points were an epoch before.
const STEPS_ON: usize = 250;

/// How much harder.
const EXAGGERATION: f64 = 12.0;

/// The learning rate is the number of points by that (Belkina and others, "Automated optimized
/// parameters for t-SNE", 2019), and this at least. With scikit-learn's least, which is four times as
/// much, single points of few fly off: of 64 in three clear groups every third picture had some.
const LEAST_LEARNING_RATE: f64 = 50.0;

/// The spread of points at the start.
const START_SPREAD: f64 = 1e-4;

/// What keys of random numbers are for.
const PURPOSE: u64 = 0x7453_4e45;

/// Where points begin.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// At their principal components, very small, and a little off by the seed: points that are the
    /// same would else stay together.
    Components(&'a Rows),
    /// Where they were.
    Before(&'a Rows),
}

/// How points are placed.
#[derive(Debug, Clone, Copy)]
pub struct Tsne {
    /// About how many neighbours of a point count.
    pub perplexity: f64,
    /// What the placing follows from, beside the data.
    pub seed: u64,
}

/// The largest perplexity for a number of points: each has three times as many neighbours.
pub fn largest_perplexity(num_points: usize) -> f64 {
    (num_points.saturating_sub(1) / 3) as f64
}

impl Tsne {
    /// How many neighbours of each point attract it.
    pub fn num_neighbours(&self, num_points: usize) -> usize {
        match num_points {
            ..=EXACT_POINTS => num_points - 1,
            _ => (num_points - 1).min(3 * self.perplexity as usize + 1),
        }
    }

    /// Places points in as many dimensions as `start` has, 2 or 3. The same seed gives the same
    /// picture: one thread computes it, since sums of several come out now so, now so.
    ///
    /// There have to be 4 points at least, and the perplexity may be at most [`largest_perplexity`].
    pub fn place(&self, data: &Distances, start: Start) -> Rows {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let place = || match start {
            Start::Components(rows) | Start::Before(rows) if rows.num_columns() == 3 => {
                self.place_in::<3>(data, start)
            }
            _ => self.place_in::<2>(data, start),
        };
        match pool {
            Ok(pool) => pool.install(place),
            // Where no thread can be started, this one has to do.
            Err(_) => place(),
        }
    }

    fn place_in<const D: usize>(&self, data: &Distances, start: Start) -> Rows
    where
        bhtsne::Dim<D>: bhtsne::Morton<D>,
    {
        let num_points = data.num_points();
        let num_neighbours = self.num_neighbours(num_points);
        let neighbours: Vec<Vec<Neighbor<f64>>> = (0..num_points)
            .map(|point| {
                let nearest = data.nearest(point).into_iter().take(num_neighbours);
                nearest
                    .map(|index| Neighbor {
                        index,
                        distance: data.between(point, index),
                    })
                    .collect()
            })
            .collect();
        let points = vec![(); num_points];
        let mut tsne: tSNE<f64, (), D> = tSNE::new(&points);
        let learning_rate = (num_points as f64 / EXAGGERATION).max(LEAST_LEARNING_RATE);
        tsne.perplexity(self.perplexity)
            .learning_rate(learning_rate);
        match start {
            Start::Components(components) => tsne
                .initial_embedding(self.small(components))
                .epochs(STEPS)
                .stop_lying_epoch(EXAGGERATED_STEPS)
                .momentum_switch_epoch(EXAGGERATED_STEPS),
            Start::Before(places) => tsne
                .initial_embedding(places.values())
                .epochs(STEPS_ON)
                .stop_lying_epoch(0)
                .momentum_switch_epoch(0),
        };
        let theta = match num_points {
            ..=EXACT_POINTS => NO_GROUPS,
            _ => THETA,
        };
        tsne.barnes_hut_with_neighbors(theta, &neighbours);
        Rows::new(num_points, D, tsne.embedding())
    }

    /// Components with the spread of a start, and a tenth of it at random.
    fn small(&self, components: &Rows) -> Vec<f64> {
        let first = (0..components.len()).map(|point| components.row(point)[0]);
        let spread = (first.map(|x| x * x).sum::<f64>() / components.len() as f64).sqrt();
        let scale = if spread > 0.0 {
            START_SPREAD / spread
        } else {
            0.0
        };
        let mut random = KeyedRng::new([self.seed, PURPOSE, 0, 0]);
        let components = components.values().iter();
        components
            .map(|x| scale * x + 0.1 * START_SPREAD * normal(&mut random))
            .collect()
    }
}

/// A number of the standard normal distribution (Box and Muller, 1958).
fn normal(random: &mut KeyedRng) -> f64 {
    let mut uniform = || (f64::from(random.next_u32()) + 0.5) / 2f64.powi(32);
    let (radius, angle) = (uniform(), uniform());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}
