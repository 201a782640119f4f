//! How it learned.

use std::collections::BTreeMap;

use super::{Part, Result, Section, Source, counted, listed, percent};
use crate::chart::number;
use crate::phases::phases;
use crate::plot::PlotKind;
use crate::plot::rows::{floats, integers, texts};

pub(super) const HEADING: &str = "How it learned";

/// What may say how good a network is, the first of them that was recorded.
const SCORES: [&str; 3] = ["accuracy", "label_accuracy", "r2"];

/// What the held-out samples said of the network, epoch after epoch.
#[derive(Debug, Default)]
pub(super) struct Curve {
    loss: Vec<(i64, f64)>,
    score: Option<(&'static str, Vec<(i64, f64)>)>,
}

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
        let of = |name: &str| -> Vec<(i64, f64)> {
            let rows = (0..rows.num_rows()).filter(|&row| names[row] == name);
            rows.filter_map(|row| Some((epochs[row], values[row]?)))
                .collect()
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

    pub(super) fn last_loss(&self) -> Option<f64> {
        self.loss.last().map(|(_, loss)| *loss)
    }

    pub(super) fn last_score(&self) -> Option<(&'static str, f64)> {
        let (name, curve) = self.score.as_ref()?;
        Some((name, curve.last()?.1))
    }

    /// How it went, in a sentence or two.
    pub(super) fn told(&self) -> String {
        let mut told = String::new();
        if let Some((name, curve)) = &self.score
            && let (Some(first), Some(last)) = (curve.first(), curve.last())
        {
            told += &match *name {
                "accuracy" => format!(
                    " After epoch {} it was right about {} of them, after epoch {} about {}.",
                    first.0,
                    percent(first.1),
                    last.0,
                    percent(last.1)
                ),
                name => format!(
                    " Its {} on them went from {} after epoch {} to {} after epoch {}.",
                    Self::score_name(name),
                    number(first.1),
                    first.0,
                    number(last.1),
                    last.0
                ),
            };
        }
        let best = self.loss.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        if let (Some(best), Some(last)) = (best, self.loss.last()) {
            told += &match best.0 == last.0 {
                true => " Its loss on them was still falling at the last epoch.".to_owned(),
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
        parts.push(Part::text(
            "Some samples are easy from the start, some are learned late, some never. Those to the right are \
             ones that the network wavered about; those at the bottom it kept getting wrong, which is also \
             where wrongly labelled samples end up.",
        ));
        parts.push(source.picture(PlotKind::Cartography, &[]).await?);
    }
    parts.extend(stretches(source).await?);
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
        let steady = match layer.most_tried {
            Some(most) if firsts.len() >= most => "perhaps one steady change",
            _ => "",
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
            steady.to_owned(),
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
