//! What a run has that parameters name: its epochs, classes, outputs, layers, neurons and samples.

use std::collections::BTreeSet;

use glob::{MatchOptions, Pattern};
use words::{closest, did_you_mean};

use crate::run::captured::describe_missing;
use crate::run::error::QueryError;
use crate::run::snapshot::Snapshot;

/// A set of things of a run, each of which is a value of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunSet {
    /// Epochs that were captured.
    Epoch,
    /// Epochs that were captured, or of which there are metrics.
    ReportedEpoch,
    /// Classes, by number or name.
    Class,
    /// Outputs of the network, by number or the name of their class.
    Output,
    /// One layer.
    Layer,
    /// Any number of layers: one by its name, or those that a glob fits.
    Layers,
    /// One neuron.
    Neuron,
    /// Neurons, as `3,7,120`.
    Neurons,
    /// A held-out sample.
    Sample,
}

/// Labels are unique without regard to case.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: false,
    require_literal_separator: false,
    require_literal_leading_dot: false,
};

/// An error lists this many names.
const MAX_TOLD: usize = 20;

impl RunSet {
    const ALL: [Self; 9] = [
        Self::Epoch,
        Self::ReportedEpoch,
        Self::Class,
        Self::Output,
        Self::Layer,
        Self::Layers,
        Self::Neuron,
        Self::Neurons,
        Self::Sample,
    ];

    /// As a header names it, between `<` and `>`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Epoch => "epoch",
            Self::ReportedEpoch => "reported epoch",
            Self::Class => "class or name",
            Self::Output => "output or name",
            Self::Layer => "layer",
            Self::Layers => "layer or glob",
            Self::Neuron => "neuron",
            Self::Neurons => "neurons",
            Self::Sample => "sample",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name)
    }

    /// What one of it is, in an error.
    pub(super) fn one(self) -> &'static str {
        match self {
            Self::Epoch => "an epoch that was captured",
            Self::ReportedEpoch => "an epoch that was reported",
            Self::Class => "a class",
            Self::Output => "an output",
            Self::Layer => "a layer",
            Self::Layers => "a layer, a glob of layers",
            Self::Neuron => "a neuron",
            Self::Neurons => "neurons as 3,7,120",
            Self::Sample => "a held-out sample",
        }
    }
}

/// A run as parameters see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownRun<'a> {
    pub(crate) snapshot: &'a Snapshot,
    /// Whether the untrained network, epoch -1, is among what is asked.
    pub(crate) initial: bool,
}

impl<'a> KnownRun<'a> {
    /// The epoch of that number.
    ///
    /// # Errors
    /// If it was not captured; the error names the nearest that were.
    pub(super) fn epoch(&self, epoch: i32, is_reported: bool) -> Result<i32, String> {
        if epoch < 0 {
            return match self.snapshot.capture_of(epoch) {
                Some(_) if self.initial => Ok(epoch),
                Some(_) => Err(format!(
                    "is {epoch}, the untrained network, which is left out unless initial=true"
                )),
                None => Err(format!(
                    "is {epoch}, and the untrained network was not captured"
                )),
            };
        }
        let mut captured = self.snapshot.captured_epochs();
        if is_reported || captured.is_empty() {
            let reported = self.snapshot.epochs_of_files().filter(|epoch| *epoch >= 0);
            let all: BTreeSet<i32> = reported.chain(captured).collect();
            captured = all.into_iter().collect();
        }
        match captured.binary_search(&epoch) {
            Ok(_) => Ok(epoch),
            Err(_) => {
                let what = match is_reported {
                    true => "of which nothing was reported",
                    false => "which was not captured",
                };
                Err(format!(
                    "is {epoch}, {what}: {}",
                    describe_missing(epoch, &captured)
                ))
            }
        }
    }

    /// The number of the class of that number or name.
    pub(crate) fn class(&self, text: &str) -> Result<i32, String> {
        // How many there are is not known where they have no names, as of an imported run.
        let names = &self.snapshot.run().info().class_names;
        let count = (!names.is_empty()).then_some(names.len());
        numbered(text, ("class", "classes"), names, count)
    }

    /// The number of the output of that number or class.
    pub(super) fn output(&self, text: &str) -> Result<i32, String> {
        let output = self.snapshot.topology().output_layer();
        let count = output.map(|layer| layer.num_units as usize);
        let names = &self.snapshot.run().info().class_names;
        let names: &[String] = match count == Some(names.len()) {
            true => names,
            false => &[],
        };
        numbered(text, ("output", "outputs"), names, count)
    }

