//! What was read and is no rows yet: a worker of the sink makes the rows of a part file of it, or of several.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error;
use std::ops::Range;
use std::sync::Arc;

use sink::{Made, MakePart, Part};
use trace::{Layer, LayerLabel, MaxPartBytes, PartPath, Table};

use super::histograms::{Counting, Histograms};
use super::layers::NetworkLayers;
use super::place::Place;
use super::recorded::{ActivationDetail, Recorded, WeightDetail};
use super::source::{TensorKind, Values};
use crate::evaluation::{Classifications, Logits};
use crate::histogram::{OF_ACTIVATIONS, OF_WEIGHTS};
use crate::precision::Precision;
use crate::rows::{self, RowKey, SampleSet};
use crate::saved_state::StateTensor;

/// Values in the framework's order, and how they become rows: transposed, of the units that are recorded, with their
/// statistics. They are those of one part file, or of several, of each of which the rows are made in turn.
#[derive(Debug)]
pub(super) struct RawPart {
    /// Where the next part goes.
    path: PartPath,
    key: RowKey,
    layers: Arc<NetworkLayers>,
    values: RawValues,
    /// What counts the values, until the first part is made.
    counting: Option<Counting>,
    /// Of which units parts are left to make: their places among those that there are rows of. Of a table without
    /// layers it is one place.
    left: Range<u32>,
    /// How many of them a part has, but the last.
    rows_per_part: u32,
}

/// How the layers of a capture are split into part files, and how these are numbered.
#[derive(Debug)]
pub(super) struct Split {
    max_part_bytes: MaxPartBytes,
    /// How many files there are, by table and by the layer's index.
    num_files: HashMap<(Table, usize), u32>,
}

impl Split {
    /// Of a capture of which there are no files yet.
    pub(super) fn new(max_part_bytes: MaxPartBytes) -> Self {
        Self {
            max_part_bytes,
            num_files: HashMap::new(),
        }
    }

    /// The number of the first file of further ones of a layer, and how many rows a file has, of `num_rows` with lists
    /// of `list_length` values.
    fn next(&mut self, table: Table, layer: usize, num_rows: u32, list_length: u64) -> (u32, u32) {
        let rows_per_part = self.max_part_bytes.rows_per_part(num_rows, list_length);
        let num_files = self.num_files.entry((table, layer)).or_default();
        let first = *num_files;
        *num_files += num_parts(num_rows, rows_per_part);
        (first, rows_per_part)
    }
}

