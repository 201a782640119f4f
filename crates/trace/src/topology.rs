//! What a network is made of: the single source of truth for layers, neurons and connections
//! (`ARCHITECTURE.md`, invariant 10).

use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::id::LayerLabel;
use crate::number;

/// The kind of a layer that holds what a replay needs besides parameters, as a running mean.
const BUFFER: &str = "buffer";

/// The kind of a layer whose units are the tokens of a vocabulary, and whose activations are values by
/// dimension.
const EMBEDDING: &str = "embedding";

/// The kind of a tensor that no layer is named for, as a bias of its own or a class token.
const PARAMETER: &str = "parameter";

/// The kinds of layers that are gates of recurrent modules of PyTorch: their values stay inside these.
const GATES: [&str; 3] = ["lstm", "gru", "rnn"];

/// The kind of a projection of attention, and how the names of those of PyTorch's end that stay inside it.
const ATTENTION: &str = "attention";
const INNER_PROJECTION: &str = "_proj_weight";

/// The layers of a network, in the order in which a forward pass visits them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Layer>", into = "Vec<Layer>")]
pub struct Topology {
    layers: Vec<Layer>,
}

/// One weight tensor and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Position in the topology, from 0.
    pub layer_index: u32,
    /// The layer's name, unique in the network without regard to case.
    pub layer: LayerLabel,
    /// Where the module stands in the model, as `layers.0`.
    pub module_path: String,
    /// What kind of module it is, as `linear`.
    pub kind: String,
    /// Shape of the weight tensor in PyTorch's layout: `[num_units, ...]`, for a linear layer
    /// `[out, in]`; a transposed convolution's `[in, out/groups, ...]` has its units along axis 1,
    /// group by group.
    pub shape: Vec<u64>,
    /// Incoming connections of a unit: the length of a row of `weights`.
    pub fan_in: u32,
    /// Number of output units.
    pub num_units: u32,
    /// Id of unit 0; unit `u` is neuron `first_neuron + u`.
    pub first_neuron: i32,
    /// The non-linearity whose result `activations` holds; none where that is the layer's own
    /// output.
    pub activation: Option<String>,
    /// Whether the optimizer changes it.
    pub trainable: bool,
    /// Where position 0, 1, ... of a row of `weights` come from; none where it is not known.
    pub source: Option<Vec<SourceRange>>,
    /// What the layer's rows hold of tensors that have names of their own, as an imported
    /// checkpoint's, or values of another type than 32-bit floats: first the one in `weights`, then, if there is one, that in `bias`. Empty where
    /// names follow from `module_path`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<LayerTensor>,
    /// The units of which there are rows, ascending, where a run was told to record some of a wide
    /// layer's alone; none for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_units: Option<Vec<u32>>,
}

impl Layer {
    /// Whether it holds no parameters, but what a replay needs besides them, as a running mean.
    pub fn is_buffer(&self) -> bool {
        self.kind == BUFFER
    }

    /// Whether its units say anything of their own when the network runs, as far as its description tells: those of a
    /// buffer do not, nor those of a parameter that is no layer's weight, nor what stays inside a module, as gates. A
    /// parameter that a layer's weight is worked out of stands for that layer, and hears what it hears.
    pub fn has_activations(&self) -> bool {
        match self.kind.as_str() {
            BUFFER => false,
            PARAMETER => self.source.is_some(),
            ATTENTION => !self.module_path.ends_with(INNER_PROJECTION),
            kind => !GATES.contains(&kind),
        }
    }

    /// How many units there are rows of.
    pub fn num_recorded_units(&self) -> u32 {
        match &self.recorded_units {
            None => self.num_units,
            Some(units) => units.len() as u32,
        }
    }

    /// The ids of its units across the network.
    pub fn neurons(&self) -> Range<i32> {
        self.first_neuron..self.first_neuron + self.num_units.cast_signed()
    }

    /// The units of which there are rows, ascending.
    pub fn units(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.num_recorded_units()).map(|row| match &self.recorded_units {
            None => row,
            Some(units) => units[row as usize],
        })
    }
}

