//! Structures, for Python.

use pyo3::prelude::*;
use studies::{Structure, StructureNeuron};

/// A neuron of a structure: its layer, its id across the network, its number in its layer, the first and last
/// epoch for which it belongs to it, how strongly it goes with the class, and how likely chance takes any
/// neuron that far.
pub(super) type ToldNeuron = (String, i32, Option<u32>, i32, i32, Option<f64>, Option<f64>);

/// A structure: its name, class, epoch and neurons.
pub(super) type ToldStructure = (String, Option<i32>, i32, Vec<ToldNeuron>);

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

/// Which unit of its layer a neuron is, which need not have recorded all of them.
pub(super) fn unit(run: &sql::Run, neuron: i32) -> Option<u32> {
    let layer = run.info().layers.layer_of(neuron)?;
    let place = usize::try_from(neuron - layer.neurons().start).ok()?;
    layer.units().nth(place)
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
