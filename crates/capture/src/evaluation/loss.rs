//! What training makes small.

use serde::{Deserialize, Serialize};

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

impl Loss {
    /// How many classes a network of so many outputs tells apart; 0 where it predicts something else.
    pub fn num_classes(self, num_outputs: usize) -> usize {
        match self {
            Self::SoftmaxCrossEntropy => num_outputs,
            Self::BinaryCrossEntropy => 2,
            Self::MultiLabelCrossEntropy | Self::MeanSquaredError => 0,
        }
    }
}
