//! Which neurons became what, and when: what a run says of it.

mod wording;

use std::collections::{BTreeMap, BTreeSet};

use analysis::JointPower;
use studies::structure_power;

use super::answers::{Answer, Film, Source, answer};
use super::error::{ReportError, Result};
use super::section::Section;
use crate::plot::PlotKind;
use crate::plot::association::CHANCE;
use crate::plot::rows::{floats, integers, texts};

pub(super) use wording::HEADING;

/// How many neurons of each class are told.
const PER_CLASS: usize = 3;

/// Of how many neurons of each class it is told whether they were among them before.
const RANKED: u32 = 5;

/// How many changes and chains of weights are told.
const MAX_ROWS: usize = 10;

/// More neurons than this are placed at the last epoch alone: it takes seconds an epoch.
const MAX_FILMED: u32 = 1000;

/// How many structures are told.
const MAX_STRUCTURES: usize = 40;

pub(super) async fn section(source: &Source<'_>) -> Result<Section> {
    Ok(wording::section(found(source).await?))
}

/// What the section tells.
struct Found {
    /// How many permutations chance is judged by.
    permutations: u32,
    /// What is told by classes; none of a run without them.
    by_class: Option<ByClass>,
    connections: Answer<Connections>,
}

/// What neurons have to do with the classes.
struct ByClass {
    association: Film,
    /// Which neuron goes with which class; none where that is not known.
    roles: Option<Roles>,
    structures: Answer<Structures>,
}

/// Which neurons go with which class, and since when.
struct Roles {
    strongest: Answer<Vec<Strongest>>,
    counts: Answer<Option<Counts>>,
    steadiness: Answer<Option<Steadiness>>,
    changes: Answer<Option<Changes>>,
    /// Neurons as points.
    alike: Film,
    /// Whether that is at each of the slider's epochs, or at the last alone.
    is_filmed: bool,
}

/// The strongest neurons of a class at the last epoch, the strongest first.
struct Strongest {
    class: String,
    neurons: Vec<Onset>,
}

/// A neuron that goes with a class.
struct Onset {
    neuron: i64,
    layer: String,
    /// The first epoch from which on it does.
    since: i64,
    score: Option<f64>,
}

/// How many neurons go with each class, epoch by epoch.
struct Counts {
    epochs: Vec<i32>,
    classes: Vec<String>,
    /// By class and epoch.
    neurons: Vec<Vec<u32>>,
}

/// How far the strongest neurons of a class are those of the capture before, on the mean over the classes.
struct Steadiness {
    first: Kept,
    last: Kept,
    /// How many neurons there are to choose among.
    neurons: f64,
}

/// How many of the strongest neurons had been among them.
struct Kept {
    epoch: i64,
    kept: f64,
}

/// Neurons that went over to another class.
struct Changes {
    num_neurons: u64,
    /// The latest, which is what became of them.
    latest: Vec<Change>,
}

/// A neuron that went over to another class.
struct Change {
    epoch: i64,
    neuron: i64,
    layer: String,
    from_class: String,
    to_class: String,
    correlation: Option<f64>,
}

/// The named sets of neurons that the run keeps.
struct Structures {
    num_kept: usize,
    /// The first of them.
    shown: Vec<Structure>,
}

/// A named set of neurons.
struct Structure {
    name: String,
    class: Option<String>,
    neurons: Vec<i64>,
    epoch: i64,
    since: Option<i64>,
    /// The samples that chose them; none where somebody did.
    half: Option<String>,
    highest_score: Option<f64>,
    largest_p: Option<f64>,
    /// How well they tell their class together; none of neurons without activations, or of too many.
    power: Option<JointPower>,
}

/// The strongest connections, and the strongest chains of them.
struct Connections {
    network: Film,
    chains: Vec<Chain>,
}

/// A chain of weights from an input to an output.
struct Chain {
    rank: i64,
    output: String,
    /// The product of the weights.
    strength: Option<f64>,
    path: String,
}

async fn found(source: &Source<'_>) -> Result<Found> {
    let by_class = match source.has_classes() {
        true => Some(by_class(source).await?),
        false => None,
    };
    Ok(Found {
        permutations: source.options.permutations,
        by_class,
        connections: answer(connections(source).await)?,
    })
}

async fn by_class(source: &Source<'_>) -> Result<ByClass> {
    let permutations = source.options.permutations.to_string();
    // The same neurons at every epoch, so that one can be watched.
    let last = source.frames.last().map(i32::to_string);
    let chosen = last.as_deref().map(|last| ("chosen", last));
    let mut arguments = vec![("permutations", permutations.as_str())];
    arguments.extend(chosen);
    let association = source.film(PlotKind::Association, &arguments).await?;
    let roles = match association.is_ok() {
        true => Some(roles(source, &permutations).await?),
        false => None,
    };
    Ok(ByClass {
        association,
        roles,
        structures: answer(structures(source).await)?,
    })
}

