//! A network's layers, from the module itself.

mod describe;
mod error;
mod given;
mod handles;
mod kinds;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::backend::Backend;
use capture::{NetworkLayers, UnitRows};
use trace::{Layer, Topology};

use super::handle::UnitAxis;

pub use error::{ModuleError, OtherModuleError};
pub(super) use handles::{LayerHandles, LayerTensors, Lookup};

/// The layers of a network, and where in a visit of its module their tensors come.
///
/// Tensors are told apart by the order in which a visit comes to them: ids change when a record is
/// loaded, the order does not.
#[derive(Debug, Clone)]
pub(crate) struct ModuleLayers {
    network: Arc<NetworkLayers>,
    /// By visited tensor; none for one that was visited before, as shared ones are.
    places: Vec<Option<Place>>,
    /// The name of the backend that the first tensor is on, as `cuda`.
    device: String,
}

/// What a tensor is to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    layer: usize,
    is_bias: bool,
}

impl ModuleLayers {
    /// Describes a module without looking at a value of it: Burn draws parameters at their first
    /// use, and a draw here would change what training draws (ARCHITECTURE.md, invariant 1).
    ///
    /// A layer a weight tensor, a 1-D `bias` (or `beta`) of the same module folded in. Its label is
    /// the module's path, unless `labels` has another for that path.
    ///
    /// Which parameters are frozen is known of a module on an autodiff backend alone; of another,
    /// all are taken to be trained.
    pub(crate) fn of<B: Backend, M: Module<B>>(
        module: &M,
        is_autodiff: bool,
        labels: &HashMap<String, String>,
    ) -> Result<Self, ModuleError> {
        describe::layers(module, is_autodiff, labels)
    }

    /// The name of the backend, as `cuda`.
    pub(super) fn device(&self) -> &str {
        &self.device
    }

    /// The layers, as a recording needs them.
    pub(super) fn network(&self) -> &Arc<NetworkLayers> {
        &self.network
    }

    pub(crate) fn topology(&self) -> &Topology {
        self.network.topology()
    }

    /// The layer as its activations have it; none if those cannot be numbered.
    pub(super) fn activated(&self, layer: usize) -> Option<Cow<'_, Layer>> {
        self.network.activated(layer)
    }

    /// How a layer's weight becomes rows.
    pub(super) fn rows(&self, layer: usize) -> &UnitRows {
        self.network.rows(layer)
    }

    /// Along which axis of its activations a layer's units lie.
    pub(super) fn unit_axis(&self, layer: usize) -> UnitAxis {
        kinds::unit_axis(&self.topology().layers()[layer].kind)
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
