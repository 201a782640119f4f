//! Structures of neurons that somebody names.

use sql::{QueryError, Run, describe_captured};
use words::{NeuronName, describe_hidden_neurons};

use super::{Structure, StructureError, StructureNeuron};

/// Neurons that somebody names as a structure.
#[derive(Debug, Clone)]
pub struct LabelOptions {
    /// The structure's name.
    pub name: String,
    /// Its neurons; one that is named twice is one.
    pub neurons: Vec<NeuronName>,
    /// The class that they go with, by its number or name, where that is said.
    pub class: Option<String>,
    /// The first epoch for which they belong to it; none for the first that was captured.
    pub first_epoch: Option<i32>,
    /// The last one; none for the last that was captured.
    pub last_epoch: Option<i32>,
}

/// A structure of neurons that somebody names, to be kept with [`keep_structures`](super::keep_structures).
///
/// # Errors
/// If no neurons are named, the network has no such neuron or class, or none of the epochs was captured.
pub fn named_structure(run: &Run, options: &LabelOptions) -> Result<Structure, StructureError> {
    if options.neurons.is_empty() {
        return Err(StructureError::NoNeurons);
    }
    let info = run.info();
    let num_classes = num_classes(run);
    let is_class = |class: i32| {
        usize::try_from(class).is_ok_and(|class| num_classes == 0 || class < num_classes)
    };
    let class = match options.class.as_deref().map(|class| (class, class.parse())) {
        None => None,
        Some((_, Ok(class))) if is_class(class) => Some(class),
        Some((_, Ok(class))) => {
            return Err(StructureError::NoSuchClass { class, num_classes });
        }
        Some((name, Err(_))) => Some(run.class(name)?),
    };
    let captured = run.captured_epochs();
    let (Some(&oldest), Some(&newest)) = (captured.first(), captured.last()) else {
        return Err(QueryError::NothingCaptured.into());
    };
    let first_epoch = options.first_epoch.unwrap_or(oldest);
    let last_epoch = options.last_epoch.unwrap_or(newest);
    let among = captured.iter().rev();
    let last = among
        .copied()
        .find(|epoch| (first_epoch..=last_epoch).contains(epoch));
    let capture = last.and_then(|epoch| run.capture_of(epoch));
    let capture = capture.ok_or_else(|| StructureError::NotCaptured {
        epochs: match (options.first_epoch, options.last_epoch) {
            (Some(first), None) => format!("from {first} on"),
            (None, _) => format!("up to {last_epoch}"),
            (Some(first), Some(last)) => format!("from {first} to {last}"),
        },
        captured: describe_captured(&captured),
    })?;
    let neurons = options.neurons.iter().map(|name| {
        let layer = name.find(&info.layers);
        let layer = layer.map_err(|problem| StructureError::UnknownNeuron {
            problem,
            valid: describe_hidden_neurons(&info.layers),
        })?;
        let output = info.layers.output_layer();
        if output.is_some_and(|output| output.layer_index == layer.layer_index) {
            return Err(StructureError::Output(name.neuron));
        }
        Ok(StructureNeuron {
            layer: layer.layer.to_string(),
            neuron: name.neuron,
            first_epoch,
            last_epoch,
            score: None,
            p_value: None,
        })
    });
    let mut neurons = neurons.collect::<Result<Vec<_>, StructureError>>()?;
    neurons.sort_by_key(|neuron| neuron.neuron);
    neurons.dedup_by_key(|neuron| neuron.neuron);
    Ok(Structure {
        name: options.name.clone(),
        class,
        capture,
        neurons,
        found: None,
    })
}

/// How many classes the network can tell apart; 0 where that is not known.
fn num_classes(run: &Run) -> usize {
    let info = run.info();
    let of_names = info.class_names.len();
    if of_names > 0 {
        return of_names;
    }
    // Where a forward pass was seen, the last layer is the output. A single output tells two classes apart.
    let output = info.layers.output_layer();
    let output = output.filter(|layer| layer.source.is_some());
    output.map_or(0, |layer| layer.num_units.max(2) as usize)
}
