//! Whether its neurons tell when it is wrong.

use arrow::array::RecordBatch;
use sql::MAX_NEURONS;
use trace::Layer;

use super::{Part, Result, Section, Source, counted, or_missing};
use crate::chart::number;
use crate::plot::rows::{floats, integers, texts};

pub(super) const HEADING: &str = "Do its neurons tell when it is wrong?";

/// How many neurons the table has.
const TOP: &str = "10";

pub(super) async fn section(source: &Source<'_>) -> Result<Section> {
    let parts = match source.session.info().class_names.is_empty() {
        true => vec![Part::Missing(
            "It is neither right nor wrong where it predicts no classes.".to_owned(),
        )],
        false => or_missing(parts(source).await)?,
    };
    Ok(Section {
        heading: HEADING,
        parts,
        commands: vec!["meta RUN"],
    })
}

async fn parts(source: &Source<'_>) -> Result<Vec<Part>> {
    let layer = learned_from(source);
    let mut arguments = vec![("top", TOP)];
    arguments.extend(layer.map(|layer| ("layer", layer)));
    let rows = source.named("meta_model", &arguments).await?;
    let mut parts = vec![Part::text(
        "A second model looks at the activations of the first: can it tell from the neurons alone whether the \
         network is right about a sample? It is judged on samples that it has not learned from. The score is the \
         probability that a sample that the network is right about comes out above one that it is wrong \
         about: 0.5 is guessing, 1 is certainty.",
    )];
    if let Some(layer) = layer {
        parts.push(Part::text(format!(
            "It looks at {layer} alone: it learns from {MAX_NEURONS} neurons at most."
        )));
    }
    if rows.num_rows() == 0 {
        parts.push(Part::Missing(
            "That takes activations, classifications, and five samples at least that the network is wrong about, \
             and five that it is right about, at the last epoch."
                .to_owned(),
        ));
    } else {
        let first = |name: &str| floats(&rows, name)[0];
        let count = |name: &str| integers(&rows, name)[0].unsigned_abs();
        let models = [
            (
                "a forest of decision trees",
                "forest_auc",
                Some("forest_auc_std"),
            ),
            ("logistic regression", "linear_auc", Some("linear_auc_std")),
            ("the network's own confidence", "confidence_auc", None),
        ];
        let scores = models.map(|(name, score, spread)| {
            let spread = spread.and_then(first);
            let score = first(score).map_or_else(|| "–".to_owned(), number);
            let score = match spread {
                Some(spread) => format!("{score} ± {}", number(spread)),
                None => score,
            };
            vec![name.to_owned(), score]
        });
        let caption = format!(
            "At the last epoch, {}, {} of them mistakes",
            counted(count("samples"), "held-out sample"),
            count("mistakes")
        );
        parts.push(Part::grid(caption, &["told by", "score"], scores.to_vec()));
        parts.extend(best(models.map(|(name, score, spread)| {
            (name, first(score), spread.and_then(first))
        })));
        // What matters to a forest that guesses is chance.
        let spread = first("forest_auc_std").unwrap_or(0.0);
        if first("forest_auc").is_some_and(|score| score - spread > 0.5) {
            parts.push(mattering(&rows));
        }
    }
    Ok(parts)
}

/// The neurons that the forest relies on.
fn mattering(rows: &RecordBatch) -> Part {
    let (neurons, layers) = (integers(rows, "neuron"), texts(rows, "layer"));
    let (importances, spreads) = (floats(rows, "importance"), floats(rows, "importance_std"));
    let mattering = (0..rows.num_rows()).filter(|&row| importances[row].is_some_and(|i| i > 0.0));
    let grid = mattering.map(|row| {
        let told = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
        vec![
            format!("n_{}", neurons[row]),
            layers[row].clone(),
            format!("{} ± {}", told(importances[row]), told(spreads[row])),
        ]
    });
    let columns = ["neuron", "layer", "the score falls by, without it"];
    let caption = "The neurons that matter most to the forest";
    let grid: Vec<Vec<String>> = grid.collect();
    match grid.is_empty() {
        true => Part::text("No neuron alone matters to the forest."),
        false => Part::grid(caption, &columns, grid),
    }
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

/// Which of several models tells mistakes best, if one does: by more than its score differs from fold to fold.
fn best(models: [(&str, Option<f64>, Option<f64>); 3]) -> Option<Part> {
    let scored = models
        .into_iter()
        .filter_map(|(name, score, spread)| Some((name, score?, spread)));
    let mut scored: Vec<(&str, f64, Option<f64>)> = scored.collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    let [first, second, ..] = scored.as_slice() else {
        return None;
    };
    let spread = [first.2, second.2]
        .into_iter()
        .flatten()
        .fold(0.0, f64::max);
    if first.1 - spread <= 0.5 {
        let told = "None of them tells mistakes from the rest better than guessing.";
        return Some(Part::text(told));
    }
    Some(Part::text(match first.1 - second.1 > spread {
        true => format!("Here {} tells mistakes best.", first.0),
        false => "The best two differ by less than their scores do from fold to fold: neither is clearly better."
            .to_owned(),
    }))
}
