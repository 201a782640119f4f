//! What a network looks like, before it has weights.

use serde::{Deserialize, Serialize};
use trace::{Layer, LayerLabel, Source, SourceRange, Topology, TopologyError};

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

/// What training makes small, and with it what the logits mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// One logit a class: probabilities are their softmax.
    SoftmaxCrossEntropy,
    /// One logit: the probability is its sigmoid. Targets may be soft.
    BinaryCrossEntropy,
    /// Several logits, each of which is judged as the one of [`Loss::BinaryCrossEntropy`]; a
    /// sample's loss is the mean of theirs.
    MultiLabelCrossEntropy,
    /// The outputs are the logits themselves: a sample's loss is the mean of their squared
    /// distances from its targets.
    MeanSquaredError,
}

/// The shape of an [`Mlp`](super::Mlp).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MlpConfig {
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
}

/// Why there is no such network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The samples have no inputs.
    #[error("a network needs at least one input")]
    NoInputs,
    /// A layer is empty.
    #[error("layer {0} would have no units: give every hidden layer a size above 0")]
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

impl MlpConfig {
    /// The layers as a trace describes them: the only place that says how the network is connected
    /// (ARCHITECTURE.md, invariant 10).
    ///
    /// They are called `L_input`, `L_hidden_1`, `L_hidden_2`, ... and `L_output`; a network
    /// without hidden layers is one `L_output`.
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
        let mut layers: Vec<Layer> = Vec::new();
        for (index, (fan_in, num_units)) in self.shapes().enumerate() {
            let label = self.label(index);
            if num_units == 0 {
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
            let (fan_in, num_units) = (size(fan_in)?, size(num_units)?);
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
            layers.push(Layer {
                layer_index: index as u32,
                layer: label,
                module_path: format!("layers.{index}"),
                kind: "linear".to_owned(),
                shape: vec![num_units.into(), fan_in.into()],
                fan_in,
                num_units,
                first_neuron,
                activation: (index < self.hidden.len())
                    .then(|| self.activation.as_str().to_owned()),
                trainable: true,
                source: Some(vec![SourceRange::all(source, fan_in)]),
                tensors: Vec::new(),
                recorded_units: None,
            });
        }
        Ok(Topology::try_new(layers)?)
    }

    /// Fan-in and number of units of each layer.
    pub(super) fn shapes(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let fan_ins = std::iter::once(self.num_inputs).chain(self.hidden.iter().copied());
        let units = self.hidden.iter().copied().chain([self.num_outputs]);
        fan_ins.zip(units)
    }

    pub(super) fn label(&self, index: usize) -> LayerLabel {
        let label = match index {
            _ if index == self.hidden.len() => "L_output".to_owned(),
            0 => "L_input".to_owned(),
            _ => format!("L_hidden_{index}"),
        };
        LayerLabel::try_new(&label).expect("a short label that starts with a letter")
    }
}
