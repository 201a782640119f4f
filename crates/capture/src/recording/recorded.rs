//! What of a capture is recorded, and what memory that takes by default.

use std::num::NonZeroU32;

use serde::Serialize;
use serde_json::{Value, json};
use trace::{Layer, LayerLabel, Topology};

use super::phases::Phases;
use crate::precision::Precision;

/// How many held-out samples' activations are recorded unless told otherwise.
pub const DEFAULT_ACTIVATION_SAMPLES: usize = 512;

/// What of each capture is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Weights, biases and their statistics; none where they are not recorded.
    pub weights: Option<WeightDetail>,
    /// What the network makes of each held-out sample.
    pub classifications: bool,
    /// Held-out activations; none where they are not recorded.
    pub activations: Option<ActivationDetail>,
    /// Loss, accuracy, learning rate and what recording costs.
    pub metrics: bool,
    /// Gradients of the loss, of the last step before a capture: as the backward pass made them,
    /// before the optimizer clips them.
    pub gradients: bool,
    /// The same as the optimizer used them, clipped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub gradients_applied: bool,
    /// What an optimizer keeps of the gradients: Adam's two moments.
    pub moments: bool,
    /// Whether gradients and moments have their values, or statistics alone.
    #[serde(skip_serializing_if = "WeightDetail::is_raw")]
    pub gradient_detail: WeightDetail,
    /// Of layers with more units than this, so many are recorded, drawn with the run's seed (0
    /// where it has none); none for all units of every layer. `run.json` says which.
    pub units: Option<NonZeroU32>,
    /// Of which samples activations are recorded.
    pub phases: Phases,
    /// In how many bits the values of weights and activations are kept.
    pub precision: Precision,
    /// In how many bins the weights and held-out activations of each layer are counted, of all of
    /// its units; none for no histograms.
    pub histograms: Option<NonZeroU32>,
}

impl Recorded {
    /// What is recorded unless something else is said: weights, classifications, activations and metrics,
    /// with their values.
    pub const DEFAULT: Self = Self {
        weights: Some(WeightDetail::Raw),
        classifications: true,
        activations: Some(ActivationDetail::Raw {
            samples: DEFAULT_ACTIVATION_SAMPLES,
        }),
        metrics: true,
        gradients: false,
        gradients_applied: false,
        moments: false,
        gradient_detail: WeightDetail::Raw,
        units: None,
        phases: Phases::EVAL,
        precision: Precision::F32,
        histograms: None,
    };
}

impl Default for Recorded {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Puts what a run's configuration says of what is recorded into today's words. A program of format 1.0 said of
/// weights only whether they are recorded, and said nothing of what could be chosen from format 1.1 on.
pub(crate) fn in_todays_words(record: &mut Value) {
    let Some(record) = record.as_object_mut() else {
        return;
    };
    if let Some(weights) = record.get_mut("weights")
        && let Some(are_recorded) = weights.as_bool()
    {
        *weights = json!(are_recorded.then_some(WeightDetail::Raw));
    }
    let did = [
        ("gradients", json!(false)),
        ("moments", json!(false)),
        ("units", Value::Null),
        ("phases", json!(Phases::EVAL)),
        ("precision", json!(Precision::F32)),
        ("histograms", Value::Null),
    ];
    for (key, value) in did {
        record.entry(key).or_insert(value);
    }
}

/// How much of the weights is recorded, or of what belongs to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightDetail {
    /// The values, and statistics.
    Raw,
    /// Statistics alone: of such weights no network can be rebuilt.
    Statistics,
}

impl WeightDetail {
    fn is_raw(&self) -> bool {
        *self == Self::Raw
    }
}

/// How much of the held-out activations is recorded. Statistics always cover every sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationDetail {
    /// The values of up to so many samples, and statistics.
    Raw {
        /// The first samples, in the order of the held-out set.
        samples: usize,
    },
    /// Statistics alone.
    Statistics,
}