async fn roles(source: &Source<'_>, permutations: &str) -> Result<Roles> {
    let strongest = answer(strongest(source, permutations).await)?;
    let counts = answer(counts(source, permutations).await)?;
    let steadiness = answer(steadiness(source).await)?;
    let changes = answer(changes(source, permutations).await)?;
    let arguments = [("colour", "class"), ("permutations", permutations)];
    let hidden = source.session.info().layers.hidden_layers();
    let num_hidden: u32 = hidden.map(|layer| layer.num_recorded_units()).sum();
    let is_filmed = num_hidden <= MAX_FILMED;
    let alike = match is_filmed {
        true => source.film(PlotKind::Embedding, &arguments).await?,
        false => source.picture(PlotKind::Embedding, &arguments).await?,
    };
    Ok(Roles {
        strongest,
        counts,
        steadiness,
        changes,
        alike,
        is_filmed,
    })
}

async fn strongest(source: &Source<'_>, permutations: &str) -> Result<Vec<Strongest>> {
    let top = PER_CLASS.to_string();
    let arguments = [("top", top.as_str()), ("permutations", permutations)];
    let rows = source.named("structure_onset", &arguments).await?;
    let (classes, neurons) = (integers(&rows, "class"), integers(&rows, "neuron"));
    let (firsts, layers) = (integers(&rows, "first_epoch"), texts(&rows, "layer"));
    let scores = floats(&rows, "score");
    // The strongest first.
    let mut by_class: BTreeMap<i64, Vec<Onset>> = BTreeMap::new();
    for (row, class) in classes.into_iter().enumerate() {
        by_class.entry(class).or_default().push(Onset {
            neuron: neurons[row],
            layer: layers[row].clone(),
            since: firsts[row],
            score: scores[row],
        });
    }
    let strongest = by_class.into_iter().map(|(class, neurons)| Strongest {
        class: source.class_name(class),
        neurons,
    });
    Ok(strongest.collect())
}

async fn counts(source: &Source<'_>, permutations: &str) -> Result<Option<Counts>> {
    let mut found: BTreeMap<i32, BTreeMap<i64, u32>> = BTreeMap::new();
    let mut classes: BTreeSet<i64> = BTreeSet::new();
    for &epoch in &source.frames {
        let epoch_text = epoch.to_string();
        let arguments = [
            ("epoch", epoch_text.as_str()),
            ("top", "all"),
            ("permutations", permutations),
        ];
        let rows = source.named("structure_scores", &arguments).await?;
        if rows.num_rows() == 0 {
            continue;
        }
        let of_epoch = found.entry(epoch).or_default();
        let (of_rows, scores) = (integers(&rows, "class"), floats(&rows, "score"));
        let p_values = floats(&rows, "p_value");
        for (row, &class) in of_rows.iter().enumerate() {
            classes.insert(class);
            let is_found = p_values[row].is_some_and(|p| p < CHANCE);
            if is_found && scores[row].is_some_and(|score| score > 0.0) {
                *of_epoch.entry(class).or_default() += 1;
            }
        }
    }
    let count = |epoch: &BTreeMap<i64, u32>, class| epoch.get(&class).copied().unwrap_or(0);
    let neurons = classes
        .iter()
        .map(|&class| found.values().map(|epoch| count(epoch, class)).collect());
    let counts = Counts {
        epochs: found.keys().copied().collect(),
        classes: classes
            .iter()
            .map(|&class| source.class_name(class))
            .collect(),
        neurons: neurons.collect(),
    };
    Ok((!found.is_empty()).then_some(counts))
}

async fn steadiness(source: &Source<'_>) -> Result<Option<Steadiness>> {
    let rows = source
        .named("rank_stability", &[("top", &RANKED.to_string())])
        .await?;
    let (epochs, kept) = (integers(&rows, "epoch"), integers(&rows, "kept"));
    let (Some(&first), Some(&last)) = (epochs.first(), epochs.last()) else {
        return Ok(None);
    };
    let mean = |of: i64, values: &[i64]| -> f64 {
        let of_epoch = epochs.iter().zip(values).filter(|&(&epoch, _)| epoch == of);
        let values: Vec<f64> = of_epoch.map(|(_, &value)| value as f64).collect();
        values.iter().sum::<f64>() / values.len().max(1) as f64
    };
    let neurons = mean(last, &integers(&rows, "neurons"));
    // Of few neurons chance keeps most.
    if first == last || neurons < 4.0 * f64::from(RANKED) {
        return Ok(None);
    }
    let kept = |epoch: i64| Kept {
        epoch,
        kept: mean(epoch, &kept),
    };
    Ok(Some(Steadiness {
        first: kept(first),
        last: kept(last),
        neurons,
    }))
}

