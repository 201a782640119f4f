//! Structures, for Python.

use capture::LayerNeurons;
use pyo3::prelude::*;
use studies::{Structure, StructureNeuron};

/// A neuron of a structure: its layer, its id across the network, its number in its layer, the first and last
/// epoch for which it belongs to it, how strongly it goes with the class, and how likely chance takes any
/// neuron that far.
pub(super) type ToldNeuron = (String, i32, Option<u32>, i32, i32, Option<f64>, Option<f64>);

/// A structure: its name, class, epoch and neurons.
pub(super) type ToldStructure = (String, Option<i32>, i32, Vec<ToldNeuron>);

/// How well the neurons of a structure tell its class together: the epoch, the half of the samples, the share
/// that is right, that of the larger side, and the area under the curve.
pub(super) type ToldPower = (i32, String, f64, f64, f64);

/// As Python gets it.
pub(super) fn told(run: &sql::Run, structure: &Structure) -> ToldStructure {
    let neurons = structure.neurons.iter();
    (
        structure.name.clone(),
        structure.class,
        structure.capture.epoch.0,
        neurons.map(|neuron| told_neuron(run, neuron)).collect(),
    )
}

fn told_neuron(run: &sql::Run, neuron: &StructureNeuron) -> ToldNeuron {
    (
        neuron.layer.clone(),
        neuron.neuron,
        unit(run, neuron.neuron),
        neuron.first_epoch,
        neuron.last_epoch,
        neuron.score,
        neuron.p_value,
    )
}

/// Which unit of its layer a neuron is; of an embedding, which of its dimensions, or tokens.
pub(super) fn unit(run: &sql::Run, neuron: i32) -> Option<u32> {
    let topology = &run.info().layers;
    let layer = topology.layer_of(neuron)?;
    let activated = topology.activated(layer.layer_index as usize)?;
    let ids = [activated.neurons(), layer.neurons()];
    let of = ids.into_iter().find(|ids| ids.contains(&neuron))?;
    u32::try_from(neuron - of.start).ok()
}

/// The neurons that somebody names, each by its number or with its layer.
///
/// # Errors
/// If one is not named so.
pub(super) fn neurons(names: &[String]) -> PyResult<Vec<words::NeuronName>> {
    let names = names.iter();
    names
        .map(|name| super::arguments::parsed("neurons", name))
        .collect()
}

/// A layer's label, the units of it that are silenced, and how many it has.
pub(super) type ToldLayer = (String, Vec<usize>, usize);

/// A layer as Python gets it.
pub(super) fn told_layer(layer: &LayerNeurons) -> ToldLayer {
    (layer.layer.clone(), layer.units.clone(), layer.num_units)
}
