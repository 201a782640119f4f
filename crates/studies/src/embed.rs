//! Neurons as points in a picture, and in clusters.

use std::collections::HashMap;
use std::sync::Arc;

use analysis::{
    Dendrogram, Distances, Linkage, Merge, Rows, Start, Tsne, divergence, largest_perplexity,
    principal_components, silhouette, spread, trustworthiness,
};
use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::memory_pool::MemoryReservation;
use sql::{NotFinite, QueryError, QuerySession};

use crate::layer_values::{Epochs, LayerValues, ValuesOf, layer_values};

/// The most neurons of a picture: what is held grows with their square.
pub const MAX_POINTS: usize = 5_000;

/// The most clusters that are made unless told how many.
pub const MAX_AUTO_CLUSTERS: usize = 10;

/// The perplexity unless told otherwise, where there are enough neurons for it.
pub const DEFAULT_PERPLEXITY: f64 = 30.0;

/// Up to here a silhouette says that there is no substantial structure (Kaufman and Rousseeuw,
/// "Finding groups in data", 1990).
pub const NO_STRUCTURE: f64 = 0.25;

/// Below that, a picture's neighbours are too often none in the data to go by.
pub const NOT_TRUSTED: f64 = 0.8;

/// How many neighbours trustworthiness looks at, where there are enough.
const TRUSTED_NEIGHBOURS: usize = 5;

/// How points are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbeddingMethod {
    /// t-distributed stochastic neighbour embedding.
    Tsne,
    /// Principal components.
    Pca,
}

impl EmbeddingMethod {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Tsne, Self::Pca];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tsne => "tsne",
            Self::Pca => "pca",
        }
    }
}

/// What is placed, and how.
#[derive(Debug, Clone)]
pub struct EmbedOptions {
    /// What the neurons are compared by.
    pub of: ValuesOf,
    /// How they are placed.
    pub method: EmbeddingMethod,
    /// 2 or 3.
    pub dimensions: usize,
    /// Of t-SNE: about how many neighbours a neuron has; [`DEFAULT_PERPLEXITY`], or as many as there
    /// can be, if not given.
    pub perplexity: Option<f64>,
    /// Of t-SNE: the same seed gives the same picture.
    pub seed: u64,
    /// Which epochs; each begins where the one before it ended.
    pub epochs: Epochs,
    /// The neurons of this layer alone; all but the network's outputs, which lie far from all else, if not
    /// given.
    pub layer: Option<String>,
    /// How clusters are merged.
    pub linkage: Linkage,
    /// How many there are; the number of 2 to [`MAX_AUTO_CLUSTERS`] with the largest silhouette if
    /// not given.
    pub clusters: Option<usize>,
    /// The most neurons that are placed, of which there are more evenly spread ones; all if not given.
    pub at_most: Option<usize>,
}

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
        match self.before.is_empty() {
            true => Err(QueryError::Mistake(format!(
                "no {} of single neurons were recorded there",
                of.name()
            ))),
            false => Ok(None),
        }
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

/// Components with the signs that put them nearer to where they were.
fn with_signs_of(components: &Rows, before: &Rows) -> Rows {
    let num_columns = components.num_columns();
    let mut values = components.values().to_vec();
    for column in 0..num_columns {
        let places = |rows: &Rows, point: usize| rows.row(point)[column];
        let along: f64 = (0..components.len())
            .map(|point| places(components, point) * places(before, point))
            .sum();
        if along < 0.0 {
            let column = values.iter_mut().skip(column).step_by(num_columns);
            column.for_each(|value| *value = -*value);
        }
    }
    Rows::new(components.len(), num_columns, values)
}

/// How much of the points' variance each of some components has; none where points do not vary.
fn variance_shares(points: &Rows, components: &Rows) -> Option<Vec<f64>> {
    let squares = |rows: &Rows| -> Vec<f64> {
        let mut columns = rows.transposed();
        columns.center_rows();
        let of = |column: usize| columns.row(column).iter().map(|x| x * x).sum();
        (0..columns.len()).map(of).collect()
    };
    let total: f64 = squares(points).iter().sum();
    let shares = squares(components).into_iter().map(|part| part / total);
    (total > 0.0).then(|| shares.collect())
}

/// Neurons whose values are all finite.
#[derive(Debug)]
struct Points {
    neurons: Vec<i32>,
    layers: Vec<String>,
    rows: Rows,
    num_left_out: usize,
    num_passed_over: usize,
}

impl Points {
    fn try_new(layers: Vec<LayerValues>, of: ValuesOf) -> Result<Self, QueryError> {
        let lengths = || layers.iter().map(|layer| layer.rows.num_columns());
        if lengths().min() != lengths().max() {
            let layers: Vec<&str> = layers.iter().map(|layer| layer.layer.as_str()).collect();
            return Err(QueryError::Mistake(format!(
                "layers whose neurons have different numbers of {} are not drawn together: choose \
                 a layer ({})",
                of.name(),
                layers.join(", ")
            )));
        }
        let num_columns = lengths().max().unwrap_or(0);
        let mut points = Self {
            neurons: Vec::new(),
            layers: Vec::new(),
            rows: Rows::default(),
            num_left_out: 0,
            num_passed_over: 0,
        };
        let mut values = Vec::new();
        for layer in &layers {
            for (place, neuron) in layer.neurons.iter().enumerate() {
                let row = layer.rows.row(place);
                if row.iter().any(|value| !value.is_finite()) {
                    points.num_left_out += 1;
                    continue;
                }
                points.neurons.push(*neuron);
                points.layers.push(layer.layer.clone());
                values.extend_from_slice(row);
            }
        }
        points.rows = Rows::new(points.neurons.len(), num_columns, values);
        Ok(points)
    }

