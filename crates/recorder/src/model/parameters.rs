//! Weights and biases on the host, in a trace's layout.

use crate::layout::transpose;
use crate::random::{HostRng, Purpose};

use super::config::{MlpConfig, ModelError};

/// Weights and biases of a linear layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerParameters {
    /// Row-major `[num_units, fan_in]`: a row is what one unit weighs its inputs with.
    pub weights: Vec<f32>,
    /// One value a unit.
    pub bias: Vec<f32>,
}

/// Weights and biases of a whole network, layer by layer.
#[derive(Debug, Clone, PartialEq)]
pub struct MlpParameters {
    /// The layers, in the topology's order.
    pub layers: Vec<LayerParameters>,
}

impl MlpParameters {
    /// Draws what a network starts from: uniform within ±1/√fan_in, weights and biases alike, as
    /// PyTorch's and Burn's linear layers do by default. It depends on the seed alone.
    pub fn initial(config: &MlpConfig, seed: u64) -> Self {
        let mut rng = HostRng::for_run(seed, Purpose::InitialWeights);
        let layers = config
            .shapes()
            .map(|(fan_in, num_units)| {
                let bound = 1.0 / (fan_in as f32).sqrt();
                let mut draw = |len: usize| (0..len).map(|_| rng.uniform_within(bound)).collect();
                LayerParameters {
                    weights: draw(num_units * fan_in),
                    bias: draw(num_units),
                }
            })
            .collect();
        Self { layers }
    }

    /// Checks that the parameters are those of a network that `config` describes.
    pub(super) fn check(&self, config: &MlpConfig) -> Result<(), ModelError> {
        let topology = config.topology()?;
        let expected = topology.layers();
        if expected.len() != self.layers.len() {
            return Err(ModelError::NumLayers {
                expected: expected.len(),
                found: self.layers.len(),
            });
        }
        for (layer, parameters) in expected.iter().zip(&self.layers) {
            let (num_units, fan_in) = (layer.num_units as usize, layer.fan_in as usize);
            for (what, expected, found) in [
                ("weights", num_units * fan_in, parameters.weights.len()),
                ("biases", num_units, parameters.bias.len()),
            ] {
                if expected != found {
                    return Err(ModelError::NumValues {
                        layer: layer.layer.clone(),
                        what,
                        expected,
                        found,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Turns a weight from Burn's `[fan_in, num_units]` into a trace's `[num_units, fan_in]`.
///
/// # Panics
/// If `weight` has not `fan_in * num_units` values.
pub fn to_rows(weight: &[f32], fan_in: usize, num_units: usize) -> Vec<f32> {
    transpose(weight, fan_in, num_units)
}

/// Turns a weight from a trace's `[num_units, fan_in]` into Burn's `[fan_in, num_units]`.
pub(super) fn to_columns(weights: &[f32], num_units: usize, fan_in: usize) -> Vec<f32> {
    transpose(weights, num_units, fan_in)
}
