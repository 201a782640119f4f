//! The neurons of an epoch as points, and what the picture of them is worth.

use analysis::Merge;
use sql::NotFinite;

/// Up to here a silhouette says that there is no substantial structure (Kaufman and Rousseeuw,
/// "Finding groups in data", 1990).
pub const NO_STRUCTURE: f64 = 0.25;

/// Below that, a picture's neighbours are too often none in the data to go by.
pub const NOT_TRUSTED: f64 = 0.8;

/// The neurons of an epoch as points.
#[derive(Debug, Clone)]
pub struct Embedding {
    /// The epoch.
    pub epoch: i32,
    /// The neurons, in the order of the topology.
    pub neurons: Vec<i32>,
    /// The layer of each.
    pub layers: Vec<String>,
    /// The coordinates of each, two or three.
    pub points: Vec<Vec<f64>>,
    /// The cluster of each, from 0.
    pub clusters: Vec<usize>,
    /// The place of each in the dendrogram's order, from 0.
    pub leaves: Vec<usize>,
    /// How the clusters came about: points are counted as `neurons` lists them.
    pub merges: Vec<Merge>,
    /// How many neurons were left out, because a value of theirs is not finite.
    pub num_left_out: usize,
    /// How many more were passed over, because only some were to be placed.
    pub num_passed_over: usize,
    /// What of their layers is not finite by this epoch.
    pub not_finite: Option<NotFinite>,
    /// Of principal components: how much of the neurons' variance each axis has, from 0 to 1.
    pub variance_shares: Option<Vec<f64>>,
    /// Of t-SNE: what is left of the Kullback-Leibler divergence that it makes small.
    pub divergence: Option<f64>,
    /// How far neighbours in the picture are neighbours in the data, at most 1; none of very few
    /// neurons.
    pub trustworthiness: Option<f64>,
    /// How many neighbours of each neuron that looks at.
    pub num_neighbours: usize,
    /// How much nearer neurons are to their own cluster than to the next, between -1 and 1, in the
    /// data; none of very few neurons.
    pub silhouette: Option<f64>,
}

impl Embedding {
    /// What the picture is worth, in a line, its figures as exact as they are.
    pub fn verdict(&self) -> String {
        self.told(|value| value.to_string())
    }

    /// The same, its figures written by `number`.
    pub fn told(&self, number: impl Fn(f64) -> String) -> String {
        let mut findings = self.findings(number);
        findings.extend(self.not_finite.as_ref().map(NotFinite::to_string));
        let findings = findings.join("; ");
        format!("epoch {}: {findings}", self.epoch)
    }

    /// What the picture is worth, its figures written by `number`.
    pub fn findings(&self, number: impl Fn(f64) -> String) -> Vec<String> {
        let num_neurons = self.neurons.len();
        let mut words = vec![match self.num_passed_over {
            0 => format!("{num_neurons} neurons"),
            more => format!(
                "{num_neurons} of {} neurons, evenly spread",
                num_neurons + more
            ),
        }];
        if self.num_left_out > 0 {
            words.push(format!("{} left out, not finite", self.num_left_out));
        }
        if let Some(divergence) = self.divergence {
            words.push(format!("KL divergence {}", number(divergence)));
        }
        if let Some(trustworthiness) = self.trustworthiness {
            let verdict = match trustworthiness < NOT_TRUSTED {
                true => " (neighbours in the picture are often none in the data)",
                false => "",
            };
            let num_neighbours = self.num_neighbours;
            words.push(format!(
                "trustworthiness of {num_neighbours} neighbours {}{verdict}",
                number(trustworthiness)
            ));
        }
        let num_clusters = self.clusters.iter().max().map_or(0, |last| last + 1);
        words.push(match self.silhouette {
            None => format!("{num_clusters} clusters"),
            Some(silhouette) if silhouette <= NO_STRUCTURE => {
                format!(
                    "{num_clusters} clusters, silhouette {} (no substantial structure)",
                    number(silhouette)
                )
            }
            Some(silhouette) => {
                format!("{num_clusters} clusters, silhouette {}", number(silhouette))
            }
        });
        words
    }
}
