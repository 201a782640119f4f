//! Why a module cannot be described, or is not the one that was.

use capture::RecordError;
use trace::{LayerLabelError, TopologyError};

/// Why a module has no topology.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// There is nothing to record.
    #[error("the network has no float parameters")]
    NoParameters,
    /// A parameter's path is no label.
    #[error("{path} needs a label of its own: give it one by `label`")]
    Label {
        /// The module's path.
        path: String,
        /// Why the path is none.
        source: LayerLabelError,
    },
    /// Labels do not tell the layers apart.
    #[error("{0}: give one a label of its own by `label`")]
    Labels(TopologyError),
    /// A label was given to a module that is not there.
    #[error("there is no module {path:?} to label: there are {}", modules.join(", "))]
    NoSuchModule {
        /// The path that was given.
        path: String,
        /// The paths that there are.
        modules: Vec<String>,
    },
    /// Larger than a trace can describe.
    #[error(
        "{path} has {num_units} units with {fan_in} weights each, a trace can hold {} weights of a layer",
        i32::MAX
    )]
    TooLarge {
        /// The module's path.
        path: String,
        /// How many units it has.
        num_units: usize,
        /// How many weights each has.
        fan_in: usize,
    },
    /// The layers do not belong together.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// A topology that was given is another network's.
    #[error("the topology is not this network's: {0}")]
    OtherTopology(String),
}

/// A module whose parameters are not those that the recorder was started with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtherModuleError {
    /// A tensor has another shape.
    #[error("{what} had shape {expected:?} when the recorder was started, now it has {found:?}")]
    Shape {
        /// Which tensor.
        what: String,
        /// Its shape at the start.
        expected: Vec<usize>,
        /// Its shape now.
        found: Vec<usize>,
    },
    /// There are more tensors, or fewer.
    #[error(
        "the network had {expected} parameter tensors when the recorder was started, now it has {found}"
    )]
    NumTensors {
        /// How many at the start.
        expected: usize,
        /// How many now.
        found: usize,
    },
    /// A parameter has no values yet, and drawing them here would change what training draws.
    #[error(
        "{what} has no values yet: Burn draws them where the network is first used; capture it \
         after its first forward pass"
    )]
    Uninitialized {
        /// Which tensor.
        what: String,
    },
}

impl From<OtherModuleError> for RecordError {
    fn from(error: OtherModuleError) -> Self {
        Self::OtherModule(Box::new(error))
    }
}
