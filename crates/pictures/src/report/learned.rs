//! How it learned.

use std::collections::BTreeMap;
use studies::phases;

use super::{Part, Result, Section, Source, counted, introduced, listed, or_missing, percent};
use crate::chart::number;
use crate::plot::PlotKind;
use crate::plot::rows::{floats, integers, texts};

pub(super) const HEADING: &str = "How it learned";

/// What may say how good a network is, the first of them that was recorded.
const SCORES: [&str; 3] = ["accuracy", "label_accuracy", "r2"];

/// What the held-out samples said of the network.
#[derive(Debug, Default)]
pub(super) struct Curve {
    loss: ByEpoch,
    score: Option<(&'static str, ByEpoch)>,
}

/// A figure by epoch; none where it is not a number.
type ByEpoch = Vec<(i64, Option<f64>)>;

impl Curve {
    pub(super) async fn of(source: &Source<'_>) -> Result<Self> {
        let rows = source
            .sql(
                "SELECT epoch, name, last_value(value ORDER BY step) AS value FROM metrics \
                 WHERE phase = 'eval' AND epoch >= 0 GROUP BY epoch, name ORDER BY epoch",
            )
            .await?;
        let (epochs, names) = (integers(&rows, "epoch"), texts(&rows, "name"));
        let values = floats(&rows, "value");
        let of = |name: &str| -> ByEpoch {
            let rows = (0..rows.num_rows()).filter(|&row| names[row] == name);
            rows.map(|row| (epochs[row], values[row])).collect()
        };
        let score = SCORES
            .into_iter()
            .map(|name| (name, of(name)))
            .find(|(_, curve)| !curve.is_empty());
        Ok(Self {
            loss: of("loss"),
            score,
        })
    }

    /// What a score is called.
    pub(super) fn score_name(name: &str) -> &str {
        match name {
            "label_accuracy" => "labels right",
            "r2" => "R²",
            name => name,
        }
    }

    /// A score as it is told.
    pub(super) fn score(name: &str, score: Option<f64>) -> String {
        match (name, score) {
            (_, None) => "not a number".to_owned(),
            ("r2", Some(score)) => number(score),
            (_, Some(score)) => percent(score),
        }
    }

    /// The loss at the last epoch; none where there is no loss.
    pub(super) fn last_loss(&self) -> Option<Option<f64>> {
        self.loss.last().map(|(_, loss)| *loss)
    }

    /// What the score is, and at the last epoch.
    pub(super) fn last_score(&self) -> Option<(&'static str, Option<f64>)> {
        let (name, curve) = self.score.as_ref()?;
        Some((name, curve.last()?.1))
    }

    /// How it went, in a sentence or two.
    pub(super) fn told(&self) -> String {
        let mut told = String::new();
        if let Some((name, curve)) = &self.score
            && let (Some(first), Some(last)) = (curve.first(), curve.last())
        {
            let of = |at: &(i64, Option<f64>)| Self::score(name, at.1);
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
                    let name = Self::score_name(name);
                    format!(" {name} on them, after epoch {}: {}.", last.0, of(last))
                }
                (name, false) => format!(
                    " {} on them: {} after epoch {}, {} after epoch {}.",
                    Self::score_name(name),
                    of(first),
                    first.0,
                    of(last),
                    last.0
                ),
            };
        }
        if let Some((broken, _)) = self.loss.iter().find(|(_, loss)| loss.is_none()) {
            return told
                + &format!(" From epoch {broken} on its loss on them was not always a number.");
        }
        let finite = self
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
}

pub(super) async fn section(source: &Source<'_>) -> Result<Section> {
    let mut parts = vec![Part::text(
        "The loss is what learning makes small: how far the network's answers are from the right ones. Where the \
         curve of the held-out samples, which it never learns from, rises while the other falls, it learns its \
         samples by heart.",
    )];
    parts.push(source.picture(PlotKind::Curves, &[]).await?);
    if !source.session.info().class_names.is_empty() {
        parts.push(source.film(PlotKind::Confusion, &[]).await?);
        parts.extend(classes(source).await?);
        parts.extend(introduced(
            "Some samples are easy from the start, some are learned late, some never. Those to the right are \
             ones that the network wavered about; those at the bottom it kept getting wrong, which is also \
             where wrongly labelled samples end up.",
            source.picture(PlotKind::Cartography, &[]).await?,
        ));
    }
    parts.extend(or_missing(stretches(source).await)?);
    Ok(Section {
        heading: HEADING,
        parts,
        commands: vec![
            "run learning_curve RUN",
            "run confusion RUN --param epoch=last",
            "run cartography RUN",
            "phases RUN",
        ],
    })
}

