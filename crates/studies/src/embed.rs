//! Neurons as points in a picture, and in clusters.

mod components;
mod embedding;
mod options;
mod points;
mod rows;

use std::collections::HashMap;

use analysis::{
    Dendrogram, Distances, Rows, Start, Tsne, divergence, largest_perplexity, principal_components,
    silhouette, trustworthiness,
};
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use sql::{NotFinite, QueryError, QuerySession};

use crate::layer_values::layer_values;
use components::{variance_shares, with_signs_of};
use points::Points;

pub use embedding::{Embedding, NO_STRUCTURE, NOT_TRUSTED};
pub use options::{DEFAULT_PERPLEXITY, EmbedOptions, EmbeddingMethod, MAX_AUTO_CLUSTERS};
pub use points::MAX_POINTS;

/// How many neighbours trustworthiness looks at, where there are enough.
const TRUSTED_NEIGHBOURS: usize = 5;

/// What rows of embeddings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbeddingRows {
    /// A row a neuron, with its place.
    Neurons,
    /// A row a merge of clusters.
    Merges,
}

/// Places the neurons of one epoch after another.
#[derive(Debug)]
pub struct Embedder {
    session: QuerySession,
    options: EmbedOptions,
    epochs: std::vec::IntoIter<i32>,
    /// Where neurons were at the epoch before.
    before: HashMap<i32, Vec<f64>>,
    /// What an epoch takes while it is placed.
    memory: MemoryReservation,
}

impl Embedder {
    /// Prepares to place a run's neurons.
    ///
    /// # Errors
    /// If there is no such epoch or layer, or an option makes no sense.
    pub fn try_new(session: QuerySession, mut options: EmbedOptions) -> Result<Self, QueryError> {
        let bad = |name: &str, problem: &str| QueryError::BadParameter {
            name: name.to_owned(),
            problem: problem.to_owned(),
        };
        if !(2..=3).contains(&options.dimensions) {
            return Err(bad("dimensions", "is 2 or 3"));
        }
        if options
            .perplexity
            .is_some_and(|p| !p.is_finite() || p < 1.0)
        {
            return Err(bad("perplexity", "is a number from 1 on"));
        }
        if options.clusters == Some(0) {
            return Err(bad("clusters", "is at least 1"));
        }
        let layer = options.layer.as_deref();
        options.layer = layer.map(|name| session.known_layer(name)).transpose()?;
        let epochs = options.epochs.among(&session.captured_epochs())?;
        Ok(Self {
            memory: session.reservation("embed"),
            session,
            options,
            epochs: epochs.into_iter(),
            before: HashMap::new(),
        })
    }

    /// At these of the epochs alone.
    pub fn at(mut self, epochs: &[i32]) -> Self {
        let epochs: Vec<i32> = self.epochs.filter(|epoch| epochs.contains(epoch)).collect();
        self.epochs = epochs.into_iter();
        self
    }

    /// The next epoch; none after the last. Epochs without any values are passed over.
    ///
    /// # Errors
    /// If nothing was recorded, or what was cannot be read or placed.
    pub async fn next(&mut self) -> Result<Option<Embedding>, QueryError> {
        let of = self.options.of;
        for epoch in self.epochs.by_ref() {
            let layer = self.options.layer.as_deref();
            self.memory.free();
            let values = layer_values(&self.session, of, epoch, layer, &self.memory);
            let mut values = values.await?;
            if layer.is_none() {
                let output = self.session.info().layers.output_layer();
                let output = output.map(|layer| layer.layer.as_str());
                values.retain(|of_layer| Some(of_layer.layer.as_str()) != output);
            }
            if values.iter().any(|layer| !layer.rows.is_empty()) {
                // The points are copies of them.
                let num_bytes = values.iter().map(|layer| layer.rows.num_bytes()).sum();
                self.memory.try_grow(num_bytes)?;
                let mut points = Points::try_new(values, of)?;
                if let Some(at_most) = self.options.at_most {
                    points.keep(at_most);
                }
                self.check(epoch, &points).await?;
                self.memory.try_grow(points.num_bytes_of_placing())?;
                let not_finite = self.not_finite(epoch).await?;
                return self.place(epoch, points, not_finite).map(Some);
            }
        }
        if !self.before.is_empty() {
            return Ok(None);
        }
        let topology = &self.session.info().layers;
        let output = topology.output_layer();
        Err(QueryError::Mistake(match output {
            Some(output)
                if self.options.layer.is_none() && topology.hidden_layers().next().is_none() =>
            {
                format!(
                    "the network has no hidden neurons, and its outputs are placed where their layer is \
                     chosen ({})",
                    output.layer
                )
            }
            _ => format!("no {} of single neurons were recorded there", of.name()),
        }))
    }

