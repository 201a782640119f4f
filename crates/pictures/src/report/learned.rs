//! How it learned: what a run says of it.

mod wording;

use std::collections::BTreeMap;

use studies::phases;

use super::answers::{Answer, Film, Source, answer};
use super::error::Result;
use super::section::Section;
use crate::plot::PlotKind;
use crate::plot::rows::{floats, integers, texts};

pub(super) use wording::{HEADING, describe_curve, score, score_name};

/// What may say how good a network is, the first of them that was recorded.
const SCORES: [&str; 3] = ["accuracy", "label_accuracy", "r2"];

/// A hidden Markov model of fewer epochs says nothing.
const FEWEST_EPOCHS: usize = 5;

pub(super) async fn section(source: &Source<'_>) -> Result<Section> {
    Ok(wording::section(found(source).await?))
}

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

    /// The loss at the last epoch; none where there is no loss.
    pub(super) fn last_loss(&self) -> Option<Option<f64>> {
        self.loss.last().map(|(_, loss)| *loss)
    }

    /// What the score is, and at the last epoch.
    pub(super) fn last_score(&self) -> Option<(&'static str, Option<f64>)> {
        let (name, curve) = self.score.as_ref()?;
        Some((name, curve.last()?.1))
    }
}

/// What the section tells.
struct Found {
    curves: Film,
    /// What is told by classes; none of a run without them.
    by_class: Option<ByClass>,
    stretches: Answer<Option<Stretches>>,
}

/// Which samples were taken for what.
struct ByClass {
    confusion: Film,
    classes: Vec<Class>,
    cartography: Film,
}

/// A class at the last epoch.
struct Class {
    name: String,
    num_samples: i64,
    num_right: i64,
    /// What the others were taken for, and how many, the most first.
    taken_for: Vec<(String, i64)>,
}

/// Where each layer changed its behaviour.
struct Stretches {
    num_epochs: usize,
    layers: Vec<LayerStretches>,
}

/// The stretches of a layer.
struct LayerStretches {
    layer: String,
    /// The epochs at which they begin.
    begins: Vec<i32>,
    /// What tells them apart.
    measures: Vec<String>,
    is_perhaps_steady: bool,
}

async fn found(source: &Source<'_>) -> Result<Found> {
    let curves = source.picture(PlotKind::Curves, &[]).await?;
    let by_class = match source.has_classes() {
        true => Some(ByClass {
            confusion: source.film(PlotKind::Confusion, &[]).await?,
            classes: classes(source).await?,
            cartography: source.picture(PlotKind::Cartography, &[]).await?,
        }),
        false => None,
    };
    Ok(Found {
        curves,
        by_class,
        stretches: answer(stretches(source).await)?,
    })
}

async fn classes(source: &Source<'_>) -> Result<Vec<Class>> {
    let rows = source.named("confusion", &[("epoch", "last")]).await?;
    let (targets, predicted) = (integers(&rows, "target"), integers(&rows, "predicted"));
    let counts = integers(&rows, "count");
    let mut by_class: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
    for (row, &target) in targets.iter().enumerate() {
        let of_class = by_class.entry(target).or_default();
        of_class.push((predicted[row], counts[row]));
    }
    let classes = by_class.into_iter().map(|(class, mut taken)| {
        let right = taken.iter().filter(|(predicted, _)| *predicted == class);
        let num_right = right.map(|(_, count)| count).sum();
        let num_samples = taken.iter().map(|(_, count)| count).sum();
        taken.retain(|(predicted, count)| *predicted != class && *count > 0);
        taken.sort_by_key(|(predicted, count)| (-count, *predicted));
        let taken_for = taken.into_iter();
        let taken_for = taken_for.map(|(predicted, count)| (source.class_name(predicted), count));
        Class {
            name: source.class_name(class),
            num_samples,
            num_right,
            taken_for: taken_for.collect(),
        }
    });
    Ok(classes.collect())
}

async fn stretches(source: &Source<'_>) -> Result<Option<Stretches>> {
    let num_epochs = source.session.captured_epochs().len();
    if num_epochs < FEWEST_EPOCHS {
        return Ok(None);
    }
    let found = phases(source.session, None, None).await?;
    let layers = found.iter().map(|layer| {
        let begins = layer.begins();
        let firsts = (0..begins.len()).filter(|&at| begins[at]);
        LayerStretches {
            layer: layer.layer.clone(),
            begins: firsts.map(|at| layer.epochs[at]).collect(),
            measures: layer.measures.iter().map(ToString::to_string).collect(),
            is_perhaps_steady: layer.is_perhaps_steady(),
        }
    });
    Ok(Some(Stretches {
        num_epochs,
        layers: layers.collect(),
    }))
}
