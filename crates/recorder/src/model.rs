//! The built-in network: linear layers with a non-linearity between them.

mod config;
mod parameters;

use burn::module::{Module, Param, ParamId};
use burn::nn::Linear;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::backend::{Backend, ExecutionError};
use burn::tensor::{Tensor, TensorData};

pub use config::{Activation, Loss, MlpConfig, ModelError};
use parameters::to_columns;
pub use parameters::{LayerParameters, MlpParameters, to_rows};

use crate::read_back::to_vec;

/// A multi-layer perceptron.
///
/// Its parameters come from the host, see [`Mlp::from_parameters`]: the same seed makes the same
/// network on every device, and a recorded network is rebuilt the same way.
#[derive(Module, Debug)]
pub struct Mlp<B: Backend> {
    layers: Vec<Linear<B>>,
    #[module(skip)]
    activation: Activation,
}

/// Handles of a linear layer's parameters on the device.
///
/// Tensors are copy-on-write: the handles stay what they were when they were taken, whatever the
/// optimizer does to the network afterwards.
#[derive(Debug, Clone)]
pub struct LayerTensors<B: Backend> {
    /// Burn's layout, `[fan_in, num_units]`; [`to_rows`] makes it a trace's.
    pub weight: Tensor<B, 2>,
    /// `[num_units]`.
    pub bias: Tensor<B, 1>,
}

impl<B: Backend> Mlp<B> {
    /// Builds the network that `config` describes with the given weights and biases.
    ///
    /// # Errors
    /// If `config` describes no network, or the parameters are not of its shape.
    pub fn from_parameters(
        config: &MlpConfig,
        parameters: &MlpParameters,
        device: &B::Device,
    ) -> Result<Self, ModelError> {
        parameters.check(config)?;
        let layers = parameters
            .layers
            .iter()
            .map(|layer| {
                let num_units = layer.bias.len();
                let fan_in = layer.weights.len() / num_units;
                let weight = to_columns(&layer.weights, num_units, fan_in);
                let weight = TensorData::new(weight, [fan_in, num_units]);
                let bias = TensorData::new(layer.bias.clone(), [num_units]);
                Linear {
                    weight: Param::from_data(weight, device),
                    bias: Some(Param::from_data(bias, device)),
                }
            })
            .collect();
        Ok(Self {
            layers,
            activation: config.activation,
        })
    }

    /// The logits `[num_samples, num_outputs]` of inputs `[num_samples, num_inputs]`.
    pub fn forward(&self, input: Tensor<B, 2>) -> Tensor<B, 2> {
        (0..self.layers.len()).fold(input, |x, index| self.activations(index, x))
    }

    /// What every layer makes of inputs `[num_samples, num_inputs]`: `[num_samples, num_units]`
    /// each, after the non-linearity; the last are the logits.
    ///
    /// The operations are those of [`Mlp::forward`], so the logits are the same bit for bit.
    pub fn forward_traced(&self, input: Tensor<B, 2>) -> Vec<Tensor<B, 2>> {
        let mut x = input;
        (0..self.layers.len())
            .map(|index| {
                x = self.activations(index, x.clone());
                x.clone()
            })
            .collect()
    }

    fn activations(&self, index: usize, input: Tensor<B, 2>) -> Tensor<B, 2> {
        let x = self.layers[index].forward(input);
        if index + 1 == self.layers.len() {
            return x;
        }
        match self.activation {
            Activation::Relu => relu(x),
            Activation::Sigmoid => sigmoid(x),
        }
    }

    /// Handles of every layer's parameters, in the topology's order. Nothing is copied or read.
    pub fn layer_tensors(&self) -> Vec<LayerTensors<B>> {
        self.layers
            .iter()
            .map(|layer| LayerTensors {
                weight: layer.weight.val(),
                bias: layer
                    .bias
                    .as_ref()
                    .expect("every layer is built with a bias")
                    .val(),
            })
            .collect()
    }

    /// The ids of every layer's weight and bias, in the topology's order.
    pub(crate) fn layer_ids(&self) -> Vec<(ParamId, ParamId)> {
        self.layers
            .iter()
            .map(|layer| {
                let bias = layer.bias.as_ref();
                let bias = bias.expect("every layer is built with a bias");
                (layer.weight.id, bias.id)
            })
            .collect()
    }

    /// Reads all parameters from the device, and waits for it.
    ///
    /// # Errors
    /// If the device fails.
    pub fn read_parameters(&self) -> Result<MlpParameters, ExecutionError> {
        let layers = self
            .layer_tensors()
            .into_iter()
            .map(|LayerTensors { weight, bias }| {
                let [fan_in, num_units] = weight.dims();
                Ok(LayerParameters {
                    weights: to_rows(&to_vec(weight)?, fan_in, num_units),
                    bias: to_vec(bias)?,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(MlpParameters { layers })
    }
}

#[cfg(test)]
mod tests;
