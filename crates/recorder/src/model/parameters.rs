//! Weights and biases on the host, in a trace's layout.

use burn::tensor::TensorData;
use capture::{HostRng, LayerParameters, Purpose, transpose};

use super::config::{ModelError, NetworkConfig};

/// Weights and biases of a whole network, layer by layer.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkParameters {
    /// The layers, in the topology's order.
    pub layers: Vec<LayerParameters>,
}

impl NetworkParameters {
    /// Draws what a network starts from: uniform within ±1/√fan_in, weights and biases alike, as
    /// PyTorch's and Burn's linear layers and convolutions do by default. It depends on the seed
    /// alone.
    pub fn initial(config: &NetworkConfig, seed: u64) -> Self {
        let mut rng = HostRng::for_run(seed, Purpose::InitialWeights);
        let layers = config
            .sizes()
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

    /// Weight and bias of every layer as Burn has them, in the topology's order.
    ///
    /// # Errors
    /// If `config` describes no network, or the parameters are not of its shape.
    pub(crate) fn tensors(
        &self,
        config: &NetworkConfig,
    ) -> Result<Vec<[TensorData; 2]>, ModelError> {
        let topology = config.topology()?;
        let expected = topology.layers();
        if expected.len() != self.layers.len() {
            return Err(ModelError::NumLayers {
                expected: expected.len(),
                found: self.layers.len(),
            });
        }
        let layers = expected.iter().zip(&self.layers);
        let tensors = layers.map(|(layer, LayerParameters { weights, bias })| {
            let (num_units, fan_in) = (layer.num_units as usize, layer.fan_in as usize);
            for (what, expected, found) in [
                ("weights", num_units * fan_in, weights.len()),
                ("biases", num_units, bias.len()),
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
            let weight = match layer.shape[..] {
                [_, _] => {
                    TensorData::new(transpose(weights, num_units, fan_in), [fan_in, num_units])
                }
                _ => {
                    let shape = layer.shape.iter().map(|&size| size as usize);
                    TensorData::new(weights.clone(), shape.collect::<Vec<_>>())
                }
            };
            Ok([weight, TensorData::new(bias.clone(), [num_units])])
        });
        tensors.collect()
    }
}