    /// The layers that a name, `first`, `last` or a glob stands for.
    pub(super) fn layers(&self, text: &str) -> Result<Vec<&'a str>, QueryError> {
        let layers = self.snapshot.topology().layers();
        let names = || layers.iter().map(|layer| layer.layer.as_str());
        let is_glob = text.contains(['*', '?', '[']);
        if !is_glob || names().any(|name| name == text) {
            return Ok(vec![self.snapshot.known_layer(text)?]);
        }
        let bad = |problem: String| QueryError::BadParameter {
            name: "layer".to_owned(),
            problem: format!("is {text:?}, {problem}"),
        };
        let pattern = Pattern::new(text)
            .map_err(|error| bad(format!("which is no glob of layers: {error}")))?;
        let found: Vec<&str> = names()
            .filter(|name| pattern.matches_with(name, MATCHING))
            .collect();
        match found.is_empty() {
            false => Ok(found),
            true => Err(bad(format!(
                "which fits no layer of this run (layers: {})",
                names().collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    /// The neuron of that id.
    pub(super) fn neuron(&self, neuron: i32) -> Result<i32, String> {
        let count = self.snapshot.topology().num_neurons();
        match (0..count).contains(&neuron) {
            true => Ok(neuron),
            false => Err(format!(
                "is {neuron}, the neurons are {}",
                numbers(count as usize)
            )),
        }
    }

    /// Neurons by their ids, with commas between them.
    pub(super) fn neurons(&self, text: &str) -> Result<String, String> {
        let ids = text.split(',').map(|id| {
            let id = id.trim().parse::<i32>().map_err(|_| {
                format!(
                    "is {text:?}: expected the numbers of neurons with commas between them, as \
                     3,7,120"
                )
            })?;
            // The dimensions of an embedding are neurons that activate, beyond those with weights.
            let activates = id >= 0 && self.snapshot.topology().layer_of(id).is_some();
            let id = if activates { id } else { self.neuron(id)? };
            Ok::<_, String>(id.to_string())
        });
        Ok(ids.collect::<Result<Vec<_>, _>>()?.join(","))
    }

    /// The held-out sample at that place.
    pub(super) fn sample(&self, sample: i64) -> Result<i64, String> {
        let dataset = self.snapshot.run().info().dataset.as_ref();
        let count = dataset.map(|dataset| dataset.num_held_out);
        let is_sample =
            u64::try_from(sample).is_ok_and(|sample| count.is_none_or(|count| sample < count));
        match is_sample {
            true => Ok(sample),
            false => Err(format!(
                "is {sample}, the held-out samples are {}",
                count.map_or_else(|| "from 0 on".to_owned(), |count| numbers(count as usize))
            )),
        }
    }
}

/// One of `count` things that are numbered from 0, of which some or all have names.
fn numbered(
    text: &str,
    (one, all): (&str, &str),
    names: &[String],
    count: Option<usize>,
) -> Result<i32, String> {
    let named = names.iter().position(|name| name == text);
    if let Ok(number) = text.parse::<i32>() {
        let is_one = usize::try_from(number).is_ok_and(|n| count.is_none_or(|count| n < count));
        if is_one {
            return Ok(number);
        }
        let range = count.map_or_else(|| "counted from 0".to_owned(), numbers);
        let meant = match named {
            Some(place) => format!("; the one that is called {text:?} is {place}"),
            None => String::new(),
        };
        return Err(format!("is {number}, the {all} are {range}{meant}"));
    }
    if let Some(place) = named {
        return i32::try_from(place).map_err(|error| error.to_string());
    }
    let suggested = did_you_mean(closest(text, names.iter().map(String::as_str)));
    // A name that is the number says nothing more.
    let names = names.iter().enumerate();
    let names = names.filter(|(place, name)| place.to_string() != **name);
    let mut names: Vec<String> = names
        .map(|(_, name)| name.clone())
        .take(MAX_TOLD + 1)
        .collect();
    if names.len() > MAX_TOLD {
        names[MAX_TOLD] = "...".to_owned();
    }
    let told: Vec<String> = count.map(numbers).into_iter().chain(names).collect();
    let told = match told.is_empty() {
        true => String::new(),
        false => format!(" ({all}: {})", told.join(", ")),
    };
    Err(format!(
        "is {text:?}, which is no {one} of this run{suggested}{told}"
    ))
}

/// The numbers of so many things.
fn numbers(count: usize) -> String {
    match count {
        0 => "none".to_owned(),
        count => format!("0 to {}", count - 1),
    }
}

#[cfg(test)]
mod tests;