/// How many parts have so many rows together, which is one where there are none.
fn num_parts(num_rows: u32, rows_per_part: u32) -> u32 {
    num_rows.div_ceil(rows_per_part).max(1)
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

impl RawValues {
    /// What a histogram is of.
    fn counted(&self) -> Option<&[f32]> {
        match self {
            Self::Tensor { tensor, .. } | Self::State { tensor, .. } => Some(&tensor.weight),
            Self::Activations { values, .. } => Some(values),
            Self::Classifications(_) | Self::Logits(_) => None,
        }
    }
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
    #[error(
        "layer {layer} has units with {fan_in} weights each, and a list of a trace holds {} at most",
        i32::MAX
    )]
    LongRow { layer: LayerLabel, fan_in: u32 },
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
        split: &mut Split,
        histograms: &mut Histograms,
        values: Values,
    ) -> Option<Self> {
        let of_layer = |index: usize| &layers.topology().layers()[index];
        let counting = match &values {
            Values::Parameters {
                kind: TensorKind::Weights,
                layer,
                ..
            } => histograms.expect(*layer, OF_WEIGHTS),
            Values::Activations {
                layer,
                samples: SampleSet::HELD_OUT,
                ..
            } => histograms.expect(*layer, OF_ACTIVATIONS),
            Values::Parameters { .. }
            | Values::Activations { .. }
            | Values::Classifications(_)
            | Values::Logits(_) => None,
        };
        let (path, values, num_rows, rows_per_part) = match values {
            Values::Parameters {
                kind,
                layer,
                weight,
                bias,
            } => {
                let (table, name) = match kind {
                    TensorKind::Weights => (Table::Weights, None),
                    TensorKind::Checked => return None,
                    TensorKind::Gradients => (Table::Gradients, None),
                    TensorKind::GradientsApplied => (Table::GradientsApplied, None),
                    TensorKind::Moment1 => (Table::Moments, Some("moment_1")),
                    TensorKind::Moment2 => (Table::Moments, Some("moment_2")),
                };
                let (detail, precision) = match kind {
                    TensorKind::Weights => (recorded.weights, recorded.precision),
                    // Half precision would make zeros of the small ones.
                    _ => (Some(recorded.gradient_detail), Precision::F32),
                };
                let lists = (detail == Some(WeightDetail::Raw)).then_some(precision);
                let named = of_layer(layer);
                let num_rows = named.num_recorded_units();
                let list_length = lists.map_or(0, |_| named.fan_in.into());
                let (sequence, rows_per_part) = split.next(table, layer, num_rows, list_length);
                let path = place.path(table, Some(named), sequence);
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
                (path, values, num_rows, rows_per_part)
            }
            Values::Activations {
                layer,
                samples,
                values,
            } => {
                let kept_samples = match recorded.activations {
                    Some(ActivationDetail::Raw { samples }) => Some(samples),
                    Some(ActivationDetail::Statistics) | None => None,
                };
                let activated = layers.activated(layer);
                let num_rows = activated.as_ref().map_or(0, |of| of.num_recorded_units());
                let num_units = activated.map_or(0, |of| of.num_units as usize);
                let num_samples = values.len().checked_div(num_units).unwrap_or(0);
                let list_length = kept_samples.map_or(0, |kept| kept.min(num_samples)) as u64;
                let table = Table::Activations;
                let (sequence, rows_per_part) = split.next(table, layer, num_rows, list_length);
                let path = place.path(table, Some(of_layer(layer)), sequence);
                let values = RawValues::Activations {
                    layer,
                    samples,
                    values,
                    kept_samples,
                    precision: recorded.precision,
                };
                (path, values, num_rows, rows_per_part)
            }
            Values::Classifications(rows) => {
                let path = place.path(Table::Classifications, None, 0);
                (path, RawValues::Classifications(rows), 1, 1)
            }
            Values::Logits(logits) => {
                let path = place.path(Table::Classifications, None, 0);
                (path, RawValues::Logits(logits), 1, 1)
            }
        };
        Some(Self {
            path,
            key: place.key,
            layers: Arc::clone(layers),
            values,
            counting,
            left: 0..num_rows,
            rows_per_part,
        })
    }

    /// A part of a saved state: what `state` is of a layer, after so many updates.
    pub(super) fn of_state(
        place: Place,
        layers: &Arc<NetworkLayers>,
        split: &mut Split,
        (state, num_updates): (StateTensor, i64),
        tensor: LayerTensor,
    ) -> Self {
        let layer = &layers.topology().layers()[tensor.layer];
        let (num_rows, list_length) = (layer.num_units, layer.fan_in.into());
        let (sequence, rows_per_part) =
            split.next(Table::Resume, tensor.layer, num_rows, list_length);
        Self {
            path: place.path(Table::Resume, Some(layer), sequence),
            key: place.key,
            layers: Arc::clone(layers),
            counting: None,
            left: 0..num_rows,
            rows_per_part,
            values: RawValues::State {
                state,
                num_updates,
                tensor,
            },
        }
    }

    /// Where the parts go that are left to make, in their order.
    pub(super) fn paths(&self) -> impl Iterator<Item = PartPath> + '_ {
        (0..num_parts(self.left.len() as u32, self.rows_per_part)).map(|nth| PartPath {
            sequence: self.path.sequence + nth,
            ..self.path.clone()
        })
    }

    fn layer(&self, index: usize) -> &Layer {
        &self.layers.topology().layers()[index]
    }

    /// How many rows the largest part has.
    fn most_rows(&self) -> u64 {
        self.rows_per_part.min(self.left.len() as u32).into()
    }

    /// What the rows of a part of a layer's tensor hold at most while they are made, and the values.
    fn tensor_bytes(&self, tensor: &LayerTensor) -> u64 {
        let layer = self.layer(tensor.layer);
        // What is in order and complete becomes the rows' column as it is.
        let is_copied = !self.layers.rows(tensor.layer).is_by_unit()
            || self.most_rows() < u64::from(layer.num_units);
        let fan_in = u64::from(layer.fan_in);
        let copied = match is_copied {
            true => self.most_rows() * fan_in * size_of::<f32>() as u64,
            false => 0,
        };
        let biases = tensor.bias.as_ref().map_or(0, bytes_of);
        // The median of a row is found in copies of it.
        bytes_of(&tensor.weight) + copied + 2 * biases + rows_bytes(self.most_rows(), fan_in)
    }
}

impl MakePart for RawPart {
    fn path(&self) -> &PartPath {
        &self.path
    }

    fn num_parts(&self) -> usize {
        num_parts(self.left.len() as u32, self.rows_per_part) as usize
    }

