//! Mathematics on slices: plain functions of numbers, in `f64`.
//!
//! It knows numbers by their places, and nothing of tables, files, runs or SQL: whoever asks says
//! what a place stands for.
//!
//! [`Scorer`] says how strongly a neuron's activations go with the classes that a network predicts,
//! [`NullMaxima`] which of such scores chance explains, [`Bootstrap`] whether other samples would
//! have had other neurons first, [`joint_power`] what a group of neurons tells together, and
//! [`meta_model`] what all of them tell of whether the network is right. [`Standardized`] finds the
//! pairs of series that go together, [`Chains`] the strongest ways through a network,
//! [`HiddenMarkov`] the phases of a series. [`Dendrogram`], [`principal_components`] and [`Tsne`]
//! show which of many points are alike, [`linear_cka`] how alike two networks are.
//!
//! What is random comes from a [`KeyedRng`], whose numbers are the same everywhere. A [`Half`] of the
//! samples is one that neurons are chosen on, so that they can be judged on the other.

mod association;
mod bootstrap;
mod clusters;
mod correlation;
mod distances;
mod eigen;
mod embedding;
mod halves;
mod kernels;
mod markov;
mod meta;
mod paths;
mod permutation;
mod probe;
mod random;
mod rows;
mod similarity;
mod spread;

pub use association::{Measure, Membership, NUM_BINS, Scorer, Scores};
pub use bootstrap::Bootstrap;
pub use clusters::{Dendrogram, Linkage, Merge, silhouette};
pub use correlation::{Pair, Standardized, num_pairs};
pub use distances::Distances;
pub use embedding::{
    Start, Tsne, divergence, largest_perplexity, principal_components, trustworthiness,
};
pub use halves::{Half, ParseHalfError};
pub use kernels::{dot, is_constant, sum_over};
pub use markov::{Decoded, HiddenMarkov};
pub use meta::{
    HeldOutAuc, MetaModel, MetaModelError, MetaModelParts, NeuronImportance, held_out_auc,
    meta_model, meta_model_bytes,
};
pub use paths::{Chain, Chains, End, Origin, Origins};
pub use permutation::{Candidates, NullMaxima, PValues};
pub use probe::{INVERSE_PENALTY, JointPower, NUM_FOLDS, joint_power, joint_power_bytes, majority};
pub use random::KeyedRng;
pub use rows::Rows;
pub use similarity::{linear_cka, relative_distance};
pub use spread::spread;
