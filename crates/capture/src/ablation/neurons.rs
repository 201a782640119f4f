//! Which neurons are silenced, and what is known of them.

use std::ops::Range;

use analysis::Half;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type};
use trace::{DerivedError, Epoch, RunDir, Table, Topology, read_derived};
use words::{NeuronName, UnknownNeuronError, closest, describe_hidden_neurons, did_you_mean};

/// What is to be silenced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChosenNeurons {
    /// Neurons by their names.
    Named(Vec<NeuronName>),
    /// The structure of that name in the table `structures`: its neurons at the epoch.
    Structure(String),
}

/// Neurons of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerNeurons {
    /// The layer's label.
    pub layer: String,
    /// Its position in the topology.
    pub layer_index: usize,
    /// How many units it has.
    pub num_units: usize,
    /// The id of its first neuron.
    pub first_neuron: i32,
    /// Those that are meant, ascending.
    pub units: Vec<usize>,
}

impl LayerNeurons {
    /// Their ids across the network, ascending.
    pub fn neurons(&self) -> impl Iterator<Item = i32> + '_ {
        let id = |&unit: &usize| self.first_neuron + unit as i32;
        self.units.iter().map(id)
    }
}

/// Why neurons cannot be silenced.
#[derive(Debug, thiserror::Error)]
pub enum NeuronsError {
    /// None were named.
    #[error("no neurons were named: {0}")]
    None(String),
    /// The network has no such neuron.
    #[error("{problem}: {valid}")]
    Unknown {
        /// What is wrong with its name.
        problem: UnknownNeuronError,
        /// Which can be silenced.
        valid: String,
    },
    /// The units of the output layer are the outputs themselves.
    #[error(
        "neuron {neuron} is an output of the network (layer {layer}), and silencing it says nothing: {valid}"
    )]
    Output {
        /// The neuron.
        neuron: i32,
        /// The output layer.
        layer: String,
        /// Which can be silenced.
        valid: String,
    },
    /// Of an embedding a token has weights, and a dimension says something.
    #[error(
        "neuron {neuron} is a token of the embedding {layer}, which says nothing by itself: its \
         dimensions are {} to {}",
        .dimensions.start,
        .dimensions.end - 1
    )]
    Token {
        /// The neuron.
        neuron: i32,
        /// The embedding.
        layer: String,
        /// The ids of its dimensions.
        dimensions: Range<i32>,
    },
    /// There is nothing to compare with.
    #[error(
        "all {num_units} neurons of layer {layer} would be silenced, which leaves no others to \
         compare with: name fewer, or say --draws 0"
    )]
    WholeLayer {
        /// The layer.
        layer: String,
        /// How many it has.
        num_units: usize,
    },
    /// There is no such structure.
    #[error("there is no structure {name:?}: {known}")]
    NoSuchStructure {
        /// The name.
        name: String,
        /// Which there are.
        known: String,
    },
    /// The structure has no neurons at the epoch.
    #[error(
        "structure {name:?} has no neurons at epoch {epoch}: they belong to it at epochs {epochs}"
    )]
    NotThen {
        /// The structure.
        name: String,
        /// The epoch.
        epoch: Epoch,
        /// When it has some.
        epochs: String,
    },
    /// The table of structures cannot be read.
    #[error(transparent)]
    Structures(#[from] DerivedError),
}

/// Neurons that are to be silenced.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    /// By layer, in the topology's order.
    pub(super) layers: Vec<LayerNeurons>,
    pub(super) name: Option<String>,
    pub(super) class: Option<i32>,
    /// The samples that the structure was found on.
    pub(super) found_on: Option<Half>,
    pub(super) seed: Option<u64>,
}

/// Finds the neurons, and makes sure that they can be silenced and compared with others.
pub(super) fn choose(
    run: &RunDir,
    epoch: Epoch,
    neurons: &ChosenNeurons,
    num_draws: usize,
) -> Result<Chosen, NeuronsError> {
    let (found, names) = match neurons {
        ChosenNeurons::Named(names) => (Found::default(), names.clone()),
        ChosenNeurons::Structure(name) => find_structure(run, epoch, name)?,
    };
    let layers = by_layer(&run.info().layers, names)?;
    let whole = layers
        .iter()
        .find(|layer| layer.units.len() == layer.num_units);
    if let Some(layer) = whole
        && num_draws > 0
    {
        return Err(NeuronsError::WholeLayer {
            layer: layer.layer.clone(),
            num_units: layer.num_units,
        });
    }
    Ok(Chosen {
        layers,
        name: match neurons {
            ChosenNeurons::Named(_) => None,
            ChosenNeurons::Structure(name) => Some(name.clone()),
        },
        class: found.class,
        found_on: found.half,
        seed: found.seed,
    })
}

fn by_layer(
    topology: &Topology,
    names: Vec<NeuronName>,
) -> Result<Vec<LayerNeurons>, NeuronsError> {
    let chosen = neurons_by_layer(topology, names)?;
    let output = topology.output_layer().map(|layer| layer.layer_index);
    let mut layers = chosen.iter();
    match layers.find(|layer| u32::try_from(layer.layer_index).ok() == output) {
        None => Ok(chosen),
        Some(layer) => Err(NeuronsError::Output {
            neuron: layer.neurons().next().unwrap_or(layer.first_neuron),
            layer: layer.layer.clone(),
            valid: valid_range(topology),
        }),
    }
}