async fn changes(source: &Source<'_>, permutations: &str) -> Result<Option<Changes>> {
    if source.session.captured_epochs().len() < 2 {
        return Ok(None);
    }
    let arguments = [("permutations", permutations)];
    let rows = source.named("class_changes", &arguments).await?;
    let (epochs, neurons) = (integers(&rows, "epoch"), integers(&rows, "neuron"));
    let [before, after] = ["previous_class", "class"].map(|name| integers(&rows, name));
    let (layers, scores) = (texts(&rows, "layer"), floats(&rows, "correlation"));
    let mut latest: Vec<usize> = (0..rows.num_rows()).collect();
    latest.sort_by_key(|&row| std::cmp::Reverse(epochs[row]));
    let latest = latest.into_iter().take(MAX_ROWS).map(|row| Change {
        epoch: epochs[row],
        neuron: neurons[row],
        layer: layers[row].clone(),
        from_class: source.class_name(before[row]),
        to_class: source.class_name(after[row]),
        correlation: scores[row],
    });
    Ok(Some(Changes {
        num_neurons: neurons.iter().collect::<BTreeSet<_>>().len() as u64,
        latest: latest.collect(),
    }))
}

async fn structures(source: &Source<'_>) -> Result<Structures> {
    let rows = source
        .sql(
            "SELECT name, class, epoch, neuron, score, p_value, first_epoch, half FROM structures \
             ORDER BY class, name, abs(score) DESC, neuron",
        )
        .await?;
    let (names, classes) = (texts(&rows, "name"), integers(&rows, "class"));
    let (epochs, neurons) = (integers(&rows, "epoch"), integers(&rows, "neuron"));
    let (scores, p_values) = (floats(&rows, "score"), floats(&rows, "p_value"));
    let (firsts, halves) = (integers(&rows, "first_epoch"), texts(&rows, "half"));
    let mut kept: Vec<(&str, Vec<usize>)> = Vec::new();
    for (row, name) in names.iter().enumerate() {
        match kept.iter_mut().find(|(known, _)| known == name) {
            Some((_, rows)) => rows.push(row),
            None => kept.push((name, vec![row])),
        }
    }
    let num_kept = kept.len();
    let mut shown = Vec::new();
    for (name, rows) in kept.into_iter().take(MAX_STRUCTURES) {
        let first = rows[0];
        let largest = |values: &[Option<f64>]| {
            let values = rows.iter().filter_map(|&row| values[row]);
            values.reduce(f64::max)
        };
        let power = structure_power(source.session, name).await;
        let power = answer(power.map_err(ReportError::from))?;
        // Of neurons that somebody chose by hand.
        let known = |value: i64| (value >= 0).then_some(value);
        shown.push(Structure {
            name: name.to_owned(),
            class: known(classes[first]).map(|class| source.class_name(class)),
            neurons: rows.iter().map(|&row| neurons[row]).collect(),
            epoch: epochs[first],
            since: rows.iter().map(|&row| firsts[row]).min().and_then(known),
            half: Some(halves[first].clone()).filter(|half| !half.is_empty()),
            highest_score: largest(&scores),
            largest_p: largest(&p_values),
            power: power.ok().flatten().map(|found| found.power),
        });
    }
    Ok(Structures { num_kept, shown })
}

async fn connections(source: &Source<'_>) -> Result<Connections> {
    let network = source.film(PlotKind::Network, &[]).await?;
    let mut chains = Vec::new();
    if network.is_ok() {
        chains = strongest_chains(source).await?;
    }
    Ok(Connections { network, chains })
}

async fn strongest_chains(source: &Source<'_>) -> Result<Vec<Chain>> {
    let rows = source
        .sql("SELECT rank, class, strength * sign AS strength, array_to_string(path, ' → ') AS path FROM strongest_paths(epoch => 'last') ORDER BY rank")
        .await?;
    let (ranks, classes) = (integers(&rows, "rank"), integers(&rows, "class"));
    let (strengths, paths) = (floats(&rows, "strength"), texts(&rows, "path"));
    // A single output tells the second of two classes, or a number.
    let info = source.session.info();
    let outputs = info
        .layers
        .output_layer()
        .map(|layer| layer.num_units as usize);
    let has_names = outputs == Some(info.class_names.len());
    let chains = (0..rows.num_rows().min(MAX_ROWS)).map(|row| Chain {
        rank: ranks[row],
        output: match has_names {
            true => source.class_name(classes[row]),
            false => classes[row].to_string(),
        },
        strength: strengths[row],
        path: paths[row].clone(),
    });
    Ok(chains.collect())
}