    /// The values and the rows of a part; the values alone where they become the rows' column as they are.
    fn most_bytes(&self) -> u64 {
        match &self.values {
            RawValues::Tensor { tensor, .. } | RawValues::State { tensor, .. } => {
                self.tensor_bytes(tensor)
            }
            RawValues::Activations { layer, values, .. } => {
                let layer = self.layers.activated(*layer);
                let num_units = layer.map_or(0, |layer| u64::from(layer.num_units));
                let num_samples = (values.len() as u64).checked_div(num_units).unwrap_or(0);
                let by_unit = self.most_rows() * num_samples * size_of::<f32>() as u64;
                // Where some samples are kept, their values are copied once more.
                let copies = match self.most_rows() == num_units {
                    true => 1,
                    false => 2,
                };
                bytes_of(values) + copies * by_unit + rows_bytes(self.most_rows(), num_samples)
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

    fn make(self: Box<Self>) -> Result<Made, Box<dyn Error + Send + Sync>> {
        let Self {
            path,
            key,
            layers,
            values,
            counting,
            left,
            rows_per_part,
        } = *self;
        if let (Some(counting), Some(values)) = (counting, values.counted()) {
            counting.count(values);
        }
        let topology = layers.topology().layers();
        let end = left.end.min(left.start.saturating_add(rows_per_part));
        let is_last = end == left.end;
        let (rows, rest) = match values {
            RawValues::Tensor {
                name,
                tensor,
                lists,
            } => {
                let layer = &topology[tensor.layer];
                let units = recorded_units(layer, left.start..end);
                let (of_units, tensor) = tensor.take(&layers, &units, is_last)?;
                let (weights, bias) = of_units;
                let table = (path.table, name);
                let rows = rows::parameters(key, table, layer, &units, weights, bias, lists);
                let rest = tensor.map(|tensor| RawValues::Tensor {
                    name,
                    tensor,
                    lists,
                });
                (rows, rest)
            }
            RawValues::State {
                state,
                num_updates,
                tensor,
            } => {
                let layer = &topology[tensor.layer];
                let units: Vec<u32> = (left.start..end).collect();
                let (of_units, tensor) = tensor.take(&layers, &units, is_last)?;
                let (weights, bias) = of_units;
                let rows = rows::resume(key, layer, &units, state, num_updates, weights, bias);
                let rest = tensor.map(|tensor| RawValues::State {
                    state,
                    num_updates,
                    tensor,
                });
                (rows, rest)
            }
            RawValues::Activations {
                layer: index,
                samples,
                values,
                kept_samples,
                precision,
            } => {
                let layer = layers.activated(index);
                let layer =
                    layer.expect("its activations were taken, so that they can be numbered");
                if !values.len().is_multiple_of(layer.num_units as usize) {
                    return Err(Box::new(MakeRowsError::Activations {
                        layer: layer.layer.clone(),
                        num_units: layer.num_units,
                        found: values.len(),
                    }));
                }
                let units = recorded_units(&layer, left.start..end);
                let make = |values: Cow<'_, [f32]>| {
                    rows::activations(
                        key,
                        &layer,
                        &units,
                        samples,
                        values,
                        kept_samples,
                        precision,
                    )
                };
                match is_last {
                    true => (make(Cow::Owned(values)), None),
                    false => {
                        let rows = make(Cow::Borrowed(&values));
                        let rest = RawValues::Activations {
                            layer: index,
                            samples,
                            values,
                            kept_samples,
                            precision,
                        };
                        (rows, Some(rest))
                    }
                }
            }
            RawValues::Classifications(rows) => (rows::classifications(key, rows), None),
            RawValues::Logits(logits) => {
                let rows = logits.classify();
                drop(logits);
                (rows::classifications(key, rows), None)
            }
        };
        let rest = rest.map(|values| {
            let rest: Box<dyn MakePart> = Box::new(Self {
                path: PartPath {
                    sequence: path.sequence + 1,
                    ..path.clone()
                },
                key,
                layers: Arc::clone(&layers),
                values,
                counting: None,
                left: end..left.end,
                rows_per_part,
            });
            rest
        });
        let part = Part { path, rows };
        Ok(Made { part, rest })
    }
}

/// The units at some places among those that are recorded.
fn recorded_units(layer: &Layer, places: Range<u32>) -> Vec<u32> {
    match &layer.recorded_units {
        None => places.collect(),
        Some(units) => units[places.start as usize..places.end as usize].to_vec(),
    }
}

/// Row-major `[units, fan_in]`, and one bias a unit where there are any.
type OfUnits = (Vec<f32>, Option<Vec<f32>>);

impl LayerTensor {
    /// The rows of some units, and the tensor itself where there are others after them.
    fn take(
        self,
        layers: &NetworkLayers,
        units: &[u32],
        is_last: bool,
    ) -> Result<(OfUnits, Option<Self>), MakeRowsError> {
        let layer = &layers.topology().layers()[self.layer];
        let num_units = layer.num_units as usize;
        if self.weight.len() != num_units * layer.fan_in as usize {
            return Err(MakeRowsError::Weights {
                layer: layer.layer.clone(),
                num_units: layer.num_units,
                fan_in: layer.fan_in,
                found: self.weight.len(),
            });
        }
        if let Some(bias) = self.bias.as_ref().filter(|bias| bias.len() != num_units) {
            return Err(MakeRowsError::Biases {
                layer: layer.layer.clone(),
                num_units: layer.num_units,
                found: bias.len(),
            });
        }
        if layer.fan_in > i32::MAX.cast_unsigned() {
            return Err(MakeRowsError::LongRow {
                layer: layer.layer.clone(),
                fan_in: layer.fan_in,
            });
        }
        let rows = layers.rows(self.layer);
        if units.len() == num_units {
            return Ok(((rows.to_rows(self.weight), self.bias), None));
        }
        let weights = rows.rows_of(&self.weight, units);
        let of_units = |bias: &Vec<f32>| units.iter().map(|&unit| bias[unit as usize]).collect();
        let bias = self.bias.as_ref().map(of_units);
        Ok(((weights, bias), (!is_last).then_some(self)))
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
