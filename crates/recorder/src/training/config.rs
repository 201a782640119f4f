//! How to train.

use serde::{Deserialize, Serialize};
use trace::Epoch;

use crate::dataset::{Dataset, DatasetKind, Targets};
use crate::model::{Activation, Convolutions, ImageShape, Loss, ModelError, NetworkConfig};

/// The most samples of an optimizer step: they are put together in memory, with room to spare for
/// what the network makes of them.
pub const MAX_BATCH_SIZE: usize = 1 << 20;

/// What a training run is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Number of units of each convolution before the hidden layers; without any, the network is a
    /// multi-layer perceptron.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<usize>,
    /// What image the inputs of a sample are to convolutions, where the data set does not say, or
    /// says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageShape>,
    /// Number of units of each hidden layer; without any, there is one linear layer.
    pub hidden: Vec<usize>,
    /// The non-linearity of the hidden layers.
    pub activation: Activation,
    /// How often to go through the training samples.
    pub epochs: usize,
    /// Samples of an optimizer step.
    pub batch_size: usize,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// Everything random follows from it.
    pub seed: u64,
}

/// Why a configuration makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum TrainConfigError {
    /// Nothing would be trained.
    #[error("0 epochs would train nothing: give at least 1")]
    NoEpochs,
    /// More than a trace can number.
    #[error("{0} epochs are more than the {max} that a trace can number", max = i32::MAX)]
    TooManyEpochs(usize),
    /// A step would have no samples.
    #[error("a batch size of 0 makes no steps: give at least 1")]
    EmptyBatch,
    /// A step's samples would not fit into memory.
    #[error("a batch size of {0} is more than a step can take, at most {MAX_BATCH_SIZE}")]
    LargeBatch(usize),
    /// A convolution would have no units.
    #[error("convolution {0} has no channels: give every one a number above 0")]
    EmptyConvolution(usize),
    /// A hidden layer would have no units.
    #[error("hidden layer {0} has no units: give every one a size above 0")]
    EmptyLayer(usize),
    /// Adam cannot go that far.
    #[error("a learning rate of {0} cannot be used: give a finite number above 0")]
    LearningRate(f64),
}

impl TrainConfig {
    /// What a data set is trained with when nothing else is asked for.
    pub fn default_for(kind: DatasetKind) -> Self {
        match kind {
            DatasetKind::Digits => Self {
                channels: Vec::new(),
                image: None,
                hidden: vec![128, 64],
                activation: Activation::Relu,
                epochs: 20,
                batch_size: 64,
                learning_rate: 1e-3,
                seed: 42,
            },
            DatasetKind::Notebook => Self {
                channels: Vec::new(),
                image: None,
                hidden: vec![10, 10],
                activation: Activation::Sigmoid,
                epochs: 100,
                batch_size: 5,
                learning_rate: 1e-3,
                seed: 42,
            },
        }
    }

    /// Checks what can be known before there is a data set.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn validate(&self) -> Result<(), TrainConfigError> {
        if self.epochs == 0 {
            return Err(TrainConfigError::NoEpochs);
        }
        if i32::try_from(self.epochs).is_err() {
            return Err(TrainConfigError::TooManyEpochs(self.epochs));
        }
        if self.batch_size == 0 {
            return Err(TrainConfigError::EmptyBatch);
        }
        if self.batch_size > MAX_BATCH_SIZE {
            return Err(TrainConfigError::LargeBatch(self.batch_size));
        }
        if let Some(empty) = self.channels.iter().position(|&channels| channels == 0) {
            return Err(TrainConfigError::EmptyConvolution(empty + 1));
        }
        if let Some(empty) = self.hidden.iter().position(|&units| units == 0) {
            return Err(TrainConfigError::EmptyLayer(empty + 1));
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return Err(TrainConfigError::LearningRate(self.learning_rate));
        }
        Ok(())
    }

    /// The last epoch, of as many as can be numbered.
    pub fn last_epoch(&self) -> Epoch {
        Epoch(i32::try_from(self.epochs.saturating_sub(1)).unwrap_or(i32::MAX))
    }

    /// The network for a data set: its targets choose the loss.
    ///
    /// # Errors
    /// If there are convolutions, and nobody says what image the inputs are.
    pub fn model(&self, dataset: &Dataset) -> Result<NetworkConfig, ModelError> {
        let convolutions = match self.channels.as_slice() {
            [] => None,
            channels => Some(Convolutions {
                image: self.image.or(dataset.image()).ok_or(ModelError::NoImage {
                    num_inputs: dataset.num_inputs(),
                })?,
                channels: channels.to_vec(),
            }),
        };
        Ok(NetworkConfig {
            num_inputs: dataset.num_inputs(),
            hidden: self.hidden.clone(),
            num_outputs: dataset.num_outputs(),
            activation: self.activation,
            loss: match dataset.held_out().targets() {
                Targets::Classes(_) => Loss::SoftmaxCrossEntropy,
                Targets::Soft(_) => Loss::BinaryCrossEntropy,
                Targets::Labels(_) => Loss::MultiLabelCrossEntropy,
                Targets::Values(_) => Loss::MeanSquaredError,
            },
            convolutions,
        })
    }
}
