//! What was read and is no rows yet: a worker of the sink makes a part file's rows of it.

use std::error::Error;
use std::sync::Arc;

use sink::{MakePart, Part};
use trace::{Layer, LayerLabel, PartPath, Table};

use super::layers::NetworkLayers;
use super::place::Place;
use super::recorded::{ActivationDetail, Recorded, WeightDetail};
use super::source::{TensorKind, Values};
use crate::evaluation::{Classifications, Logits};
use crate::precision::Precision;
use crate::rows::{self, RowKey, SampleSet};
use crate::saved_state::StateTensor;

/// The values of one part file, in the framework's order, and how they become rows: transposed, of the
/// units that are recorded, with their statistics.
#[derive(Debug)]
pub(super) struct RawPart {
    path: PartPath,
    key: RowKey,
    layers: Arc<NetworkLayers>,
    values: RawValues,
}

#[derive(Debug)]
enum RawValues {
    /// Of a table with the columns of `weights`.
    Tensor {
        /// Which of the table's tensors, where it has several.
        name: Option<&'static str>,
        tensor: LayerTensor,
        /// In what precision the values are kept; none where statistics alone are.
        lists: Option<Precision>,
    },
    State {
        state: StateTensor,
        num_updates: i64,
        tensor: LayerTensor,
    },
    Activations {
        layer: usize,
        samples: SampleSet,
        /// Row-major `[num_samples, num_units]`.
        values: Vec<f32>,
        /// Of how many samples the values are kept; none where statistics alone are.
        kept_samples: Option<usize>,
        precision: Precision,
    },
    Classifications(Classifications),
    Logits(Logits),
}

/// A tensor for each of a layer's parameters, as [`Values::Parameters`] has them.
#[derive(Debug)]
pub(super) struct LayerTensor {
    /// Index in the topology.
    pub(super) layer: usize,
    pub(super) weight: Vec<f32>,
    pub(super) bias: Option<Vec<f32>>,
}

/// Values that are not those of their layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum MakeRowsError {
    #[error(
        "layer {layer} has {num_units} units with {fan_in} weights each, and {found} were read"
    )]
    Weights {
        layer: LayerLabel,
        num_units: u32,
        fan_in: u32,
        found: usize,
    },
    #[error("layer {layer} has {num_units} units, and {found} biases were read")]
    Biases {
        layer: LayerLabel,
        num_units: u32,
        found: usize,
    },
    #[error(
        "layer {layer} has {num_units} units, and {found} activations were read: these are not of whole \
         samples"
    )]
    Activations {
        layer: LayerLabel,
        num_units: u32,
        found: usize,
    },
}

/// More than the arrays of a part hold beside its values.
const PART_BYTES: u64 = 8 << 10;
/// More than a row holds beside its list, with its statistics while they are no columns yet.
const ROW_BYTES: u64 = 192;

impl RawPart {
    /// What was read for a capture; none of what is compared alone.
    pub(super) fn of_capture(
        place: Place,
        layers: &Arc<NetworkLayers>,
        recorded: &Recorded,
        values: Values,
    ) -> Option<Self> {
        let (path, values) = match values {
            Values::Parameters {
                kind,
                layer,
                weight,
                bias,
            } => {
                let (table, name, sequence) = match kind {
                    TensorKind::Weights => (Table::Weights, None, 0),
                    TensorKind::Checked => return None,
                    TensorKind::Gradients => (Table::Gradients, None, 0),
                    TensorKind::GradientsApplied => (Table::GradientsApplied, None, 0),
                    TensorKind::Moment1 => (Table::Moments, Some("moment_1"), 0),
                    TensorKind::Moment2 => (Table::Moments, Some("moment_2"), 1),
                };
                let (detail, precision) = match kind {
                    TensorKind::Weights => (recorded.weights, recorded.precision),
                    // Half precision would make zeros of the small ones.
                    _ => (Some(recorded.gradient_detail), Precision::F32),
                };
                let lists = (detail == Some(WeightDetail::Raw)).then_some(precision);
                let path = place.path(table, Some(&layers.topology().layers()[layer]), sequence);
                let tensor = LayerTensor {
                    layer,
                    weight,
                    bias,
                };
                let values = RawValues::Tensor {
                    name,
                    tensor,
                    lists,
                };
                (path, values)
            }
            Values::Activations {
                layer,
                samples,
                sequence,
                values,
            } => {
                let of_layer = &layers.topology().layers()[layer];
                let path = place.path(Table::Activations, Some(of_layer), sequence);
                let kept_samples = match recorded.activations {
                    Some(ActivationDetail::Raw { samples }) => Some(samples),
                    Some(ActivationDetail::Statistics) | None => None,
                };
                let values = RawValues::Activations {
                    layer,
                    samples,
                    values,
                    kept_samples,
                    precision: recorded.precision,
                };
                (path, values)
            }
            Values::Classifications(rows) => {
                let path = place.path(Table::Classifications, None, 0);
                (path, RawValues::Classifications(rows))
            }
            Values::Logits(logits) => {
                let path = place.path(Table::Classifications, None, 0);
                (path, RawValues::Logits(logits))
            }
        };
        Some(Self {
            path,
            key: place.key,
            layers: Arc::clone(layers),
            values,
        })
    }

