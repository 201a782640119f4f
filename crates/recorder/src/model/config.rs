//! What a network looks like, before it has weights.

use capture::Loss;
use serde::{Deserialize, Serialize};
use trace::{Layer, LayerLabel, Source, SourceRange, Topology, TopologyError};

use super::image::ImageShape;
use super::{KERNEL, POOL};

/// The non-linearity after every layer but the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(0, x)`.
    Relu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

impl Activation {
    /// The name in a topology.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
        }
    }
}

/// The shape of a [`Network`](super::Network).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkConfig {
    /// Number of inputs of a sample.
    pub num_inputs: usize,
    /// Number of units of each hidden layer.
    pub hidden: Vec<usize>,
    /// Number of logits.
    pub num_outputs: usize,
    /// The non-linearity of the hidden layers.
    pub activation: Activation,
    /// The loss that it is trained with.
    pub loss: Loss,
    /// What comes before the hidden layers; none in a multi-layer perceptron.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub convolutions: Option<Convolutions>,
}

/// The convolutions of a [`Network`](super::Network): kernels of 3×3 with a border that keeps an
/// image's size, each with the network's non-linearity, and after each the largest of every 2×2
/// positions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Convolutions {
    /// What the inputs of a sample are.
    pub image: ImageShape,
    /// Number of units of each convolution, which is the number of channels that it makes.
    pub channels: Vec<usize>,
}

/// Why there is no such network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The samples have no inputs.
    #[error("a network needs at least one input")]
    NoInputs,
    /// A convolutional network needs to know what its inputs are.
    #[error(
        "the data does not say what image the {num_inputs} inputs of a sample are, which \
         convolutions need: give its height and width (--image)"
    )]
    NoImage {
        /// Number of inputs of a sample.
        num_inputs: usize,
    },
    /// The inputs are not those of the image.
    #[error("an image of {image} does not have the {num_inputs} inputs of a sample")]
    OtherImage {
        /// What the inputs should be.
        image: ImageShape,
        /// Number of inputs of a sample.
        num_inputs: usize,
    },
    /// A layer is empty.
    #[error("layer {0} would have no units: give every one a size above 0")]
    NoUnits(LayerLabel),
    /// Larger than a trace can describe.
    #[error(
        "layer {layer} would have {size} units or inputs, a trace can number {}",
        i32::MAX
    )]
    TooLarge {
        /// The layer.
        layer: LayerLabel,
        /// The size that is too large.
        size: usize,
    },
    /// A capture keeps a layer's weights as one list array, whose offsets are 32-bit.
    #[error(
        "layer {layer} would have {num_units} units with {fan_in} weights each, a trace can hold \
         {} weights of a layer",
        i32::MAX
    )]
    TooManyWeights {
        /// The layer.
        layer: LayerLabel,
        /// How many units it would have.
        num_units: u32,
        /// How many weights each would have.
        fan_in: u32,
    },
    /// A binary network says one thing.
    #[error("binary cross-entropy needs a network with one output, this one has {0}")]
    NotBinary(usize),
    /// The sizes do not make a topology.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The parameters belong to a network with another number of layers.
    #[error("the network has {expected} layers, the parameters are those of {found}")]
    NumLayers {
        /// How many the network has.
        expected: usize,
        /// How many there are parameters for.
        found: usize,
    },
    /// The parameters of a layer are too many or too few.
    #[error("layer {layer} has {expected} {what}, there are values for {found}")]
    NumValues {
        /// The layer.
        layer: LayerLabel,
        /// `weights` or `biases`.
        what: &'static str,
        /// How many the layer has.
        expected: usize,
        /// How many there are.
        found: usize,
    },
}

/// A layer before it is a topology's.
struct Shape {
    label: String,
    module_path: String,
    kind: &'static str,
    num_units: usize,
    /// Behind the units' axis: what a unit's weights are, in PyTorch's layout.
    of_unit: Vec<usize>,
    /// How many weights in a row come from the same unit before.
    repeat: usize,
}

