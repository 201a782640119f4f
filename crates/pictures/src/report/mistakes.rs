//! Whether its neurons tell when it is wrong: what a run says of it.

mod wording;

use arrow::array::RecordBatch;
use sql::MAX_NEURONS;
use trace::Layer;

use super::answers::{Answer, Source, answer};
use super::error::Result;
use super::section::Section;
use crate::plot::rows::{floats, integers, texts};

pub(super) use wording::HEADING;

/// How many neurons are told.
const TOP: &str = "10";

pub(super) async fn section(source: &Source<'_>) -> Result<Section> {
    Ok(wording::section(found(source).await?))
}

/// What the section tells; none of a run without classes.
struct Found(Option<Answer<SecondModel>>);

/// A model that learns from the neurons whether the network is right.
struct SecondModel {
    /// The layer that it looks at, where all are too many.
    layer: Option<String>,
    /// None of too few samples, or where they were not recorded.
    judged: Option<Judged>,
}

/// How well it tells, on samples that it has not learned from.
struct Judged {
    num_samples: u64,
    num_mistakes: u64,
    models: [Model; 3],
    /// The neurons that the forest relies on; none where it guesses.
    mattering: Option<Vec<Mattering>>,
}

/// What tells mistakes from the rest.
struct Model {
    name: &'static str,
    /// The probability that a right answer comes out above a wrong one.
    score: Option<f64>,
    /// How far that differs from fold to fold.
    spread: Option<f64>,
}

/// A neuron that the forest relies on.
struct Mattering {
    neuron: i64,
    layer: String,
    /// By how much the score falls without it.
    importance: Option<f64>,
    spread: Option<f64>,
}

async fn found(source: &Source<'_>) -> Result<Found> {
    Ok(Found(match source.has_classes() {
        true => Some(answer(second_model(source).await)?),
        false => None,
    }))
}

async fn second_model(source: &Source<'_>) -> Result<SecondModel> {
    let layer = learned_from(source);
    let mut arguments = vec![("top", TOP)];
    arguments.extend(layer.map(|layer| ("layer", layer)));
    let rows = source.named("meta_model", &arguments).await?;
    Ok(SecondModel {
        layer: layer.map(str::to_owned),
        judged: (rows.num_rows() > 0).then(|| judged(&rows)),
    })
}

fn judged(rows: &RecordBatch) -> Judged {
    let first = |name: &str| floats(rows, name)[0];
    let count = |name: &str| integers(rows, name)[0].unsigned_abs();
    let model = |name, score, spread: Option<&str>| Model {
        name,
        score: first(score),
        spread: spread.and_then(first),
    };
    // What matters to a forest that guesses is chance.
    let spread = first("forest_auc_std").unwrap_or(0.0);
    let tells = first("forest_auc").is_some_and(|score| score - spread > 0.5);
    Judged {
        num_samples: count("samples"),
        num_mistakes: count("mistakes"),
        models: [
            model(
                "a forest of decision trees",
                "forest_auc",
                Some("forest_auc_std"),
            ),
            model("logistic regression", "linear_auc", Some("linear_auc_std")),
            model("the network's own confidence", "confidence_auc", None),
        ],
        mattering: tells.then(|| mattering(rows)),
    }
}

fn mattering(rows: &RecordBatch) -> Vec<Mattering> {
    let (neurons, layers) = (integers(rows, "neuron"), texts(rows, "layer"));
    let (importances, spreads) = (floats(rows, "importance"), floats(rows, "importance_std"));
    let mattering = (0..rows.num_rows()).filter(|&row| importances[row].is_some_and(|i| i > 0.0));
    let mattering = mattering.map(|row| Mattering {
        neuron: neurons[row],
        layer: layers[row].clone(),
        importance: importances[row],
        spread: spreads[row],
    });
    mattering.collect()
}

/// The layer that is learned from where all are too many: the last that is not, before the outputs.
fn learned_from<'a>(source: &Source<'a>) -> Option<&'a str> {
    let num_units = |layer: &Layer| layer.num_recorded_units() as usize;
    let topology = &source.session.info().layers;
    if topology.hidden_layers().map(num_units).sum::<usize>() <= MAX_NEURONS {
        return None;
    }
    let mut from_the_last = topology.hidden_layers().rev();
    let last = from_the_last.find(|layer| num_units(layer) <= MAX_NEURONS);
    last.map(|layer| layer.layer.as_str())
}