impl ActivationDetail {
    /// Of how many samples the values are kept.
    pub(super) fn num_kept(self, num_samples: usize) -> usize {
        match self {
            Self::Raw { samples } => samples.min(num_samples),
            Self::Statistics => 0,
        }
    }
}

/// For how many captures the channel has room by default, as values and as the rows that are made of them.
pub const CHANNEL_CAPTURES: u64 = 4;

/// The least budget of the channel by default.
pub const MIN_CHANNEL_BYTES: u64 = 1 << 20;

/// A unit has more activations than a capture can keep: they are one list, and the offsets of lists are 32-bit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "layer {layer} has {num_units} units, and {num_samples} samples of each would be kept: a list of a \
     trace holds {} values at most; keep fewer samples, or statistics alone",
    i32::MAX
)]
pub struct TooManyActivationsError {
    /// The layer.
    pub layer: LayerLabel,
    /// How many units it has.
    pub num_units: u32,
    /// How many samples of each would be kept.
    pub num_samples: usize,
}

impl Recorded {
    /// Memory for what waits to be written, where nothing else is said: room for [`CHANNEL_CAPTURES`]
    /// captures as values and as the rows that are made of them, within [`MIN_CHANNEL_BYTES`] and
    /// [`sink::DEFAULT_CHANNEL_BYTES`]. Where more is read of a capture than is kept, as of samples whose
    /// activations become statistics alone, that is at least room for one.
    ///
    /// Small networks would else fill any budget with what a slow moment of the disk leaves
    /// waiting, and a recording's memory would depend on how long it runs.
    pub fn default_channel_bytes(&self, topology: &Topology, num_held_out: usize) -> u64 {
        let num_samples = self.activations.map_or(0, |_| num_held_out) as u64;
        let num_kept = self.activations.map_or(0, |a| a.num_kept(num_held_out)) as u64;
        let Self {
            gradients,
            gradients_applied,
            moments,
            ..
        } = *self;
        let others = [gradients, gradients_applied, moments, moments];
        let num_others = others.into_iter().filter(|recorded| *recorded).count() as u64;
        let num_read = num_others + u64::from(self.weights.is_some());
        let num_others_written = match self.gradient_detail {
            WeightDetail::Raw => num_others,
            WeightDetail::Statistics => 0,
        };
        let num_written = num_others_written + u64::from(self.weights == Some(WeightDetail::Raw));
        let layers = || topology.layers().iter();
        let values_of = |num_units: u32, fan_in: u32, num_tensors: u64, num_samples: u64| {
            u64::from(num_units) * (num_tensors * u64::from(fan_in) + num_samples)
        };
        let read = layers().map(|l| values_of(l.num_units, l.fan_in, num_read, num_samples));
        let written =
            layers().map(|l| values_of(l.num_recorded_units(), l.fan_in, num_written, num_kept));
        let num_values = (CHANNEL_CAPTURES * written.sum::<u64>()).max(read.sum());
        let bytes = 2 * num_values * size_of::<f32>() as u64;
        bytes.clamp(MIN_CHANNEL_BYTES, sink::DEFAULT_CHANNEL_BYTES)
    }

    /// Checks that the activations of every layer fit into a trace.
    ///
    /// # Errors
    /// The first layer of which too many are to be kept.
    pub fn check(
        &self,
        topology: &Topology,
        num_held_out: usize,
    ) -> Result<(), TooManyActivationsError> {
        let mut layers = topology.layers().iter();
        layers.try_for_each(|layer| self.check_layer(layer, num_held_out))
    }

    /// Checks that the activations of a layer fit into a trace.
    ///
    /// # Errors
    /// If too many are to be kept.
    pub fn check_layer(
        &self,
        layer: &Layer,
        num_held_out: usize,
    ) -> Result<(), TooManyActivationsError> {
        let num_samples = self.activations.map_or(0, |a| a.num_kept(num_held_out));
        if num_samples <= i32::MAX as usize {
            return Ok(());
        }
        Err(TooManyActivationsError {
            layer: layer.layer.clone(),
            num_units: layer.num_recorded_units(),
            num_samples,
        })
    }
}

#[cfg(test)]
mod tests;
