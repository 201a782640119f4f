//! Whether its neurons tell when it is wrong, in words and tables.

use sql::MAX_NEURONS;

use super::{Found, Judged, Mattering, Model, SecondModel};
use crate::chart::number;
use crate::report::prose::{counted, or_dash};
use crate::report::section::{Part, Section, parts_of};

pub(in crate::report) const HEADING: &str = "Do its neurons tell when it is wrong?";

pub(super) fn section(Found(found): Found) -> Section {
    let parts = match found {
        None => vec![Part::missing(
            "It is neither right nor wrong where it predicts no classes.",
        )],
        Some(found) => parts_of(found, second_model),
    };
    Section {
        heading: HEADING,
        parts,
        commands: vec!["meta RUN"],
    }
}

fn second_model(found: SecondModel) -> Vec<Part> {
    let mut parts = vec![Part::text(
        "A second model looks at the activations of the first: can it tell from the neurons alone whether the \
         network is right about a sample? It is judged on samples that it has not learned from. The score is the \
         probability that a sample that the network is right about comes out above one that it is wrong \
         about: 0.5 is guessing, 1 is certainty.",
    )];
    if let Some(layer) = found.layer {
        parts.push(Part::text(format!(
            "It looks at {layer} alone: it learns from {MAX_NEURONS} neurons at most."
        )));
    }
    match found.judged {
        Some(found) => parts.extend(judged(found)),
        None => parts.push(Part::missing(
            "That takes activations, classifications, and five samples at least that the network is wrong about, \
             and five that it is right about, at the last epoch.",
        )),
    }
    parts
}

fn judged(found: Judged) -> Vec<Part> {
    let scores = found.models.iter().map(|model| {
        let score = or_dash(model.score, number);
        let score = match model.spread {
            Some(spread) => format!("{score} ± {}", number(spread)),
            None => score,
        };
        vec![model.name.to_owned(), score]
    });
    let caption = format!(
        "At the last epoch, {}, {} of them mistakes",
        counted(found.num_samples, "held-out sample"),
        found.num_mistakes
    );
    let mut parts = vec![Part::grid(caption, &["told by", "score"], scores.collect())];
    parts.extend(best(&found.models));
    parts.extend(found.mattering.map(mattering));
    parts
}

fn mattering(found: Vec<Mattering>) -> Part {
    if found.is_empty() {
        return Part::text("No neuron alone matters to the forest.");
    }
    let rows = found.into_iter().map(|mattering| {
        let importance = or_dash(mattering.importance, number);
        let spread = or_dash(mattering.spread, number);
        vec![
            format!("n_{}", mattering.neuron),
            mattering.layer,
            format!("{importance} ± {spread}"),
        ]
    });
    let columns = ["neuron", "layer", "the score falls by, without it"];
    let caption = "The neurons that matter most to the forest";
    Part::grid(caption, &columns, rows.collect())
}

/// Which of several models tells mistakes best, if one does: by more than its score differs from fold to fold.
fn best(models: &[Model; 3]) -> Option<Part> {
    let scored = models
        .iter()
        .filter_map(|model| Some((model.name, model.score?, model.spread)));
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