    /// A part of a saved state: what `state` is of a layer, after so many updates.
    pub(super) fn of_state(
        place: Place,
        layers: &Arc<NetworkLayers>,
        state: StateTensor,
        num_updates: i64,
        tensor: LayerTensor,
    ) -> Self {
        let layer = &layers.topology().layers()[tensor.layer];
        Self {
            path: place.path(Table::Resume, Some(layer), state.sequence()),
            key: place.key,
            layers: Arc::clone(layers),
            values: RawValues::State {
                state,
                num_updates,
                tensor,
            },
        }
    }

    fn layer(&self, index: usize) -> &Layer {
        &self.layers.topology().layers()[index]
    }

    /// What the rows of a layer's tensor hold at most while they are made, and the values.
    fn tensor_bytes(&self, tensor: &LayerTensor) -> u64 {
        let layer = self.layer(tensor.layer);
        // What is in order and complete becomes the rows' column as it is.
        let is_copied =
            !self.layers.rows(tensor.layer).is_by_unit() || layer.recorded_units.is_some();
        let copies = if is_copied { 2 } else { 1 };
        let biases = tensor.bias.as_ref().map_or(0, bytes_of);
        // The median of a row is found in copies of it.
        copies * bytes_of(&tensor.weight)
            + 2 * biases
            + rows_bytes(layer.num_units.into(), layer.fan_in.into())
    }
}

impl MakePart for RawPart {
    fn path(&self) -> &PartPath {
        &self.path
    }

    /// The values and the rows; the values alone where they become the rows' column as they are.
    fn most_bytes(&self) -> u64 {
        match &self.values {
            RawValues::Tensor { tensor, .. } | RawValues::State { tensor, .. } => {
                self.tensor_bytes(tensor)
            }
            RawValues::Activations { layer, values, .. } => {
                let layer = self.layers.activated(*layer);
                let num_units = layer.map_or(0, |layer| u64::from(layer.num_units));
                let num_samples = (values.len() as u64).checked_div(num_units).unwrap_or(0);
                2 * bytes_of(values) + rows_bytes(num_units, num_samples)
            }
            RawValues::Classifications(rows) => {
                let expected = rows.expected.as_ref().map_or(0, bytes_of);
                let lists = bytes_of(&rows.outputs) + expected;
                2 * lists + rows_bytes(rows.len() as u64, 0)
            }
            RawValues::Logits(logits) => {
                let lists = bytes_of(&logits.logits) + logits.targets.num_bytes();
                2 * lists + rows_bytes(logits.targets.len() as u64, 0)
            }
        }
    }

    fn make(self: Box<Self>) -> Result<Part, Box<dyn Error + Send + Sync>> {
        let Self {
            path,
            key,
            layers,
            values,
        } = *self;
        let topology = layers.topology().layers();
        let rows = match values {
            RawValues::Tensor {
                name,
                tensor,
                lists,
            } => {
                let layer = &topology[tensor.layer];
                let (weights, bias) = tensor.into_rows(&layers)?;
                rows::parameters(key, (path.table, name), layer, weights, bias, lists)
            }
            RawValues::State {
                state,
                num_updates,
                tensor,
            } => {
                let layer = &topology[tensor.layer];
                let (weights, bias) = tensor.into_rows(&layers)?;
                rows::resume(key, layer, state, num_updates, weights, bias)
            }
            RawValues::Activations {
                layer,
                samples,
                values,
                kept_samples,
                precision,
            } => {
                let layer = layers.activated(layer);
                let layer =
                    layer.expect("its activations were taken, so that they can be numbered");
                if !values.len().is_multiple_of(layer.num_units as usize) {
                    return Err(Box::new(MakeRowsError::Activations {
                        layer: layer.layer.clone(),
                        num_units: layer.num_units,
                        found: values.len(),
                    }));
                }
                rows::activations(key, &layer, samples, values, kept_samples, precision)
            }
            RawValues::Classifications(rows) => rows::classifications(key, rows),
            RawValues::Logits(logits) => {
                let rows = logits.classify();
                drop(logits);
                rows::classifications(key, rows)
            }
        };
        Ok(Part { path, rows })
    }
}

impl LayerTensor {
    /// Row-major `[num_units, fan_in]`, and one bias a unit where there are any.
    fn into_rows(
        self,
        layers: &NetworkLayers,
    ) -> Result<(Vec<f32>, Option<Vec<f32>>), MakeRowsError> {
        let Self {
            layer: index,
            weight,
            bias,
        } = self;
        let layer = &layers.topology().layers()[index];
        let num_units = layer.num_units as usize;
        if weight.len() != num_units * layer.fan_in as usize {
            return Err(MakeRowsError::Weights {
                layer: layer.layer.clone(),
                num_units: layer.num_units,
                fan_in: layer.fan_in,
                found: weight.len(),
            });
        }
        if let Some(bias) = bias.as_ref().filter(|bias| bias.len() != num_units) {
            return Err(MakeRowsError::Biases {
                layer: layer.layer.clone(),
                num_units: layer.num_units,
                found: bias.len(),
            });
        }
        Ok((layers.rows(index).to_rows(weight), bias))
    }
}

/// Bytes that the values hold.
fn bytes_of(values: &Vec<f32>) -> u64 {
    (values.capacity() * size_of::<f32>()) as u64
}

/// More than rows hold beside the values of their lists, which have so many each.
fn rows_bytes(num_rows: u64, list_length: u64) -> u64 {
    PART_BYTES + num_rows * ROW_BYTES + 2 * list_length * size_of::<f32>() as u64
}

#[cfg(test)]
mod tests;