/// A tensor as it was before it became rows of a layer, well enough to write it again bit for bit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerTensor {
    /// Its full name, as `encoder.layers.0.linear1.weight`.
    pub name: String,
    /// The type of its values as safetensors spells it, as `BF16`; a trace holds them as 32-bit
    /// floats.
    pub dtype: String,
    /// Its shape; empty for a scalar, which is stored as one unit with one weight.
    pub shape: Vec<u64>,
    /// Whether its units lie along its last axis, `[in, out]`, so that the rows are those of the
    /// transposed tensor: a row has the other axes in their order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transposed: bool,
}

/// A stretch of a layer's incoming connections.
///
/// It stands for `count * repeat` positions: for `i` in `0..count`, `repeat` positions in a row
/// come from unit `start + i * stride`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRange {
    /// What the units belong to.
    pub from: Source,
    /// The first unit (or input).
    pub start: u32,
    /// How many units there are.
    pub count: u32,
    /// From one unit to the next.
    pub stride: u32,
    /// How many positions in a row come from the same unit (the size of a convolution's kernel).
    pub repeat: u32,
}

/// What a connection starts from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Source {
    /// The network's inputs.
    Input,
    /// The units of an earlier layer.
    Layer(LayerLabel),
}

/// How `run.json` spells [`Source::Input`].
const INPUT: &str = "input";

impl From<Source> for String {
    fn from(source: Source) -> Self {
        match source {
            Source::Input => INPUT.to_owned(),
            Source::Layer(label) => label.into(),
        }
    }
}

impl TryFrom<String> for Source {
    type Error = crate::id::LayerLabelError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == INPUT {
            Ok(Source::Input)
        } else {
            LayerLabel::try_from(text).map(Source::Layer)
        }
    }
}

impl SourceRange {
    /// All of something: units 0, 1, ... `count - 1`, each once.
    pub fn all(from: Source, count: u32) -> Self {
        Self {
            from,
            start: 0,
            count,
            stride: 1,
            repeat: 1,
        }
    }

    /// How many positions of a row the range covers.
    pub fn num_positions(&self) -> u64 {
        u64::from(self.count) * u64::from(self.repeat)
    }

    /// The unit of every position, in order.
    pub fn units(&self) -> impl Iterator<Item = u32> + use<> {
        let (start, stride, repeat) = (self.start, self.stride, self.repeat);
        // Of units that no position comes from nobody counts to the last.
        let count = if repeat == 0 { 0 } else { self.count };
        (0..count).flat_map(move |i| (0..repeat).map(move |_| start + i * stride))
    }
}

/// Why a list of layers is no topology.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// Two layers have the same label, or labels that differ in case alone.
    #[error(
        "two layers are called {0:?} (labels must differ by more than upper and lower case, file systems may not tell them apart)"
    )]
    DuplicateLabel(String),
    /// A layer's own label is the word for the network's inputs.
    #[error("a layer cannot be called \"input\": that is what connections from the inputs say")]
    ReservedLabel,
    /// `layer_index` or `first_neuron` does not follow from the layers before.
    #[error("layer {layer:?}: {field} is {found}, the layers before it say {expected}")]
    OutOfOrder {
        /// The layer.
        layer: String,
        /// The field that is off.
        field: &'static str,
        /// What it says.
        found: i64,
        /// What it should say.
        expected: i64,
    },
    /// The ranges do not cover every position of a row, or name a unit that does not exist.
    #[error("layer {layer:?}: its source {problem}")]
    BadSource {
        /// The layer.
        layer: String,
        /// What is wrong.
        problem: String,
    },
    /// The units that are recorded are not some of the layer's, in order.
    #[error("layer {layer:?}: recorded_units do not ascend from 0 on to below {num_units}")]
    BadUnits {
        /// The layer.
        layer: String,
        /// How many units it has.
        num_units: u32,
    },
    /// A tensor has more values than anybody stores.
    #[error("layer {layer:?}: a tensor of shape {shape:?} has too many values")]
    TooLarge {
        /// The layer.
        layer: String,
        /// The shape.
        shape: Vec<u64>,
    },
    /// More neurons than an `Int32` can number.
    #[error(
        "the network has more neurons than the trace format can number ({})",
        i32::MAX
    )]
    TooManyNeurons,
}