/// Each class at the last epoch: how many samples were right, and what the others were taken for.
async fn classes(source: &Source<'_>) -> Result<Option<Part>> {
    let rows = source.named("confusion", &[("epoch", "last")]).await?;
    let (targets, predicted) = (integers(&rows, "target"), integers(&rows, "predicted"));
    let counts = integers(&rows, "count");
    let mut by_class: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
    for (row, &target) in targets.iter().enumerate() {
        let of_class = by_class.entry(target).or_default();
        of_class.push((predicted[row], counts[row]));
    }
    let grid = by_class.into_iter().map(|(class, mut taken)| {
        let all: i64 = taken.iter().map(|(_, count)| count).sum();
        let right: i64 = taken
            .iter()
            .filter_map(|(predicted, count)| (*predicted == class).then_some(count))
            .sum();
        taken.retain(|(predicted, count)| *predicted != class && *count > 0);
        taken.sort_by_key(|(predicted, count)| (-count, *predicted));
        let wrong: Vec<String> = taken
            .iter()
            .take(3)
            .map(|(predicted, count)| format!("{} ({count})", source.class_name(*predicted)))
            .collect();
        vec![
            source.class_name(class),
            all.to_string(),
            percent(right as f64 / all.max(1) as f64),
            wrong.join(", "),
        ]
    });
    let grid: Vec<Vec<String>> = grid.collect();
    let columns = ["class", "samples", "right", "taken for"];
    Ok((!grid.is_empty())
        .then(|| Part::grid("Held-out samples by class, last epoch", &columns, grid)))
}

/// Where each layer changed its behaviour.
async fn stretches(source: &Source<'_>) -> Result<Vec<Part>> {
    /// A hidden Markov model of fewer epochs says nothing.
    const FEWEST_EPOCHS: usize = 5;
    let captured = source.session.captured_epochs().len();
    if captured < FEWEST_EPOCHS {
        return Ok(Vec::new());
    }
    let found = phases(source.session, None, None).await?;
    let rows = found.iter().map(|layer| {
        let begins = layer.begins();
        let firsts = (0..begins.len()).filter(|&at| begins[at]);
        let firsts: Vec<String> = firsts.map(|at| layer.epochs[at].to_string()).collect();
        let note = match (layer.measures.is_empty(), layer.is_perhaps_steady()) {
            (true, _) => "nothing that changes",
            (false, true) => "perhaps one steady change",
            (false, false) => "",
        };
        vec![
            layer.layer.clone(),
            firsts.len().to_string(),
            firsts.join(", "),
            listed(
                &layer
                    .measures
                    .iter()
                    .map(|m| m.replace('_', " "))
                    .collect::<Vec<_>>(),
            ),
            note.to_owned(),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let columns = ["layer", "stretches", "begin at epochs", "told by", "note"];
    Ok(vec![
        Part::text(format!(
            "Training may come in stretches in which a layer keeps to one behaviour. A hidden Markov model \
             looks for them in each layer's mean weights and activations over {}.",
            counted(captured as u64, "epoch")
        )),
        Part::grid("Stretches of training", &columns, rows),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(score: &'static str, scores: &[f64], losses: &[f64]) -> String {
        let curve = |values: &[f64]| -> ByEpoch {
            let values = values
                .iter()
                .map(|&value| value.is_finite().then_some(value));
            (0..).zip(values).collect()
        };
        let score = (!scores.is_empty()).then(|| (score, curve(scores)));
        Curve {
            loss: curve(losses),
            score,
        }
        .told()
    }

    #[test]
    fn a_curve_is_told_as_it_went() {
        assert_eq!(
            told("accuracy", &[0.5, 0.9], &[1.0, 0.25]),
            " After epoch 0 it was right about 50.0 % of them, after epoch 1 about 90.0 %. Its loss on them was \
             lowest at the end (0.25)."
        );
        assert_eq!(
            told("r2", &[-0.5, 0.75], &[0.5, 0.25, 0.75]),
            " R² on them: -0.5 after epoch 0, 0.75 after epoch 1. Its loss on them was lowest after epoch 1 (0.25) \
             and is 0.75 at the end."
        );
        assert_eq!(
            told("accuracy", &[0.5], &[1.0]),
            " After epoch 0 it was right about 50.0 % of them."
        );
        assert_eq!(
            told("accuracy", &[], &[1.0, f64::NAN, 0.5]),
            " From epoch 1 on its loss on them was not always a number."
        );
        assert_eq!(told("accuracy", &[], &[]), "");
    }
}
