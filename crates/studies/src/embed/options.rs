//! What is placed, and how.

use analysis::Linkage;

use crate::layer_values::{Epochs, ValuesOf};

/// The most clusters that are made unless told how many.
pub const MAX_AUTO_CLUSTERS: usize = 10;

/// The perplexity unless told otherwise, where there are enough neurons for it.
pub const DEFAULT_PERPLEXITY: f64 = 30.0;

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