impl Topology {
    /// Checks that the layers belong together.
    ///
    /// # Errors
    /// If labels clash, indices are out of order, or a source does not add up.
    pub fn try_new(layers: Vec<Layer>) -> Result<Self, TopologyError> {
        let mut seen = std::collections::HashMap::new();
        let mut next_neuron = 0i64;
        for (index, layer) in layers.iter().enumerate() {
            let name = layer.layer.as_str();
            if name.eq_ignore_ascii_case(INPUT) {
                return Err(TopologyError::ReservedLabel);
            }
            if seen.insert(name.to_lowercase(), layer.num_units).is_some() {
                return Err(TopologyError::DuplicateLabel(name.to_owned()));
            }
            let in_order = |field, found, expected| {
                (found == expected)
                    .then_some(())
                    .ok_or_else(|| TopologyError::OutOfOrder {
                        layer: name.to_owned(),
                        field,
                        found,
                        expected,
                    })
            };
            in_order("layer_index", layer.layer_index.into(), index as i64)?;
            in_order("first_neuron", layer.first_neuron.into(), next_neuron)?;
            next_neuron += i64::from(layer.num_units);
            if next_neuron > i64::from(i32::MAX) {
                return Err(TopologyError::TooManyNeurons);
            }
        }
        for layer in &layers {
            check_sizes(layer)?;
            if let Some(ranges) = &layer.source {
                check_source(layer, ranges, &seen)?;
            }
            let units = layer.recorded_units.as_deref().unwrap_or_default();
            let ascend = units.is_sorted_by(|unit, next| unit < next);
            if !ascend || units.last().is_some_and(|&last| last >= layer.num_units) {
                return Err(TopologyError::BadUnits {
                    layer: layer.layer.as_str().to_owned(),
                    num_units: layer.num_units,
                });
            }
        }
        Ok(Self { layers })
    }

    /// The layers, in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The layer of that name.
    pub fn layer(&self, label: &str) -> Option<&Layer> {
        self.layers.iter().find(|l| l.layer.as_str() == label)
    }

    /// The layer that a neuron is a unit of, or a dimension ([`Topology::activated`]).
    pub fn layer_of(&self, neuron: i32) -> Option<&Layer> {
        if neuron >= self.num_neurons() {
            let mut embeddings = self.first_dimensions();
            let layer = embeddings.find(|(layer, first)| {
                (*first..first + i64::from(layer.fan_in)).contains(&i64::from(neuron))
            });
            return layer.map(|(layer, _)| layer);
        }
        let after = self.layers.partition_point(|l| l.first_neuron <= neuron);
        Some(&self.layers[after.checked_sub(1)?])
    }

