//! How people name neurons.

use std::fmt;
use std::str::FromStr;

use trace::{Layer, Topology};

use crate::further::further;

use crate::suggest::{closest, did_you_mean};

/// A neuron as people name it: by its number across the network, the one in the tables, as `17`, or
/// with the layer that it has to be of before it, as `L_hidden_1:17`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeuronName {
    /// The layer, where it is said.
    pub layer: Option<String>,
    /// Its id across the network.
    pub neuron: i32,
}

/// A text that names no neuron.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no neuron: give its number in the tables, as 17, or its layer as well, as L_hidden_1:17"
)]
pub struct ParseNeuronError(String);

/// Why a name is that of no neuron of a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownNeuronError {
    /// The network has not so many.
    #[error("there is no neuron {0}")]
    NoSuchNeuron(i32),
    /// There is no such layer.
    #[error("there is no layer {layer:?}{}", did_you_mean(closest.as_deref()))]
    NoSuchLayer {
        /// What was said.
        layer: String,
        /// The layer whose name comes closest.
        closest: Option<String>,
    },
    /// The layer that was said is another.
    #[error("neuron {neuron} is of layer {found}, not of {said}")]
    OfAnotherLayer {
        /// The neuron.
        neuron: i32,
        /// The layer that it is of.
        found: String,
        /// The one that was said.
        said: String,
    },
}

impl FromStr for NeuronName {
    type Err = ParseNeuronError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (layer, neuron) = match text.rsplit_once(':') {
            Some((layer, neuron)) => (Some(layer), neuron),
            None => (None, text),
        };
        let is_said = layer != Some("");
        match neuron.parse() {
            Ok(neuron) if is_said => Ok(Self {
                layer: layer.map(str::to_owned),
                neuron,
            }),
            _ => Err(ParseNeuronError(text.to_owned())),
        }
    }
}

impl fmt::Display for NeuronName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.layer {
            Some(layer) => write!(f, "{layer}:{}", self.neuron),
            None => self.neuron.fmt(f),
        }
    }
}

impl NeuronName {
    /// The layer that the neuron is a unit of.
    ///
    /// # Errors
    /// If the network has no such neuron, or it is of another layer than the name says.
    pub fn find<'a>(&self, topology: &'a Topology) -> Result<&'a Layer, UnknownNeuronError> {
        if let Some(said) = &self.layer
            && topology.layer(said).is_none()
        {
            let labels = topology.layers().iter().map(|layer| layer.layer.as_str());
            return Err(UnknownNeuronError::NoSuchLayer {
                layer: said.clone(),
                closest: closest(said, labels).map(str::to_owned),
            });
        }
        let found = topology.layer_of(self.neuron);
        let found = found.ok_or(UnknownNeuronError::NoSuchNeuron(self.neuron))?;
        match &self.layer {
            Some(said) if found.layer.as_str() != said => Err(UnknownNeuronError::OfAnotherLayer {
                neuron: self.neuron,
                found: found.layer.to_string(),
                said: said.clone(),
            }),
            _ => Ok(found),
        }
    }
}

/// The neurons of this many layers are told, of a network that has more.
const MAX_LAYERS: usize = 20;

/// The neurons before a network's outputs that say something when it runs, as people read it: `0 to 15 (L_input), 16 to
/// 23 (L_hidden_1)`; of an embedding its dimensions. None if there are none.
///
/// What else has rows in `weights`, and so a number, is left out: outputs, buffers, parameters that are no layer's
/// weight, as a bias of its own, and gates.
pub fn describe_hidden_neurons(topology: &Topology) -> Option<String> {
    let hidden = topology.hidden_layers();
    let hidden = hidden.filter(|layer| layer.has_activations());
    let hidden = hidden.filter_map(|layer| topology.activated(layer.layer_index as usize));
    let mut told: Vec<String> = hidden
        .map(|layer| {
            let neurons = layer.neurons();
            format!("{} to {} ({})", neurons.start, neurons.end - 1, layer.layer)
        })
        .collect();
    if let Some(more) = further(told.len(), MAX_LAYERS) {
        told.truncate(MAX_LAYERS);
        let layers = if more == 1 { "layer" } else { "layers" };
        told.push(format!("and those of {more} more {layers}"));
    }
    (!told.is_empty()).then(|| told.join(", "))
}

#[cfg(test)]
mod tests;
