//! What its layers were like.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use trace::Table;

use super::{Part, Result, Section, Source, introduced, still};
use crate::chart::{Axis, Chart, Content, Line, Panel};
use crate::plot::PlotKind;
use crate::plot::rows::{floats, integers, texts};

pub(super) const HEADING: &str = "What its layers were like";

/// Of deeper networks this many layers are drawn, evenly among all.
const MAX_LAYERS: usize = 8;

pub(super) async fn section(source: &Source<'_>) -> Result<Section> {
    let rows = source.named("layer_profile", &[]).await?;
    let mut parts = vec![Part::text(
        "The norm of a layer's weights says how far learning has carried it; its sparsity, how often a neuron says \
         nothing at all (an activation of 0). A dead neuron says nothing for any held-out sample, and takes no part.",
    )];
    match profile(&rows) {
        Some(chart) => parts.push(still(chart)),
        None => {
            let weights = source.session.not_finite(Table::Weights, None).await?;
            parts.push(Part::Missing(match weights {
                Some(reason) => {
                    format!("There is nothing to draw: {reason}; training has diverged.")
                }
                None => "Neither weights nor activations were recorded: `recorder train --record \
                         weights,activations`."
                    .to_owned(),
            }));
        }
    }
    let topology = &source.session.info().layers;
    let told = "Of each neuron, by epoch, how large its weights are: rows that brighten are neurons that learning \
                leans on.";
    if let Some(first) = topology.hidden_layers().next() {
        let arguments = [("layer", first.layer.as_str())];
        let picture = source.picture(PlotKind::Weights, &arguments).await?;
        parts.extend(introduced(told, picture));
    }
    if let Some(output) = topology.output_layer() {
        let arguments = [("layer", output.layer.as_str())];
        parts.push(source.picture(PlotKind::Weights, &arguments).await?);
    }
    // The last layer before the outputs, whose activations the outputs are made of.
    if let Some(last) = topology.hidden_layers().next_back() {
        let arguments = [("layer", last.layer.as_str()), ("of", "activations")];
        parts.push(source.picture(PlotKind::Distributions, &arguments).await?);
    }
    Ok(Section {
        heading: HEADING,
        parts,
        commands: vec![
            "run layer_profile RUN",
            "run dead_neurons RUN --param epoch=last",
            "run weight_drift RUN",
            "plot weights RUN --param layer=last -o weights.svg",
        ],
    })
}

/// Norm, sparsity and dead neurons of each layer by epoch.
fn profile(rows: &RecordBatch) -> Option<Chart> {
    let (epochs, layers) = (integers(rows, "epoch"), texts(rows, "layer"));
    let mut order: Vec<&str> = Vec::new();
    for layer in &layers {
        if !order.contains(&layer.as_str()) {
            order.push(layer);
        }
    }
    let stride = order.len().div_ceil(MAX_LAYERS).max(1);
    let shown: Vec<&str> = order.iter().copied().step_by(stride).collect();
    let lines = |values: Vec<Option<f64>>| -> Vec<Line> {
        let mut of_layer: BTreeMap<&str, Vec<[f64; 2]>> = BTreeMap::new();
        for (row, value) in values.into_iter().enumerate() {
            if let Some(value) = value {
                let points = of_layer.entry(&layers[row]).or_default();
                points.push([epochs[row] as f64, value]);
            }
        }
        let lines = shown.iter().filter_map(|layer| {
            Some(Line {
                name: (*layer).to_owned(),
                points: of_layer.remove(layer)?,
            })
        });
        lines.collect()
    };
    let dead = integers(rows, "dead_neurons").into_iter();
    let dead = dead.map(|count| (count >= 0).then_some(count as f64));
    let panels = [
        (
            "Norm of the weights",
            lines(floats(rows, "norm")),
            Axis::numbers("Euclidean norm"),
        ),
        (
            "Sparsity of the activations",
            lines(floats(rows, "sparsity")),
            Axis::shares("activations that are 0"),
        ),
        (
            "Dead neurons",
            lines(dead.collect()),
            Axis::whole("neurons"),
        ),
    ];
    let panels: Vec<Panel> = panels
        .into_iter()
        .filter(|(_, lines, _)| !lines.is_empty())
        .map(|(title, lines, y)| Panel {
            title: Some(title.to_owned()),
            x: Axis::whole("epoch"),
            y,
            content: Content::Lines(lines),
        })
        .collect();
    let notes = match stride {
        1 => Vec::new(),
        _ => vec![format!(
            "{} of {} layers are drawn.",
            shown.len(),
            order.len()
        )],
    };
    (!panels.is_empty()).then(|| Chart {
        title: "The layers, epoch by epoch".to_owned(),
        subtitle: String::new(),
        panels,
        notes,
    })
}
