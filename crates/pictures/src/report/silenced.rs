//! What silencing neurons does: what a run says of it.

mod wording;

use std::collections::BTreeMap;

use super::answers::{Film, Source};
use super::error::Result;
use super::section::Section;
use crate::chart::html::Frame;
use crate::plot::PlotKind;
use crate::plot::rows::{floats, integers, texts};

pub(super) use wording::HEADING;

pub(super) async fn section(source: &Source<'_>) -> Result<Section> {
    Ok(wording::section(found(source).await?))
}

/// What the section tells.
struct Found {
    has_classes: bool,
    /// None where nothing was silenced yet.
    silenced: Option<Silenced>,
}

/// What was silenced, and what the network lost.
struct Silenced {
    families: Vec<Effects>,
    /// What the network lost of its accuracy.
    accuracy: Vec<Frame>,
    /// How far its loss rose.
    loss: Film,
}

/// What the ablations of a family did.
struct Effects {
    family: Family,
    accuracy: Vec<Effect>,
    loss: Vec<Effect>,
    /// Whether its samples chose the neurons; none where nobody knows.
    judges: Option<Judges>,
}

/// Which samples judge neurons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judges {
    /// None of those that chose them.
    Others,
    /// Some of those that chose them.
    TheSame,
}

/// One ablation that was aimed at a class, by one figure.
#[derive(Debug, Clone)]
struct Effect {
    what: String,
    class: String,
    /// What ablations that are corrected together have in common.
    family: Family,
    before: Option<f64>,
    after: Option<f64>,
    random: Option<f64>,
    p_holm: Option<f64>,
    /// For how many ablations that is corrected.
    num_tests: i64,
    others_before: Option<f64>,
    others_after: Option<f64>,
    others_p: Option<f64>,
}

/// Ablations that asked the same of other neurons.
#[derive(Debug, Clone, PartialEq)]
struct Family {
    epoch: i64,
    mode: String,
    factor: Option<f64>,
    value: Option<f64>,
    half: String,
    seed: i64,
    draws: i64,
}

/// Which samples chose a structure's neurons: the half, and the seed that it was drawn with.
type ChosenOn = BTreeMap<String, (String, i64)>;

impl Family {
    /// Whether its samples chose the neurons, or others did; none where nobody knows.
    fn judges(&self, effects: &[Effect], chosen_on: &ChosenOn) -> Option<Judges> {
        let others = |effect: &Effect| {
            let (half, seed) = chosen_on.get(&effect.what)?;
            let other = match half.as_str() {
                "first" => "second",
                "second" => "first",
                _ => return Some(false),
            };
            Some(*seed == self.seed && self.half == other)
        };
        let judged: Option<Vec<bool>> = effects.iter().map(others).collect();
        match judged?.as_slice() {
            [] => None,
            judged if judged.iter().all(|others| *others) => Some(Judges::Others),
            _ => Some(Judges::TheSame),
        }
    }
}

async fn found(source: &Source<'_>) -> Result<Found> {
    let accuracy = source
        .picture(PlotKind::Ablation, &[("ablation", "all")])
        .await?;
    let silenced = match accuracy {
        Ok(accuracy) => Some(silenced(source, accuracy).await?),
        Err(_) => None,
    };
    Ok(Found {
        has_classes: source.has_classes(),
        silenced,
    })
}

async fn silenced(source: &Source<'_>, picture: Vec<Frame>) -> Result<Silenced> {
    let accuracy = effects(source, "accuracy").await?;
    let loss = effects(source, "loss").await?;
    let chosen_on = chosen_on(source).await?;
    let mut families: Vec<&Family> = Vec::new();
    for effect in loss.iter().chain(&accuracy) {
        if !families.contains(&&effect.family) {
            families.push(&effect.family);
        }
    }
    let families = families.into_iter().map(|family| {
        let of = |effects: &[Effect]| -> Vec<Effect> {
            let of_family = effects.iter().filter(|effect| effect.family == *family);
            of_family.cloned().collect()
        };
        let (accuracy, loss) = (of(&accuracy), of(&loss));
        Effects {
            judges: family.judges(&loss, &chosen_on),
            family: family.clone(),
            accuracy,
            loss,
        }
    });
    let losses = [("ablation", "all"), ("metric", "loss")];
    Ok(Silenced {
        families: families.collect(),
        accuracy: picture,
        loss: source.picture(PlotKind::Ablation, &losses).await?,
    })
}

/// Which samples chose each structure.
async fn chosen_on(source: &Source<'_>) -> Result<ChosenOn> {
    let rows = source
        .sql("SELECT DISTINCT name, half, seed FROM structures WHERE half IS NOT NULL")
        .await?;
    let (names, halves) = (texts(&rows, "name"), texts(&rows, "half"));
    let found = names
        .into_iter()
        .zip(halves.into_iter().zip(integers(&rows, "seed")));
    Ok(found.collect())
}

async fn effects(source: &Source<'_>, metric: &str) -> Result<Vec<Effect>> {
    let rows = source
        .named("ablation_effects", &[("metric", metric)])
        .await?;
    let column = |name: &str| integers(&rows, name);
    let [epochs, classes, draws] = ["epoch", "of_class", "draws"].map(column);
    let [seeds, num_tests] = ["seed", "num_tests"].map(column);
    let column = |name: &str| texts(&rows, name);
    let [names, neurons, modes, halves] = ["name", "neurons", "mode", "half"].map(column);
    let column = |name: &str| floats(&rows, name);
    let [factors, values] = ["factor", "value"].map(column);
    let [before, after, random, p_holm] = ["before", "after", "random_mean", "p_holm"].map(column);
    let [others_before, others_after, others_p] =
        ["others_before", "others_after", "others_p_value"].map(column);
    let effects = (0..rows.num_rows()).map(|row| Effect {
        what: match names[row].as_str() {
            "" => format!("neurons {}", neurons[row]),
            name => name.to_owned(),
        },
        class: source.class_name(classes[row]),
        family: Family {
            epoch: epochs[row],
            mode: modes[row].clone(),
            factor: factors[row],
            value: values[row],
            half: halves[row].clone(),
            seed: seeds[row],
            draws: draws[row],
        },
        before: before[row],
        after: after[row],
        random: random[row],
        p_holm: p_holm[row],
        num_tests: num_tests[row],
        others_before: others_before[row],
        others_after: others_after[row],
        others_p: others_p[row],
    });
    Ok(effects.collect())
}