    /// At most how many bytes it takes to place the points, and to put them into clusters.
    fn num_bytes_of_placing(&self) -> usize {
        let (num_points, num_columns) = (self.neurons.len(), self.rows.num_columns());
        // Distances, and those that are merged; probabilities of all pairs, or of the nearest.
        let of_pairs = num_points.saturating_mul(num_points).saturating_mul(4);
        // Components: the values and their columns, twice, and squares of the smaller side.
        let of_values = self.rows.values().len().saturating_mul(4);
        let side = num_points.min(num_columns);
        let of_sides = side.saturating_mul(side).saturating_mul(4);
        let num_values = of_pairs.saturating_add(of_values).saturating_add(of_sides);
        num_values.saturating_mul(size_of::<f64>())
    }

    /// Keeps so many of them, evenly spread, so that each layer has its share.
    fn keep(&mut self, at_most: usize) {
        let all: Vec<usize> = (0..self.neurons.len()).collect();
        let kept = spread(&all, at_most);
        self.num_passed_over = all.len() - kept.len();
        self.neurons = kept.iter().map(|&place| self.neurons[place]).collect();
        self.layers = kept
            .iter()
            .map(|&place| self.layers[place].clone())
            .collect();
        let rows = kept.iter().flat_map(|&place| self.rows.row(place));
        let values = rows.copied().collect();
        self.rows = Rows::new(kept.len(), self.rows.num_columns(), values);
    }
}

impl Embedding {
    /// The columns of [`rows`](Self::rows): `epoch`, `layer`, `neuron`, `x`, `y`, in three dimensions
    /// `z`, `cluster`, `leaf`.
    pub fn schema(dimensions: usize) -> SchemaRef {
        let field = |name: &str, data_type| Field::new(name, data_type, false);
        let mut fields = vec![
            field("epoch", DataType::Int32),
            field("layer", DataType::Utf8),
            field("neuron", DataType::Int32),
        ];
        let axes = ["x", "y", "z"].into_iter().take(dimensions);
        fields.extend(axes.map(|axis| field(axis, DataType::Float64)));
        fields.extend([
            field("cluster", DataType::Int32),
            field("leaf", DataType::Int32),
        ]);
        Arc::new(Schema::new(fields))
    }

    /// A row a neuron.
    ///
    /// # Errors
    /// None that can be met: columns are of one length.
    pub fn rows(&self, dimensions: usize) -> Result<RecordBatch, QueryError> {
        let ints = |values: &[usize]| -> ArrayRef {
            Arc::new(Int32Array::from_iter_values(
                values.iter().map(|v| *v as i32),
            ))
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![self.epoch; self.neurons.len()])),
            Arc::new(StringArray::from_iter_values(&self.layers)),
            Arc::new(Int32Array::from(self.neurons.clone())),
        ];
        for axis in 0..dimensions {
            let along = self.points.iter().map(|point| point[axis]);
            columns.push(Arc::new(Float64Array::from_iter_values(along)));
        }
        columns.extend([ints(&self.clusters), ints(&self.leaves)]);
        Ok(RecordBatch::try_new(Self::schema(dimensions), columns)?)
    }

    /// The columns of [`merge_rows`](Self::merge_rows): `epoch`, `merge`, `first`, `second`, `distance`,
    /// `size`, as SciPy's linkage matrix has the last four.
    pub fn merge_schema() -> SchemaRef {
        let field = |name: &str, data_type| Field::new(name, data_type, false);
        Arc::new(Schema::new(vec![
            field("epoch", DataType::Int32),
            field("merge", DataType::Int32),
            field("first", DataType::Int32),
            field("second", DataType::Int32),
            field("distance", DataType::Float64),
            field("size", DataType::Int32),
        ]))
    }

    /// A row a merge of the dendrogram, the nearest first.
    ///
    /// # Errors
    /// None that can be met: columns are of one length.
    pub fn merge_rows(&self) -> Result<RecordBatch, QueryError> {
        let ints = |of: fn(&Merge) -> usize| -> ArrayRef {
            let values = self.merges.iter().map(|merge| of(merge) as i32);
            Arc::new(Int32Array::from_iter_values(values))
        };
        let distances = self.merges.iter().map(|merge| merge.distance);
        let num_merges = self.merges.len();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![self.epoch; num_merges])),
            Arc::new(Int32Array::from_iter_values(0..num_merges as i32)),
            ints(|merge| merge.first),
            ints(|merge| merge.second),
            Arc::new(Float64Array::from_iter_values(distances)),
            ints(|merge| merge.size),
        ];
        Ok(RecordBatch::try_new(Self::merge_schema(), columns)?)
    }

    /// What the picture is worth, in a line.
    pub fn verdict(&self) -> String {
        let mut findings = self.findings(|value| value.to_string());
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

#[cfg(test)]
mod tests;
