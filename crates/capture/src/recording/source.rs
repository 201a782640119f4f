//! The seam towards frameworks: values that are still where they were computed.

use trace::Topology;

use crate::evaluation::{Classifications, Logits};
use crate::rows::SampleSet;

/// An error of whatever kind, as a framework has it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Values of one capture, or a part of a saved state, that are still where they were computed, as on a
/// device: what a recorder of a framework implements.
///
/// It is made on the thread that trains and read on the capture thread, part by part. What it stands for
/// is the network as it was when the source was made, whatever training does meanwhile.
pub trait Source: Send {
    /// What is left to read, in the order in which it is read: each becomes one part file, or several where a layer
    /// is large. Files of one layer and table are numbered in this order.
    fn parts(&self) -> Vec<UnreadPart>;

    /// Bytes of all values that are left to read, as 32-bit floats.
    fn most_bytes(&self) -> u64 {
        self.parts().iter().map(|part| part.num_bytes).sum()
    }

    /// Reads the next parts in one trip, as many as `room` has bytes of values for and at least one, waits
    /// until their values are on the host, and lets go of what held them; nothing where nothing is left.
    ///
    /// What rows take that are made of the values is not in `room`: it is left for them.
    ///
    /// # Errors
    /// If the device has failed: nothing that was trained since the last capture can be relied on.
    fn read(&mut self, room: u64) -> Result<Vec<Values>, BoxError>;

    /// Whether everything was read: nothing is held any more.
    fn is_empty(&self) -> bool;
}

/// What becomes a part file, or several of one layer, before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadPart {
    /// What it is of.
    pub of: PartOf,
    /// Bytes of its values, as 32-bit floats.
    pub num_bytes: u64,
}

/// What a part is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartOf {
    /// A tensor for each of a layer's parameters.
    Parameters {
        /// What the tensors are.
        kind: TensorKind,
        /// Index in the topology.
        layer: usize,
    },
    /// What samples made of a layer.
    Activations {
        /// Index in the topology.
        layer: usize,
    },
    /// What the network said of the held-out samples.
    Classifications,
}

impl UnreadPart {
    /// How many rows it has at most.
    pub(super) fn most_rows(&self, topology: &Topology) -> u64 {
        match self.of {
            PartOf::Parameters { layer, .. } => topology.layers()[layer].num_units.into(),
            PartOf::Activations { layer } => {
                let layer = topology.activated(layer);
                layer.map_or(0, |layer| layer.num_units.into())
            }
            // A sample has an output at least.
            PartOf::Classifications => self.num_bytes,
        }
    }

    /// Whether it is written: what is only compared is not.
    pub(super) fn is_written(&self) -> bool {
        let checked = TensorKind::Checked;
        !matches!(self.of, PartOf::Parameters { kind, .. } if kind == checked)
    }
}

/// What a layer's tensors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TensorKind {
    /// The parameters themselves.
    Weights,
    /// The parameters of a layer that is not recorded, to be compared with another rank's.
    Checked,
    /// Gradients of the loss by the parameters, as the backward pass made them.
    Gradients,
    /// The same as the optimizer used them.
    GradientsApplied,
    /// The optimizer's average of the gradients.
    Moment1,
    /// The optimizer's average of their squares.
    Moment2,
}

/// What becomes a part file, or several of one layer, on the host.
#[derive(Debug, PartialEq)]
pub enum Values {
    /// A tensor for each of a layer's parameters, in the framework's order.
    Parameters {
        /// What the tensors are.
        kind: TensorKind,
        /// Index in the topology.
        layer: usize,
        /// As the layer's [`UnitRows`](crate::UnitRows) has it.
        weight: Vec<f32>,
        /// One a unit, where there are any.
        bias: Option<Vec<f32>>,
    },
    /// What samples made of a layer's units.
    Activations {
        /// Index in the topology.
        layer: usize,
        /// Which samples.
        samples: SampleSet,
        /// Row-major `[num_samples, num_units]`.
        values: Vec<f32>,
    },
    /// What the network said of the held-out samples.
    Classifications(Classifications),
    /// The same, from which predictions and losses are still to be worked out.
    Logits(Logits),
}
