//! Where each position of a layer's rows comes from, spelled out once a layer.

use std::collections::HashMap;

use arrow::array::{Int32Array, StringArray};
use datafusion::common::{Result, exec_err};
use trace::{Layer, Source, Topology};

/// The sources of every layer.
#[derive(Debug)]
pub(crate) struct Sources {
    layers: HashMap<String, LayerSources>,
}

/// One element a position. All null where the topology does not know.
#[derive(Debug)]
pub(crate) struct LayerSources {
    pub(crate) fan_in: usize,
    pub(crate) name: StringArray,
    pub(crate) input: Int32Array,
    pub(crate) neuron: Int32Array,
}

/// Positions that are spelled out, of all layers together, at most: about a gigabyte.
const MAX_POSITIONS: u64 = 1 << 26;

impl Sources {
    /// Spells out where the positions of all layers come from.
    ///
    /// # Errors
    /// If there are more than anybody recorded.
    pub(crate) fn try_new(topology: &Topology) -> Result<Self> {
        let layers = topology.layers().iter();
        let num_positions: u64 = layers.clone().map(|layer| u64::from(layer.fan_in)).sum();
        if num_positions > MAX_POSITIONS {
            return exec_err!(
                "the layers' fan-in in run.json is {num_positions} together, of which no more than \
                 {MAX_POSITIONS} can be shown by connection"
            );
        }
        Ok(Self {
            layers: layers
                .map(|layer| (layer.layer.as_str().to_owned(), spell_out(topology, layer)))
                .collect(),
        })
    }

    pub(crate) fn layer(&self, name: &str) -> Option<&LayerSources> {
        self.layers.get(name)
    }
}

impl LayerSources {
    /// Refuses a row of `layer` that has another number of weights than the topology says.
    pub(crate) fn check(&self, layer: &str, num_weights: usize) -> Result<()> {
        if num_weights == self.fan_in {
            return Ok(());
        }
        exec_err!(
            "a neuron of layer {layer:?} has {num_weights} weights, its fan-in in run.json is {}",
            self.fan_in
        )
    }
}

fn spell_out(topology: &Topology, layer: &Layer) -> LayerSources {
    let fan_in = layer.fan_in as usize;
    let Some(ranges) = &layer.source else {
        return LayerSources {
            fan_in,
            name: StringArray::new_null(fan_in),
            input: Int32Array::new_null(fan_in),
            neuron: Int32Array::new_null(fan_in),
        };
    };
    let mut inputs = Vec::with_capacity(fan_in);
    let mut neurons = Vec::with_capacity(fan_in);
    for range in ranges {
        let first_neuron = match &range.from {
            Source::Input => None,
            Source::Layer(from) => {
                let from = topology.layer(from.as_str());
                Some(from.expect("a topology names its own layers").first_neuron)
            }
        };
        for unit in range.units() {
            let unit = unit.cast_signed();
            inputs.push(first_neuron.is_none().then_some(unit));
            neurons.push(first_neuron.map(|first| first + unit));
        }
    }
    let names = inputs.iter().zip(&neurons).map(|source| match source {
        (Some(input), _) => Some(format!("input_{input}")),
        (None, Some(neuron)) => Some(format!("n_{neuron}")),
        (None, None) => None,
    });
    LayerSources {
        fan_in,
        name: StringArray::from_iter(names),
        input: Int32Array::from(inputs),
        neuron: Int32Array::from(neurons),
    }
}