/// Neurons whose values a network's hooks can change, by layer, in the topology's order: of an embedding its
/// dimensions, outputs as well. Which modules have their values is for the network to say.
///
/// # Errors
/// If none is named, or one is none of the network's, or a token.
pub fn neurons_by_layer(
    topology: &Topology,
    mut names: Vec<NeuronName>,
) -> Result<Vec<LayerNeurons>, NeuronsError> {
    if names.is_empty() {
        return Err(NeuronsError::None(valid_range(topology)));
    }
    names.sort_by_key(|name| name.neuron);
    let mut chosen: Vec<LayerNeurons> = Vec::new();
    for name in names {
        let layer = name
            .find(topology)
            .map_err(|problem| NeuronsError::Unknown {
                problem,
                valid: valid_range(topology),
            })?;
        let neuron = name.neuron;
        let layer_index = layer.layer_index as usize;
        // As its activations have it: of an embedding its dimensions.
        let activated = topology.activated(layer_index);
        let activated = activated.as_deref().unwrap_or(layer);
        if !activated.neurons().contains(&neuron) {
            return Err(NeuronsError::Token {
                neuron,
                layer: layer.layer.to_string(),
                dimensions: activated.neurons(),
            });
        }
        let unit = (neuron - activated.first_neuron) as usize;
        match chosen.last_mut() {
            // It may have been named twice.
            Some(last) if last.layer_index == layer_index => {
                if last.units.last() != Some(&unit) {
                    last.units.push(unit);
                }
            }
            _ => chosen.push(LayerNeurons {
                layer: layer.layer.to_string(),
                layer_index,
                num_units: activated.num_units as usize,
                first_neuron: activated.first_neuron,
                units: vec![unit],
            }),
        }
    }
    Ok(chosen)
}

/// Which neurons can be silenced, as people read it.
fn valid_range(topology: &Topology) -> String {
    match describe_hidden_neurons(topology) {
        Some(neurons) => format!("those that can be silenced are {neurons}"),
        None => "the network has no layer but its outputs, so none can be silenced".to_owned(),
    }
}

/// What the table says of a structure.
#[derive(Debug, Default)]
struct Found {
    class: Option<i32>,
    half: Option<Half>,
    seed: Option<u64>,
}

/// The neurons of a structure at an epoch, and what is known of it.
fn find_structure(
    run: &RunDir,
    epoch: Epoch,
    name: &str,
) -> Result<(Found, Vec<NeuronName>), NeuronsError> {
    let mut names: Vec<String> = Vec::new();
    let mut epochs: Vec<(i32, i32)> = Vec::new();
    let (mut found, mut neurons) = (Found::default(), Vec::new());
    for part in read_derived(run, Table::Structures)? {
        let rows = &part.rows;
        let of_rows = rows["name"].as_string::<i32>();
        let int = |column: &str| rows[column].as_primitive::<Int32Type>().clone();
        let (first, last) = (int("first_epoch"), int("last_epoch"));
        let (neuron, class) = (int("neuron"), int("class"));
        let layer = rows["layer"].as_string::<i32>();
        let half = rows["half"].as_string::<i32>();
        let seed = rows["seed"].as_primitive::<Int64Type>();
        for row in 0..rows.num_rows() {
            names.push(of_rows.value(row).to_owned());
            if of_rows.value(row) != name {
                continue;
            }
            epochs.push((first.value(row), last.value(row)));
            if !(first.value(row)..=last.value(row)).contains(&epoch.0) {
                continue;
            }
            neurons.push(NeuronName {
                layer: Some(layer.value(row).to_owned()),
                neuron: neuron.value(row),
            });
            found = Found {
                class: class.is_valid(row).then(|| class.value(row)),
                half: half
                    .is_valid(row)
                    .then(|| half.value(row).parse().ok())
                    .flatten(),
                seed: seed.is_valid(row).then(|| seed.value(row).cast_unsigned()),
            };
        }
    }
    if epochs.is_empty() {
        names.sort_unstable();
        names.dedup();
        return Err(NeuronsError::NoSuchStructure {
            name: name.to_owned(),
            known: known_names(name, &names),
        });
    }
    if neurons.is_empty() {
        epochs.sort_unstable();
        epochs.dedup();
        let ranges: Vec<String> = epochs
            .iter()
            .map(|(first, last)| format!("{first} to {last}"))
            .collect();
        return Err(NeuronsError::NotThen {
            name: name.to_owned(),
            epoch,
            epochs: ranges.join(", "),
        });
    }
    Ok((found, neurons))
}

/// How many names of structures an error tells.
const MAX_NAMES: usize = 20;

fn known_names(name: &str, names: &[String]) -> String {
    if names.is_empty() {
        return "the run has none; `query structures find` looks for some".to_owned();
    }
    let more = match names.len().saturating_sub(MAX_NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let told = names[..names.len().min(MAX_NAMES)].join(", ");
    let similar = did_you_mean(closest(name, names.iter().map(String::as_str)));
    format!("there are {told}{more}{similar}")
}

#[cfg(test)]
mod tests;
