//! What was trained.

use std::path::Path;

use serde_json::Value;
use sql::NotFinite;
use trace::{DatasetInfo, Layer, RunInfo};

use super::learned::{Curve, describe_curve, score, score_name};
use super::prose::{counted, grouped, listed};
use super::section::{Part, Section};
use crate::chart::number;

pub(super) const HEADING: &str = "What was trained";

/// Configuration that the text tells, or that is about recording rather than the network.
const DESCRIBED: [&str; 4] = ["dataset", "device", "checkpoint_every", "seed"];

/// The run in a few sentences.
pub(super) fn lead(info: &RunInfo, curve: &Curve) -> String {
    let layers = || {
        info.layers
            .hidden_layers()
            .chain(info.layers.output_layer())
    };
    let mut lead = format!(
        "A network of {} with {} ({} weights)",
        counted(layers().count() as u64, "layer"),
        counted(num_neurons(info), "neuron"),
        grouped(layers().map(num_weights).sum()),
    );
    match &info.dataset {
        Some(data) => {
            lead += &format!(
                " learned from {} of the data set {}; {} held out to judge it by.",
                counted(data.num_train, "sample"),
                data_name(data),
                match data.num_held_out {
                    1 => "1 other was".to_owned(),
                    others => format!("{} others were", grouped(others)),
                },
            );
        }
        None => lead += ", as it was recorded.",
    }
    lead + &describe_curve(curve)
}

/// That training has diverged, where something is not finite: what was so first.
pub(super) fn describe_diverged(not_finite: &[NotFinite]) -> String {
    let since = not_finite.iter().map(|found| found.since).min();
    let Some(since) = since else {
        return String::new();
    };
    let first = not_finite.iter().filter(|found| found.since == since);
    let first: Vec<String> = first.map(|found| found.what.clone()).collect();
    format!(
        " Training has diverged: {} are not finite since epoch {since}.",
        listed(&first)
    )
}

/// What a data set is called: files by their names.
fn data_name(data: &DatasetInfo) -> &str {
    let file = Path::new(&data.source)
        .file_name()
        .and_then(|name| name.to_str());
    match data.source.as_str() {
        "built-in" => &data.kind,
        _ => file.unwrap_or(&data.kind),
    }
}

/// The run in a few figures.
pub(super) fn figures(
    info: &RunInfo,
    num_captured: usize,
    curve: &Curve,
    on_disk: Option<u64>,
) -> Vec<(String, String)> {
    let mut figures = Vec::new();
    let mut add = |what: &str, figure: String| figures.push((what.to_owned(), figure));
    if let Some((name, last)) = curve.last_score() {
        let what = format!("{}, held out", score_name(name));
        add(&what, score(name, last));
    }
    if let Some(loss) = curve.last_loss() {
        let loss = loss.map_or_else(|| "not a number".to_owned(), number);
        add("loss, held out", loss);
    }
    add("neurons", grouped(num_neurons(info)));
    add("epochs recorded", grouped(num_captured as u64));
    if let Some(bytes) = on_disk {
        add("recorded data", bytesize::ByteSize(bytes).to_string());
    }
    figures
}

impl Section {
    /// What was trained, as `run.json` tells it, and how, as its newest session was told.
    pub fn what_was_trained(info: &RunInfo, config: &Value) -> Self {
        section(info, config)
    }
}

pub(super) fn section(info: &RunInfo, config: &Value) -> Section {
    let introduction = Part::text(
        "A network is a chain of layers, and a layer is a row of neurons. A neuron multiplies what comes into \
         it by weights, adds them up and hands one number on, its activation. Learning changes the weights, a \
         little at each step; an epoch is one pass over all samples.",
    );
    let facts = Part::grid("How", &["what", "value"], facts(info, config));
    Section {
        heading: HEADING,
        parts: vec![introduction, layers(info), facts],
        commands: vec!["sql RUN \"SELECT * FROM layers\""],
    }
}

fn layers(info: &RunInfo) -> Part {
    let rows = info.layers.layers().iter().map(|layer| {
        let last = layer.first_neuron + layer.num_units.cast_signed() - 1;
        vec![
            layer.layer.to_string(),
            layer.kind.clone(),
            grouped(u64::from(layer.fan_in)),
            grouped(u64::from(layer.num_units)),
            format!("n_{} … n_{last}", layer.first_neuron),
            layer.activation.clone().unwrap_or_else(|| "–".to_owned()),
            grouped(num_weights(layer)),
        ]
    });
    let columns = [
        "layer",
        "kind",
        "inputs of a neuron",
        "neurons",
        "called",
        "activation function",
        "weights",
    ];
    Part::grid("Layers", &columns, rows.collect())
}

/// The data, the machine, and how it was trained: what, and the value.
fn facts(info: &RunInfo, config: &Value) -> Vec<Vec<String>> {
    let mut facts: Vec<Vec<String>> = Vec::new();
    let mut add = |what: &str, fact: String| facts.push(vec![what.to_owned(), fact]);
    if let Some(data) = &info.dataset {
        add("data set", format!("{} ({})", data.kind, data.source));
        add(
            "samples",
            format!(
                "{} learned from, {} held out ({})",
                grouped(data.num_train),
                grouped(data.num_held_out),
                data.held_out
            ),
        );
    }
    if !info.class_names.is_empty() {
        add("classes", shortened(&info.class_names.join(", ")));
    }
    if info.device != "unknown" {
        add("trained on", info.device.clone());
    }
    if let Some(seed) = info.seed {
        add("seed", seed.to_string());
    }
    add("began", info.created.clone());
    add("recorded by", info.created_by.clone());
    // How it was trained, where the recorder says so.
    if let Some(settings) = config.as_object() {
        let train = settings.get("train").and_then(Value::as_object);
        let settings = train.unwrap_or(settings);
        for (name, value) in settings {
            let text = match value {
                Value::Null | Value::Object(_) => continue,
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            if !DESCRIBED.contains(&name.as_str()) {
                add(&name.replace('_', " "), shortened(&text));
            }
        }
    }
    facts
}

/// How many neurons the network has; what buffers count has none.
fn num_neurons(info: &RunInfo) -> u64 {
    let layers = info
        .layers
        .hidden_layers()
        .chain(info.layers.output_layer());
    layers.map(|layer| u64::from(layer.num_units)).sum()
}

fn num_weights(layer: &Layer) -> u64 {
    u64::from(layer.fan_in) * u64::from(layer.num_units)
}

/// A text that a cell of a table has room for.
fn shortened(text: &str) -> String {
    const ROOM: usize = 200;
    match text.char_indices().nth(ROOM) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
