//! The built-in networks: convolutions, where there are any, then linear layers, with a
//! non-linearity between them.

mod config;
mod image;
mod parameters;

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, PaddingConfig2d};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::backend::{Backend, ExecutionError};
use burn::tensor::module::max_pool2d;
use burn::tensor::{Tensor, TensorData};

use capture::transpose;
pub use capture::{LayerParameters, Loss};
pub use config::{Activation, Convolutions, ModelError, NetworkConfig};
pub use image::{ImageShape, ParseImageShapeError};
pub use parameters::NetworkParameters;

use crate::read_back::to_vec;

/// Rows and columns of a convolution's kernel; as many positions are added around an image as it
/// takes for the result to be as large.
const KERNEL: usize = 3;

/// What rows and columns of a convolution's result are divided by: of so many each the largest
/// value goes on.
const POOL: usize = 2;

/// A multi-layer perceptron, or a small convolutional network.
///
/// Its parameters come from the host, see [`Network::from_parameters`]: the same seed makes the same
/// network on every device, and a recorded network is rebuilt the same way.
#[derive(Module, Debug)]
pub struct Network<B: Backend> {
    convolutions: Vec<Conv2d<B>>,
    layers: Vec<Linear<B>>,
    #[module(skip)]
    activation: Activation,
    /// What the inputs are to the first convolution, if there is one.
    #[module(skip)]
    image: Option<ImageShape>,
}

/// What a layer made of a batch of samples, after its non-linearity: a handle, still on the device.
#[derive(Debug, Clone)]
pub enum LayerOutput<B: Backend> {
    /// A convolution's `[num_samples, num_units, height, width]`.
    Image(Tensor<B, 4>),
    /// A linear layer's `[num_samples, num_units]`.
    Flat(Tensor<B, 2>),
}

impl<B: Backend> LayerOutput<B> {
    /// What a linear layer gets of it, `[num_samples, fan_in]`.
    fn into_flat(self) -> Tensor<B, 2> {
        match self {
            Self::Image(image) => pool(image).flatten(1, 3),
            Self::Flat(x) => x,
        }
    }
}

impl<B: Backend> Network<B> {
    /// Builds the network that `config` describes with the given weights and biases.
    ///
    /// # Errors
    /// If `config` describes no network, or the parameters are not of its shape.
    pub fn from_parameters(
        config: &NetworkConfig,
        parameters: &NetworkParameters,
        device: &B::Device,
    ) -> Result<Self, ModelError> {
        let mut tensors = parameters.tensors(config)?;
        let linear = tensors.split_off(config.num_convolutions());
        let channels = config.convolution_shapes();
        let convolutions = channels.zip(tensors);
        Ok(Self {
            convolutions: convolutions
                .map(|(channels, tensors)| convolution(channels, tensors, device))
                .collect(),
            layers: linear
                .into_iter()
                .map(|[weight, bias]| Linear {
                    weight: Param::from_data(weight, device),
                    bias: Some(Param::from_data(bias, device)),
                })
                .collect(),
            activation: config.activation,
            image: config.convolutions.as_ref().map(|c| c.image),
        })
    }

    /// The logits `[num_samples, num_outputs]` of inputs `[num_samples, num_inputs]`.
    pub fn forward(&self, inputs: Tensor<B, 2>) -> Tensor<B, 2> {
        self.forward_with(inputs, |_, _| ())
    }

    /// What every layer makes of inputs `[num_samples, num_inputs]`, in the topology's order, and
    /// the logits `[num_samples, num_outputs]`, which are what the last layer makes.
    ///
    /// The operations are those of [`Network::forward`], so the logits are the same bit for bit.
    pub fn forward_traced(&self, inputs: Tensor<B, 2>) -> (Vec<LayerOutput<B>>, Tensor<B, 2>) {
        let mut outputs = Vec::with_capacity(self.convolutions.len() + self.layers.len());
        let logits = self.forward_with(inputs, |_, output| outputs.push(output));
        (outputs, logits)
    }

    /// As [`Network::forward`], and shows what every layer makes of the inputs as soon as it does, by
    /// its place in the topology.
    pub(crate) fn forward_with(
        &self,
        inputs: Tensor<B, 2>,
        mut see: impl FnMut(usize, LayerOutput<B>),
    ) -> Tensor<B, 2> {
        let mut x = LayerOutput::Flat(inputs);
        for index in 0..self.num_layers() {
            x = self.layer(index, x);
            see(index, x.clone());
        }
        x.into_flat()
    }

    /// Number of layers.
    pub(crate) fn num_layers(&self) -> usize {
        self.convolutions.len() + self.layers.len()
    }

    /// What a layer makes of what the one before it makes: of the inputs `[num_samples, num_inputs]`
    /// if it is the first.
    pub(crate) fn layer(&self, index: usize, before: LayerOutput<B>) -> LayerOutput<B> {
        if let Some(convolution) = self.convolutions.get(index) {
            let image = match (before, self.image) {
                (LayerOutput::Image(image), _) => pool(image),
                (LayerOutput::Flat(inputs), Some(shape)) => inputs.reshape(shape.of_batch()),
                (LayerOutput::Flat(_), None) => {
                    unreachable!("a network with convolutions has an image")
                }
            };
            return LayerOutput::Image(self.activate(convolution.forward(image)));
        }
        let linear = index - self.convolutions.len();
        let x = self.layers[linear].forward(before.into_flat());
        LayerOutput::Flat(match linear + 1 < self.layers.len() {
            true => self.activate(x),
            false => x,
        })
    }

    fn activate<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        match self.activation {
            Activation::Relu => relu(x),
            Activation::Sigmoid => sigmoid(x),
        }
    }

    /// Reads all parameters from the device, and waits for it.
    ///
    /// # Errors
    /// If the device fails.
    pub fn read_parameters(&self) -> Result<NetworkParameters, ExecutionError> {
        let convolutions = self.convolutions.iter().map(|layer| {
            Ok(LayerParameters {
                weights: to_vec(layer.weight.val())?,
                bias: read_bias(&layer.bias)?,
            })
        });
        let layers = self.layers.iter().map(|layer| {
            let [fan_in, num_units] = layer.weight.dims();
            Ok(LayerParameters {
                weights: transpose(&to_vec(layer.weight.val())?, fan_in, num_units),
                bias: read_bias(&layer.bias)?,
            })
        });
        Ok(NetworkParameters {
            layers: convolutions.chain(layers).collect::<Result<_, _>>()?,
        })
    }
}

fn convolution<B: Backend>(
    channels: [usize; 2],
    [weight, bias]: [TensorData; 2],
    device: &B::Device,
) -> Conv2d<B> {
    let side = KERNEL / 2;
    Conv2d {
        weight: Param::from_data(weight, device),
        bias: Some(Param::from_data(bias, device)),
        // Its parameters aside, which Burn draws only where they are looked at.
        ..Conv2dConfig::new(channels, [KERNEL; 2])
            .with_padding(PaddingConfig2d::Explicit(side, side, side, side))
            .init(device)
    }
}

fn pool<B: Backend>(image: Tensor<B, 4>) -> Tensor<B, 4> {
    let [_, _, height, width] = image.dims();
    let window = [POOL.min(height), POOL.min(width)];
    max_pool2d(image, window, window, [0, 0], [1, 1], false)
}

fn read_bias<B: Backend>(bias: &Option<Param<Tensor<B, 1>>>) -> Result<Vec<f32>, ExecutionError> {
    let bias = bias.as_ref();
    to_vec(bias.expect("every layer is built with a bias").val())
}

#[cfg(test)]
mod tests;
