//! A network's layers, as Python describes them.

use capture::{Layout, NetworkLayers, UnitRows};
use pyo3::PyResult;
use pyo3::exceptions::PyValueError;
use serde::Deserialize;
use trace::{Layer, LayerLabel, LayerTensor, SourceRange, Topology};

use crate::error::RecordingError;

/// One weight tensor and its bias.
#[derive(Debug, Deserialize)]
pub(super) struct DescribedLayer {
    /// Where it stands in the model, as `encoder.0`.
    path: String,
    label: String,
    kind: String,
    /// `rows`, `columns` or `by_group:2`.
    layout: String,
    /// The framework's shape.
    shape: Vec<usize>,
    activation: Option<String>,
    trainable: bool,
    source: Option<Vec<SourceRange>>,
    #[serde(default)]
    tensors: Vec<LayerTensor>,
}

impl DescribedLayer {
    fn rows(&self) -> PyResult<UnitRows> {
        let shape = &self.shape;
        let (layout, fits) = match self.layout.split_once(':') {
            None if self.layout == "rows" => (Layout::Rows, true),
            None if self.layout == "columns" => (Layout::Columns, shape.len() == 2),
            Some(("by_group", groups)) => {
                let groups = groups.parse().unwrap_or(0);
                let fits = shape.len() >= 2 && groups > 0 && shape[0].is_multiple_of(groups);
                (Layout::ByGroup { groups }, fits)
            }
            _ => (Layout::Rows, false),
        };
        if fits {
            return Ok(UnitRows::new(layout, shape.clone()));
        }
        Err(PyValueError::new_err(format!(
            "{}: a tensor of shape {shape:?} has no layout {:?}",
            self.path, self.layout
        )))
    }
}

/// The layers as a recording needs them, and how each one's weight becomes rows.
///
/// # Errors
/// If they are no topology: labels that clash, a network that is too large.
pub(super) fn network(layers: Vec<DescribedLayer>) -> PyResult<NetworkLayers> {
    if layers.is_empty() {
        return Err(RecordingError::new_err(
            "the network has no float parameters",
        ));
    }
    let rows: Vec<UnitRows> = layers
        .iter()
        .map(DescribedLayer::rows)
        .collect::<PyResult<_>>()?;
    let mut first_neuron = 0i32;
    let mut topology = Vec::with_capacity(layers.len());
    for (layer, rows) in layers.into_iter().zip(&rows) {
        let (num_units, fan_in) = (rows.num_units(), rows.fan_in());
        if num_units.saturating_mul(fan_in) > i32::MAX as usize {
            return Err(RecordingError::new_err(format!(
                "{} has {num_units} units with {fan_in} weights each, a trace can hold {} weights of a \
                 layer: leave it out by layers=[\"!{}\"]",
                layer.path,
                i32::MAX,
                layer.label
            )));
        }
        let label = LayerLabel::try_new(&layer.label).map_err(|error| {
            RecordingError::new_err(format!(
                "{} needs a label of its own, as labels={{{:?}: \"name\"}}: {error}",
                layer.path, layer.path
            ))
        })?;
        topology.push(Layer {
            layer_index: topology.len() as u32,
            layer: label,
            module_path: layer.path,
            kind: layer.kind,
            shape: rows.pytorch_shape(),
            fan_in: fan_in as u32,
            num_units: num_units as u32,
            first_neuron,
            activation: layer.activation,
            trainable: layer.trainable,
            source: layer.source,
            tensors: layer.tensors,
            recorded_units: None,
        });
        first_neuron = first_neuron
            .checked_add_unsigned(num_units as u32)
            .ok_or_else(|| crate::error::recording(trace::TopologyError::TooManyNeurons))?;
    }
    let topology = Topology::try_new(topology).map_err(crate::error::recording)?;
    Ok(NetworkLayers::new(topology, rows))
}