impl NetworkConfig {
    /// The layers as a trace describes them: the only place that says how the network is connected
    /// (ARCHITECTURE.md, invariant 10).
    ///
    /// Linear layers are called `L_input`, `L_hidden_1`, `L_hidden_2`, ... and `L_output`; a network
    /// without hidden layers is one `L_output`. Behind convolutions, which are called `L_conv_1`,
    /// `L_conv_2`, ..., hidden layers are `L_hidden_1` and so on.
    ///
    /// # Errors
    /// If a layer would be empty or larger than a trace can describe.
    pub fn topology(&self) -> Result<Topology, ModelError> {
        if self.num_inputs == 0 {
            return Err(ModelError::NoInputs);
        }
        if self.loss == Loss::BinaryCrossEntropy && self.num_outputs != 1 {
            return Err(ModelError::NotBinary(self.num_outputs));
        }
        if let Some(Convolutions { image, .. }) = self.convolutions
            && image.num_inputs() != Some(self.num_inputs)
        {
            return Err(ModelError::OtherImage {
                image,
                num_inputs: self.num_inputs,
            });
        }
        let mut layers: Vec<Layer> = Vec::new();
        let shapes = self.shapes();
        let last = shapes.len() - 1;
        for (index, shape) in shapes.into_iter().enumerate() {
            let label = LayerLabel::try_new(&shape.label);
            let label = label.expect("a short label that starts with a letter");
            if shape.num_units == 0 {
                return Err(ModelError::NoUnits(label));
            }
            let size = |size: usize| {
                i32::try_from(size)
                    .map(i32::cast_unsigned)
                    .map_err(|_| ModelError::TooLarge {
                        layer: label.clone(),
                        size,
                    })
            };
            let fan_in = shape.of_unit.iter().copied().fold(1, usize::saturating_mul);
            let (fan_in, num_units) = (size(fan_in)?, size(shape.num_units)?);
            if u64::from(fan_in) * u64::from(num_units) > i32::MAX as u64 {
                return Err(ModelError::TooManyWeights {
                    layer: label,
                    num_units,
                    fan_in,
                });
            }
            let (source, first_neuron) = match layers.last() {
                None => (Source::Input, 0),
                Some(previous) => (
                    Source::Layer(previous.layer.clone()),
                    previous
                        .first_neuron
                        .checked_add_unsigned(previous.num_units)
                        .ok_or(TopologyError::TooManyNeurons)?,
                ),
            };
            let repeat = shape.repeat as u32;
            let of_unit = shape.of_unit.iter().map(|&size| size as u64);
            layers.push(Layer {
                layer_index: index as u32,
                layer: label,
                module_path: shape.module_path,
                kind: shape.kind.to_owned(),
                shape: std::iter::once(num_units.into()).chain(of_unit).collect(),
                fan_in,
                num_units,
                first_neuron,
                activation: (index < last).then(|| self.activation.as_str().to_owned()),
                trainable: true,
                source: Some(vec![SourceRange {
                    repeat,
                    ..SourceRange::all(source, fan_in / repeat)
                }]),
                tensors: Vec::new(),
                recorded_units: None,
            });
        }
        Ok(Topology::try_new(layers)?)
    }

    /// How many of the layers are convolutions: the first ones.
    pub(super) fn num_convolutions(&self) -> usize {
        let convolutions = self.convolutions.as_ref();
        convolutions.map_or(0, |convolutions| convolutions.channels.len())
    }

    /// Channels before and after each convolution.
    pub(super) fn convolution_shapes(&self) -> impl Iterator<Item = [usize; 2]> + '_ {
        self.convolutions.iter().flat_map(|convolutions| {
            let Convolutions { image, channels } = convolutions;
            let before = std::iter::once(image.channels).chain(channels.iter().copied());
            before.zip(channels).map(|(before, &after)| [before, after])
        })
    }

    /// Fan-in and number of units of each linear layer.
    fn linear_shapes(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let (channels, positions) = self.flattened();
        let fan_ins =
            std::iter::once(channels.saturating_mul(positions)).chain(self.hidden.iter().copied());
        let units = self.hidden.iter().copied().chain([self.num_outputs]);
        fan_ins.zip(units)
    }

    /// Fan-in and number of units of each layer.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let convolutions = self.convolution_shapes();
        let convolutions = convolutions.map(|[before, after]| (before * KERNEL * KERNEL, after));
        convolutions.chain(self.linear_shapes())
    }

    /// What the first linear layer gets: units before it, and positions of each.
    fn flattened(&self) -> (usize, usize) {
        let Some(Convolutions { image, channels }) = &self.convolutions else {
            return (self.num_inputs, 1);
        };
        let pooled = |size: usize| channels.iter().fold(size, |size, _| (size / POOL).max(1));
        let last = channels.last().copied().unwrap_or(image.channels);
        (last, pooled(image.height) * pooled(image.width))
    }

    fn shapes(&self) -> Vec<Shape> {
        let convolutions = self.convolution_shapes().enumerate();
        let convolutions = convolutions.map(|(index, [before, after])| Shape {
            label: format!("L_conv_{}", index + 1),
            module_path: format!("convolutions.{index}"),
            kind: "conv2d",
            num_units: after,
            of_unit: vec![before, KERNEL, KERNEL],
            repeat: KERNEL * KERNEL,
        });
        let linear = self.linear_shapes().enumerate();
        let linear = linear.map(|(index, (fan_in, num_units))| Shape {
            label: self.linear_label(index),
            module_path: format!("layers.{index}"),
            kind: "linear",
            num_units,
            of_unit: vec![fan_in],
            repeat: if index == 0 { self.flattened().1 } else { 1 },
        });
        convolutions.chain(linear).collect()
    }

    fn linear_label(&self, index: usize) -> String {
        match (index, &self.convolutions) {
            _ if index == self.hidden.len() => "L_output".to_owned(),
            (0, None) => "L_input".to_owned(),
            (_, None) => format!("L_hidden_{index}"),
            (_, Some(_)) => format!("L_hidden_{}", index + 1),
        }
    }
}
