//! Studies of a run: what is worked out of several queries.
//!
//! It knows which questions a study takes, what is made of their answers, and how structures are kept
//! in the run. It knows nothing of how a query is planned or read, and nothing of pictures.
//!
//! [`find_structures`] finds sets of neurons that go with a class, and [`keep_structures`] keeps them in
//! the run; [`named_structure`] is one that somebody names. An [`Embedder`] places neurons in two or
//! three dimensions and in clusters, [`phases`] finds the phases of a training, [`compare`] sets two runs
//! side by side, [`meta_model`] learns from the neurons whether the network is right.

mod compare;
mod embed;
mod layer_values;
mod meta;
mod phases;
mod structures;

pub use compare::{Comparison, compare};
pub use embed::{
    DEFAULT_PERPLEXITY, EmbedOptions, Embedder, Embedding, EmbeddingMethod, EmbeddingRows,
    MAX_AUTO_CLUSTERS, MAX_POINTS, NO_STRUCTURE, NOT_TRUSTED,
};
pub use layer_values::{Epochs, ValuesOf};
pub use meta::{MetaModel, MetaOptions, meta_model};
pub use phases::{LayerPhases, MAX_AUTO_PHASES, phase_rows, phases};
pub use structures::{
    FindOptions, FoundBy, LabelOptions, Structure, StructureError, StructureNeuron, StructurePower,
    find_structures, keep_structures, label_structure, list_structures, named_structure,
    remove_structures, require_structure, structure_names, structure_power, structure_rows,
};
