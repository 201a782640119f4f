//! What is worked out of a capture's values: plain functions of numbers, in `f64`; no tables, no files,
//! no SQL.
//!
//! [`Scorer`] says how strongly a neuron's activations go with the classes that a network predicts,
//! [`NullMaxima`] which of such scores chance explains, [`Bootstrap`] whether other samples would
//! have had other neurons first, [`joint_power`] what a group of neurons tells together, and
//! [`meta_model`] what all of them tell of whether the network is right.

mod association;
mod bootstrap;
pub(crate) mod clusters;
pub(crate) mod correlation;
pub(crate) mod distances;
pub(crate) mod eigen;
pub(crate) mod embedding;
pub(crate) mod markov;
mod meta;
pub(crate) mod paths;
mod permutation;
mod probe;
pub(crate) mod rows;
pub(crate) mod similarity;
pub(crate) mod spread;

pub use association::{Measure, Membership, NUM_BINS, Scorer, Scores};
pub use bootstrap::Bootstrap;
pub use meta::{
    HeldOutAuc, MetaModel, MetaModelError, MetaModelParts, NeuronImportance, held_out_auc,
    meta_model, meta_model_bytes,
};
pub use permutation::{Candidates, NullMaxima, PValues};
pub use probe::{INVERSE_PENALTY, JointPower, NUM_FOLDS, joint_power, joint_power_bytes, majority};
