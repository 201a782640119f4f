//! Which neurons go with which class.

use std::collections::BTreeMap;

use trace::Table;

use super::asked::Asked;
use super::error::PlotError;
use super::rows::{floats, integers};
use crate::chart::{Axis, Cells, Chart, ColourScale, Content, Panel, Ticks};

pub(super) const PARAMETERS: &[&str] = &[
    "epoch Int32{<epoch>,first,last} = last: the epoch",
    "layer Utf8{<layer>,first,last} = NULL: this layer alone; by default all but the output layer",
    "top Int64{1..} = 40: how many neurons are shown: those that go with a class most strongly",
    "chosen Int32{<epoch>,first,last} = NULL: the epoch that says which neurons are shown; by default the epoch itself",
    "permutations Int32{0..1000000} = 200: how many permutations chance is judged by; with 0 it is not judged",
];

/// From which corrected p-value on something is called chance.
pub(crate) const CHANCE: f64 = 0.05;

/// A neuron's scores by class; none where there is no score.
pub(super) struct Profile {
    neuron: i64,
    scores: Vec<Option<f64>>,
    /// Whether chance takes a neuron that far.
    by_chance: Vec<bool>,
}

impl Profile {
    /// The class that it goes with most strongly, and how strongly.
    fn best(&self) -> Option<(usize, f64)> {
        let scores = self.scores.iter().enumerate();
        let scores = scores.filter_map(|(class, score)| Some((class, (*score)?)));
        scores.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The class that it goes with most strongly, unless chance takes a neuron that far.
    pub(super) fn class(&self) -> Option<usize> {
        let (class, _) = self.best()?;
        (!self.by_chance[class]).then_some(class)
    }

    fn shown(self) -> Vec<Option<f64>> {
        let scores = self.scores.into_iter().zip(self.by_chance);
        scores
            .map(|(score, by_chance)| score.filter(|_| !by_chance))
            .collect()
    }
}

pub(super) async fn chart(asked: &Asked<'_>) -> Result<Chart, PlotError> {
    let epoch = asked.epoch()?;
    let top = asked.count("top")?;
    let permutations = asked.number("permutations").unwrap_or(0);
    let mut profiles = profiles(asked, epoch, permutations).await?;
    let num_neurons = profiles.len();
    let num_constant = profiles
        .values()
        .filter(|profile| profile.best().is_none())
        .count();
    let mut chosen = asked.number("chosen").filter(|&chosen| chosen != epoch);
    let mut shown = match chosen {
        None => Vec::new(),
        Some(chosen) => strongest(&self::profiles(asked, chosen, 0).await?, top),
    };
    // Where nothing has a score there, as where the network takes all samples for one class.
    if shown.is_empty() {
        chosen = None;
        shown = strongest(&profiles, top);
    }
    let profiles: Vec<Profile> = shown
        .iter()
        .filter_map(|neuron| profiles.remove(neuron))
        .collect();
    if profiles.is_empty() {
        return Err(PlotError::NotRecorded {
            kind: asked.kind.name(),
            what: format!("neurons that can go with a class at epoch {epoch}"),
            remedy: format!(
                "each of {num_neurons} has the same activation for every sample, or the network takes all samples \
                 for one class; look at another epoch"
            ),
        });
    }
    let num_classes = profiles[0].scores.len();

    let mut notes = vec![
        "A cell is the correlation, over the held-out samples, of the neuron's activation with whether the \
         network takes the sample for the class."
            .to_owned(),
    ];
    if permutations > 0 {
        notes.push(format!(
            "Grey cells are not told from chance: p is {CHANCE} or more by {permutations} permutations, \
             corrected for all neurons and classes; or the neuron has the same activation for every sample."
        ));
    }
    let num_left = match chosen {
        None => num_neurons - num_constant,
        Some(_) => num_neurons,
    };
    if profiles.len() < num_left {
        let of_epoch = chosen.map_or_else(String::new, |chosen| format!(" of epoch {chosen}"));
        notes.push(format!(
            "{} of {num_neurons} neurons: those with the highest correlations{of_epoch}, by the class of the \
             highest.",
            profiles.len()
        ));
    }
    if num_constant > 0 {
        notes.push(format!(
            "{num_constant} of {num_neurons} neurons have the same activation for every sample{}.",
            if chosen.is_none() {
                " and are not shown"
            } else {
                ""
            }
        ));
    }
    let names = profiles
        .iter()
        .map(|profile| asked.neuron_name(profile.neuron));
    let names = names.collect();
    let classes = (0..num_classes)
        .map(|class| asked.class_name(class))
        .collect();
    Ok(Chart {
        title: format!("Which neurons go with which class, epoch {epoch}"),
        subtitle: asked.subtitle(&[]),
        panels: vec![Panel {
            title: None,
            x: Axis::names("class", classes),
            y: Axis::names("neuron", names),
            content: Content::Cells(Cells {
                values: profiles.into_iter().map(Profile::shown).collect(),
                texts: None,
                scale: ColourScale::Diverging,
                beyond: None,
                legend: "correlation".to_owned(),
                ticks: Ticks::Numbers,
            }),
        }],
        notes,
    })
}

/// The scores at an epoch of every neuron of the parameter `layer`, or of all that are no outputs.
///
/// # Errors
/// If there are no values of activations, or no classes.
pub(super) async fn profiles(
    asked: &Asked<'_>,
    epoch: i64,
    permutations: i64,
) -> Result<BTreeMap<i64, Profile>, PlotError> {
    let mut arguments = vec![
        ("epoch", epoch.to_string()),
        ("top", "all".to_owned()),
        ("permutations", permutations.to_string()),
    ];
    if let Some(layer) = asked.text("layer") {
        arguments.push(("layer", layer.to_owned()));
    }
    let rows = asked.named("structure_scores", &arguments).await?;
    let (neurons, classes) = (integers(&rows, "neuron"), integers(&rows, "class"));
    if neurons.is_empty() {
        let topology = &asked.info().layers;
        if topology.hidden_layers().next().is_none() {
            return Err(PlotError::NotRecorded {
                kind: asked.kind.name(),
                what: "hidden neurons".to_owned(),
                remedy: "its network has no layer but its outputs".to_owned(),
            });
        }
        let has = |table| asked.session.run().has_files(table, |_, _| true);
        let has_classes = has(Table::Classifications) && !asked.info().class_names.is_empty();
        return Err(match has(Table::Activations) && !has_classes {
            true => {
                let remedy = "`recorder train --record classifications` records them, where targets are classes";
                asked.nothing_of(Table::Classifications, "classifications", remedy)
            }
            false => {
                let remedy = "`recorder train --record activations --activations raw` records them";
                asked.nothing_of(Table::Activations, "values of activations", remedy)
            }
        });
    }
    let highest = classes.iter().copied().max().unwrap_or(0);
    let num_classes = asked.info().class_names.len().max(highest as usize + 1);
    let (scores, p_values) = (floats(&rows, "score"), floats(&rows, "p_value"));
    let mut profiles: BTreeMap<i64, Profile> = BTreeMap::new();
    for (row, &neuron) in neurons.iter().enumerate() {
        let profile = profiles.entry(neuron).or_insert_with(|| Profile {
            neuron,
            scores: vec![None; num_classes],
            by_chance: vec![false; num_classes],
        });
        let class = classes[row] as usize;
        profile.scores[class] = scores[row];
        profile.by_chance[class] = p_values[row].is_some_and(|p| p >= CHANCE);
    }
    Ok(profiles)
}

/// The `top` neurons that go with a class most strongly, class by class, so that what belongs together is
/// seen together.
fn strongest(profiles: &BTreeMap<i64, Profile>, top: usize) -> Vec<i64> {
    let best = profiles
        .values()
        .filter_map(|profile| Some((profile.neuron, profile.best()?)));
    let mut best: Vec<(i64, (usize, f64))> = best.collect();
    best.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    best.truncate(top);
    best.sort_by(|(_, a), (_, b)| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    best.into_iter().map(|(neuron, _)| neuron).collect()
}
