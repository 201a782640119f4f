//! What its layers were like: what a run says of it.

mod wording;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use sql::NotFinite;
use trace::Table;

use super::answers::{Film, Source};
use super::error::Result;
use super::section::Section;
use crate::plot::PlotKind;
use crate::plot::rows::{floats, integers, texts};

pub(super) use wording::HEADING;

/// Of deeper networks this many layers are drawn, evenly among all.
const MAX_LAYERS: usize = 8;

pub(super) async fn section(source: &Source<'_>) -> Result<Section> {
    Ok(wording::section(found(source).await?))
}

/// What the section tells.
struct Found {
    profile: Profile,
    /// Why the profile is empty, if values that are not finite are.
    not_finite: Option<NotFinite>,
    /// Weights of the first layer.
    first: Option<Film>,
    /// Weights of the output layer.
    output: Option<Film>,
    /// Activations of the last layer before the outputs, which the outputs are made of.
    last: Option<Film>,
}

/// What layers were like, epoch by epoch.
struct Profile {
    /// How many layers there are; not all may be shown.
    num_layers: usize,
    num_shown: usize,
    norm: Vec<Course>,
    sparsity: Vec<Course>,
    dead: Vec<Course>,
}

/// A figure of a layer.
struct Course {
    layer: String,
    /// Epoch and value.
    points: Vec<[f64; 2]>,
}

impl Profile {
    fn of(rows: &RecordBatch) -> Self {
        let (epochs, layers) = (integers(rows, "epoch"), texts(rows, "layer"));
        let mut order: Vec<&str> = Vec::new();
        for layer in &layers {
            if !order.contains(&layer.as_str()) {
                order.push(layer);
            }
        }
        let stride = order.len().div_ceil(MAX_LAYERS).max(1);
        let shown: Vec<&str> = order.iter().copied().step_by(stride).collect();
        let courses = |values: Vec<Option<f64>>| -> Vec<Course> {
            let mut of_layer: BTreeMap<&str, Vec<[f64; 2]>> = BTreeMap::new();
            for (row, value) in values.into_iter().enumerate() {
                if let Some(value) = value {
                    let points = of_layer.entry(&layers[row]).or_default();
                    points.push([epochs[row] as f64, value]);
                }
            }
            let courses = shown.iter().filter_map(|layer| {
                Some(Course {
                    layer: (*layer).to_owned(),
                    points: of_layer.remove(layer)?,
                })
            });
            courses.collect()
        };
        let dead = integers(rows, "dead_neurons").into_iter();
        let dead = dead.map(|count| (count >= 0).then_some(count as f64));
        Self {
            num_layers: order.len(),
            num_shown: shown.len(),
            norm: courses(floats(rows, "norm")),
            sparsity: courses(floats(rows, "sparsity")),
            dead: courses(dead.collect()),
        }
    }

    fn is_empty(&self) -> bool {
        self.norm.is_empty() && self.sparsity.is_empty() && self.dead.is_empty()
    }
}

async fn found(source: &Source<'_>) -> Result<Found> {
    let profile = Profile::of(&source.named("layer_profile", &[]).await?);
    let not_finite = match profile.is_empty() {
        true => source.session.not_finite(Table::Weights, None).await?,
        false => None,
    };
    let topology = &source.session.info().layers;
    let (mut first, mut output, mut last) = (None, None, None);
    if let Some(layer) = topology.hidden_layers().next() {
        let arguments = [("layer", layer.layer.as_str())];
        first = Some(source.picture(PlotKind::Weights, &arguments).await?);
    }
    if let Some(layer) = topology.output_layer() {
        let arguments = [("layer", layer.layer.as_str())];
        output = Some(source.picture(PlotKind::Weights, &arguments).await?);
    }
    if let Some(layer) = topology.hidden_layers().next_back() {
        let arguments = [("layer", layer.layer.as_str()), ("of", "activations")];
        last = Some(source.picture(PlotKind::Distributions, &arguments).await?);
    }
    Ok(Found {
        profile,
        not_finite,
        first,
        output,
        last,
    })
}