    /// The layer at `index` as its activations have it, one unit a row: as it is, but of an embedding,
    /// whose weights have a row a token, its dimensions. They are numbered after the network's last
    /// neuron, one embedding after the other, so that none has the id of a token.
    ///
    /// None if there is no such layer, or its dimensions cannot be numbered.
    pub fn activated(&self, index: usize) -> Option<Cow<'_, Layer>> {
        let layer = self.layers.get(index)?;
        if layer.kind != EMBEDDING {
            return Some(Cow::Borrowed(layer));
        }
        let mut embeddings = self.first_dimensions();
        let (_, first) = embeddings.find(|(other, _)| other.layer_index == layer.layer_index)?;
        i32::try_from(first + i64::from(layer.fan_in)).ok()?;
        Some(Cow::Owned(Layer {
            num_units: layer.fan_in,
            first_neuron: i32::try_from(first).ok()?,
            recorded_units: None,
            ..layer.clone()
        }))
    }

    /// The embeddings, each with the id of its first dimension.
    fn first_dimensions(&self) -> impl Iterator<Item = (&Layer, i64)> {
        let embeddings = self.layers.iter().filter(|layer| layer.kind == EMBEDDING);
        embeddings.scan(i64::from(self.num_neurons()), |next, layer| {
            let first = *next;
            *next += i64::from(layer.fan_in);
            Some((layer, first))
        })
    }

    /// The layer whose units are the network's outputs: the last that is no buffer.
    pub fn output_layer(&self) -> Option<&Layer> {
        let mut layers = self.layers.iter().rev();
        layers.find(|layer| !layer.is_buffer())
    }

    /// The layers before the outputs that are no buffers, in their order.
    pub fn hidden_layers(&self) -> impl DoubleEndedIterator<Item = &Layer> {
        let output = self.output_layer().map(|layer| layer.layer_index);
        let layers = self.layers.iter();
        layers.filter(move |layer| !layer.is_buffer() && Some(layer.layer_index) != output)
    }

    /// How many neurons the network has.
    pub fn num_neurons(&self) -> i32 {
        self.layers.last().map_or(0, |l| l.neurons().end)
    }

    /// The largest fan-in of the layers: the width that rows of `weights` are padded to.
    pub fn width(&self) -> u32 {
        self.layers.iter().map(|l| l.fan_in).max().unwrap_or(0)
    }
}

fn check_source(
    layer: &Layer,
    ranges: &[SourceRange],
    num_units: &std::collections::HashMap<String, u32>,
) -> Result<(), TopologyError> {
    let bad = |problem: String| TopologyError::BadSource {
        layer: layer.layer.as_str().to_owned(),
        problem,
    };
    let positions = ranges.iter().map(SourceRange::num_positions);
    let positions = positions.fold(0, u64::saturating_add);
    if positions != u64::from(layer.fan_in) {
        return Err(bad(format!(
            "covers {positions} positions, but its fan-in is {}",
            layer.fan_in
        )));
    }
    for range in ranges {
        let Source::Layer(from) = &range.from else {
            // Inputs are numbered as units are.
            if let Some(last) = last_unit(range).filter(|last| i32::try_from(*last).is_err()) {
                return Err(bad(format!("names input {last}, which nobody numbers")));
            }
            continue;
        };
        let units = *num_units
            .get(&from.as_str().to_lowercase())
            .ok_or_else(|| bad(format!("names layer {from:?}, which does not exist")))?;
        if let Some(last) = last_unit(range)
            && last >= u64::from(units)
        {
            return Err(bad(format!(
                "names unit {last} of layer {from:?}, which has {units}"
            )));
        }
    }
    Ok(())
}

/// The last unit that a range names; none if it names none.
fn last_unit(range: &SourceRange) -> Option<u64> {
    let steps = range.count.checked_sub(1)?;
    // Three 32-bit numbers: it fits into 64 bits.
    Some(u64::from(range.start) + u64::from(steps) * u64::from(range.stride))
}

/// Checks that the layer's tensors have no more values than can be counted, as 8 bytes each, too.
fn check_sizes(layer: &Layer) -> Result<(), TopologyError> {
    let own = std::iter::once(&layer.shape);
    for shape in own.chain(layer.tensors.iter().map(|tensor| &tensor.shape)) {
        // An axis of no length makes the tensor empty, and what is behind it may be asked for alone.
        let mut sizes = shape.iter().map(|&size| size.max(1));
        let num_values = sizes.try_fold(1, u64::checked_mul);
        if num_values.and_then(number::check_count).is_none() {
            return Err(TopologyError::TooLarge {
                layer: layer.layer.as_str().to_owned(),
                shape: shape.clone(),
            });
        }
    }
    Ok(())
}

impl TryFrom<Vec<Layer>> for Topology {
    type Error = TopologyError;

    fn try_from(layers: Vec<Layer>) -> Result<Self, Self::Error> {
        Self::try_new(layers)
    }
}

impl From<Topology> for Vec<Layer> {
    fn from(topology: Topology) -> Self {
        topology.layers
    }
}

#[cfg(test)]
mod tests;
