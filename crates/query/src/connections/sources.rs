//! Where each position of a layer's rows comes from, spelled out once a layer.

use std::collections::HashMap;

use arrow::array::{Int32Array, StringArray};
use trace::{Layer, Source, Topology};

/// The sources of every layer.
#[derive(Debug)]
pub(super) struct Sources {
    layers: HashMap<String, LayerSources>,
}

/// One element a position. All null where the topology does not know.
#[derive(Debug)]
pub(super) struct LayerSources {
    pub(super) fan_in: usize,
    pub(super) name: StringArray,
    pub(super) input: Int32Array,
    pub(super) neuron: Int32Array,
}

impl Sources {
    pub(super) fn new(topology: &Topology) -> Self {
        let layers = topology.layers().iter();
        Self {
            layers: layers
                .map(|layer| (layer.layer.as_str().to_owned(), spell_out(topology, layer)))
                .collect(),
        }
    }

    pub(super) fn layer(&self, name: &str) -> Option<&LayerSources> {
        self.layers.get(name)
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
