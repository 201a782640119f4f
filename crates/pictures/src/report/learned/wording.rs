//! How it learned, in words, tables and pictures.

use super::{Class, Curve, Found, LayerStretches, Stretches};
use crate::chart::number;
use crate::report::prose::{counted, listed, percent};
use crate::report::section::{Part, Section, introduced, parts_of};

pub(in crate::report) const HEADING: &str = "How it learned";

/// How many of the classes that one was taken for are told.
const TAKEN_FOR: usize = 3;

pub(super) fn section(found: Found) -> Section {
    let mut parts = vec![Part::text(
        "The loss is what learning makes small: how far the network's answers are from the right ones. Where the \
         curve of the held-out samples, which it never learns from, rises while the other falls, it learns its \
         samples by heart.",
    )];
    parts.push(Part::film(found.curves));
    if let Some(by_class) = found.by_class {
        parts.push(Part::film(by_class.confusion));
        parts.extend(classes(by_class.classes));
        parts.extend(introduced(
            "Some samples are easy from the start, some are learned late, some never. Those to the right are \
             ones that the network wavered about; those at the bottom it kept getting wrong, which is also \
             where wrongly labelled samples end up.",
            by_class.cartography,
        ));
    }
    parts.extend(parts_of(found.stretches, |found| {
        found.map(stretches).into_iter().flatten()
    }));
    Section {
        heading: HEADING,
        parts,
        commands: vec![
            "run learning_curve RUN",
            "run confusion RUN --param epoch=last",
            "run cartography RUN",
            "phases RUN",
        ],
    }
}

/// What a score is called.
pub(in crate::report) fn score_name(name: &str) -> &str {
    match name {
        "label_accuracy" => "labels right",
        "r2" => "R²",
        name => name,
    }
}

/// A score as it is told.
pub(in crate::report) fn score(name: &str, score: Option<f64>) -> String {
    match (name, score) {
        (_, None) => "not a number".to_owned(),
        ("r2", Some(score)) => number(score),
        (_, Some(score)) => percent(score),
    }
}

/// How it went, in a sentence or two.
pub(in crate::report) fn describe_curve(found: &Curve) -> String {
    let mut told = String::new();
    if let Some((name, curve)) = &found.score
        && let (Some(first), Some(last)) = (curve.first(), curve.last())
    {
        let of = |at: &(i64, Option<f64>)| score(name, at.1);
        told += &match (*name, first.0 == last.0) {
            ("accuracy", true) => {
                format!(
                    " After epoch {} it was right about {} of them.",
                    last.0,
                    of(last)
                )
            }
            ("accuracy", false) => format!(
                " After epoch {} it was right about {} of them, after epoch {} about {}.",
                first.0,
                of(first),
                last.0,
                of(last)
            ),
            (name, true) => {
                let name = score_name(name);
                format!(" {name} on them, after epoch {}: {}.", last.0, of(last))
            }
            (name, false) => format!(
                " {} on them: {} after epoch {}, {} after epoch {}.",
                score_name(name),
                of(first),
                first.0,
                of(last),
                last.0
            ),
        };
    }
    if let Some((broken, _)) = found.loss.iter().find(|(_, loss)| loss.is_none()) {
        return told
            + &format!(" From epoch {broken} on its loss on them was not always a number.");
    }
    let finite = found
        .loss
        .iter()
        .filter_map(|&(epoch, loss)| Some((epoch, loss?)));
    let finite: Vec<(i64, f64)> = finite.collect();
    let best = finite.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    if let (Some(best), [_, .., last]) = (best, finite.as_slice()) {
        told += &match best.0 == last.0 {
            true => format!(
                " Its loss on them was lowest at the end ({}).",
                number(last.1)
            ),
            false => format!(
                " Its loss on them was lowest after epoch {} ({}) and is {} at the end.",
                best.0,
                number(best.1),
                number(last.1)
            ),
        };
    }
    told
}

fn classes(found: Vec<Class>) -> Option<Part> {
    let rows = found.into_iter().map(|class| {
        let wrong = class.taken_for.iter().take(TAKEN_FOR);
        let wrong: Vec<String> = wrong
            .map(|(class, count)| format!("{class} ({count})"))
            .collect();
        vec![
            class.name,
            class.num_samples.to_string(),
            percent(class.num_right as f64 / class.num_samples.max(1) as f64),
            wrong.join(", "),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let columns = ["class", "samples", "right", "taken for"];
    (!rows.is_empty()).then(|| Part::grid("Held-out samples by class, last epoch", &columns, rows))
}

fn stretches(found: Stretches) -> [Part; 2] {
    let columns = ["layer", "stretches", "begin at epochs", "told by", "note"];
    let rows = found.layers.into_iter().map(stretches_of_layer).collect();
    [
        Part::text(format!(
            "Training may come in stretches in which a layer keeps to one behaviour. A hidden Markov model \
             looks for them in each layer's mean weights and activations over {}.",
            counted(found.num_epochs as u64, "epoch")
        )),
        Part::grid("Stretches of training", &columns, rows),
    ]
}

fn stretches_of_layer(found: LayerStretches) -> Vec<String> {
    let firsts: Vec<String> = found.begins.iter().map(i32::to_string).collect();
    let measures = found.measures.iter().map(|name| name.replace('_', " "));
    let measures: Vec<String> = measures.collect();
    let note = match (measures.is_empty(), found.is_perhaps_steady) {
        (true, _) => "nothing that changes",
        (false, true) => "perhaps one steady change",
        (false, false) => "",
    };
    vec![
        found.layer,
        firsts.len().to_string(),
        firsts.join(", "),
        listed(&measures),
        note.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::learned::ByEpoch;

    fn described(score: &'static str, scores: &[f64], losses: &[f64]) -> String {
        let curve = |values: &[f64]| -> ByEpoch {
            let values = values
                .iter()
                .map(|&value| value.is_finite().then_some(value));
            (0..).zip(values).collect()
        };
        let score = (!scores.is_empty()).then(|| (score, curve(scores)));
        describe_curve(&Curve {
            loss: curve(losses),
            score,
        })
    }

    #[test]
    fn a_curve_is_told_as_it_went() {
        assert_eq!(
            described("accuracy", &[0.5, 0.9], &[1.0, 0.25]),
            " After epoch 0 it was right about 50.0 % of them, after epoch 1 about 90.0 %. Its loss on them was \
             lowest at the end (0.25)."
        );
        assert_eq!(
            described("r2", &[-0.5, 0.75], &[0.5, 0.25, 0.75]),
            " R² on them: -0.5 after epoch 0, 0.75 after epoch 1. Its loss on them was lowest after epoch 1 (0.25) \
             and is 0.75 at the end."
        );
        assert_eq!(
            described("accuracy", &[0.5], &[1.0]),
            " After epoch 0 it was right about 50.0 % of them."
        );
        assert_eq!(
            described("accuracy", &[], &[1.0, f64::NAN, 0.5]),
            " From epoch 1 on its loss on them was not always a number."
        );
        assert_eq!(described("accuracy", &[], &[]), "");
    }
}