    /// The rows of all epochs, which are placed as they are asked for; `told` is given each.
    pub fn into_rows(
        self,
        shown: EmbeddingRows,
        told: impl FnMut(&Embedding) + Send + 'static,
    ) -> SendableRecordBatchStream {
        let dimensions = self.options.dimensions;
        let schema = match shown {
            EmbeddingRows::Neurons => Embedding::schema(dimensions),
            EmbeddingRows::Merges => Embedding::merge_schema(),
        };
        let rows = stream::try_unfold((self, told), move |(mut embedder, mut told)| async move {
            let next = async {
                let Some(embedding) = embedder.next().await? else {
                    return Ok(None);
                };
                told(&embedding);
                Ok(Some(match shown {
                    EmbeddingRows::Neurons => embedding.rows(dimensions)?,
                    EmbeddingRows::Merges => embedding.merge_rows()?,
                }))
            };
            let next: Result<_, QueryError> = next.await;
            match next {
                Ok(rows) => Ok(rows.map(|rows| (rows, (embedder, told)))),
                Err(error) => Err(DataFusionError::External(Box::new(error))),
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }

    fn place(
        &mut self,
        epoch: i32,
        points: Points,
        not_finite: Option<NotFinite>,
    ) -> Result<Embedding, QueryError> {
        let num_points = points.neurons.len();
        let distances = Distances::of(&points.rows);
        let (picture, divergence) = self.picture(&points, &distances);
        let variance_shares = match self.options.method {
            EmbeddingMethod::Pca => variance_shares(&points.rows, &picture),
            EmbeddingMethod::Tsne => None,
        };
        self.before = points
            .neurons
            .iter()
            .enumerate()
            .map(|(place, neuron)| (*neuron, picture.row(place).to_vec()))
            .collect();

        let dendrogram = Dendrogram::of(&distances, self.options.linkage);
        let (clusters, silhouette) = self.clusters(&dendrogram, &distances);
        let mut leaves = vec![0; num_points];
        for (place, point) in dendrogram.leaves().into_iter().enumerate() {
            leaves[point] = place;
        }
        let num_neighbours = TRUSTED_NEIGHBOURS.min(num_points.saturating_sub(1) / 2);
        Ok(Embedding {
            epoch,
            trustworthiness: trustworthiness(&distances, &picture, num_neighbours),
            num_neighbours,
            points: (0..num_points)
                .map(|point| picture.row(point).to_vec())
                .collect(),
            clusters,
            leaves,
            merges: dendrogram.merges().to_vec(),
            num_left_out: points.num_left_out,
            num_passed_over: points.num_passed_over,
            not_finite,
            variance_shares,
            divergence,
            silhouette,
            neurons: points.neurons,
            layers: points.layers,
        })
    }

    /// What of the layers that are placed is not finite by an epoch.
    async fn not_finite(&self, epoch: i32) -> Result<Option<NotFinite>, QueryError> {
        let (tables, layer) = (self.options.of.tables(), self.options.layer.as_deref());
        self.session.not_finite_at(epoch, tables, layer).await
    }

    /// Whether there are as many points as can be placed.
    async fn check(&self, epoch: i32, points: &Points) -> Result<(), QueryError> {
        let num_points = points.neurons.len();
        let problem = match (num_points, self.options.method, self.options.perplexity) {
            _ if num_points > MAX_POINTS => format!(
                "{num_points} neurons are more than can be drawn ({MAX_POINTS}): choose a layer"
            ),
            (0, _, _) => "no neuron has finite values".to_owned(),
            (..4, EmbeddingMethod::Tsne, _) => {
                format!("t-SNE needs 4 neurons at least, here are {num_points} with finite values")
            }
            (_, EmbeddingMethod::Tsne, Some(perplexity))
                if perplexity > largest_perplexity(num_points) =>
            {
                format!(
                    "perplexity is {perplexity}, of {num_points} neurons it can be up to {}",
                    largest_perplexity(num_points)
                )
            }
            _ => return Ok(()),
        };
        let reason = match points.num_left_out {
            0 => None,
            _ => self.not_finite(epoch).await?,
        };
        Err(QueryError::Mistake(match reason {
            Some(reason) => format!("{problem}: {reason}; training has diverged"),
            None => problem,
        }))
    }

    /// The points in few dimensions, and what t-SNE left of its divergence.
    fn picture(&self, points: &Points, distances: &Distances) -> (Rows, Option<f64>) {
        let components = || principal_components(&points.rows, self.options.dimensions);
        let before = self.places_before(points);
        match self.options.method {
            EmbeddingMethod::Pca => {
                let picture = match before {
                    Some(before) => with_signs_of(&components(), &before),
                    None => components(),
                };
                (picture, None)
            }
            EmbeddingMethod::Tsne => {
                let largest = largest_perplexity(points.neurons.len());
                let perplexity = self.options.perplexity;
                let tsne = Tsne {
                    perplexity: perplexity.unwrap_or(DEFAULT_PERPLEXITY.min(largest)),
                    seed: self.options.seed,
                };
                let picture = match before {
                    Some(before) => tsne.place(distances, Start::Before(&before)),
                    None => tsne.place(distances, Start::Components(&components())),
                };
                let num_neighbours = tsne.num_neighbours(points.neurons.len());
                let left = divergence(distances, &picture, tsne.perplexity, num_neighbours);
                (picture, Some(left))
            }
        }
    }

    /// Where the points were at the epoch before; those that were not there begin in the middle.
    fn places_before(&self, points: &Points) -> Option<Rows> {
        if self.before.is_empty() {
            return None;
        }
        let middle = vec![0.0; self.options.dimensions];
        let places = points.neurons.iter();
        let places = places.map(|neuron| self.before.get(neuron).unwrap_or(&middle));
        let values = places.flatten().copied().collect();
        Some(Rows::new(
            points.neurons.len(),
            self.options.dimensions,
            values,
        ))
    }

    fn clusters(
        &self,
        dendrogram: &Dendrogram,
        distances: &Distances,
    ) -> (Vec<usize>, Option<f64>) {
        let cut = |num_clusters| {
            let clusters = dendrogram.cut(num_clusters);
            let silhouette = silhouette(distances, &clusters);
            (clusters, silhouette)
        };
        if let Some(num_clusters) = self.options.clusters {
            return cut(num_clusters);
        }
        // Of equal ones the fewest.
        let worth = |(_, silhouette): &(Vec<usize>, Option<f64>)| silhouette.unwrap_or(-1.0);
        let candidates = (2..=MAX_AUTO_CLUSTERS).map(cut);
        let best = candidates.reduce(|best, next| match worth(&next) > worth(&best) {
            true => next,
            false => best,
        });
        match best {
            Some((clusters, Some(silhouette))) => (clusters, Some(silhouette)),
            _ => cut(1),
        }
    }
}

#[cfg(test)]
mod tests;
