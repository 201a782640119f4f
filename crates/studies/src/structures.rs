//! Structures: named sets of neurons that go with an output, kept in the run.
//!
//! They are found by the named query `structure_onset`, and are rows of the derived table
//! `structures` from then on: SQL, other engines and `recorder ablate` know them by name. Others are
//! neurons that somebody names.

mod by_hand;
mod column;
mod error;
mod find;
mod keep;
mod power;
mod stored;

use analysis::{Half, Measure};
use trace::CaptureId;

pub use by_hand::{LabelOptions, named_structure};
pub use error::StructureError;
pub use find::{FindOptions, find_structures};
pub use keep::{keep_structures, label_structure, remove_structures};
pub use power::{StructurePower, structure_power};
pub use stored::{list_structures, require_structure, structure_names, structure_rows};

/// A named set of neurons.
#[derive(Debug, Clone, PartialEq)]
pub struct Structure {
    /// Its name.
    pub name: String,
    /// The class whose prediction the neurons go with; none where that was not said.
    pub class: Option<i32>,
    /// The capture that they were found at, or the last of those that they were named for.
    pub capture: CaptureId,
    /// Its neurons, the strongest first.
    pub neurons: Vec<StructureNeuron>,
    /// How they were found; none where somebody named them.
    pub found: Option<FoundBy>,
}

/// How the neurons of a structure were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundBy {
    /// What `score` is.
    pub measure: Measure,
    /// The samples that they were found on.
    pub half: Half,
    /// Of the half.
    pub seed: i64,
}

/// A neuron of a structure.
#[derive(Debug, Clone, PartialEq)]
pub struct StructureNeuron {
    /// Its layer.
    pub layer: String,
    /// Its id across the network.
    pub neuron: i32,
    /// The first epoch for which it belongs to the structure: from when on it went with the class.
    pub first_epoch: i32,
    /// The last one: the epoch at which it was found.
    pub last_epoch: i32,
    /// How strongly it goes with the class; none where that was not measured.
    pub score: Option<f64>,
    /// How likely chance takes any neuron that far; none where that was not worked out.
    pub p_value: Option<f64>,
}
