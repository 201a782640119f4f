//! What silencing neurons does.

use super::{Part, Result, Section, Source, counted, p_value, percent};
use crate::chart::number;
use crate::plot::PlotKind;
use crate::plot::rows::{floats, integers, texts};

pub(super) const HEADING: &str = "What silencing neurons does";

/// Corrected p-values below this are called an effect.
const CHANCE: f64 = 0.05;

/// One ablation that was aimed at a class, by one figure.
#[derive(Debug, Clone)]
struct Effect {
    what: String,
    class: i64,
    /// What ablations that are corrected together have in common.
    family: Family,
    before: Option<f64>,
    after: Option<f64>,
    random: Option<f64>,
    p_holm: Option<f64>,
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
    half: String,
    draws: i64,
}

impl Family {
    fn told(&self) -> String {
        let how = match (self.mode.as_str(), self.factor) {
            ("zero", _) => "set to 0".to_owned(),
            ("mean", _) => "set to their mean".to_owned(),
            (_, Some(factor)) => format!("multiplied by {}", number(factor)),
            (mode, None) => mode.to_owned(),
        };
        let samples = match self.half.as_str() {
            "" | "all" => "all held-out samples".to_owned(),
            half => {
                format!("the {half} half of the held-out samples, which did not choose the neurons")
            }
        };
        format!(
            "epoch {}, activations {how}, {samples}, {}",
            self.epoch,
            counted(self.draws.unsigned_abs(), "draw")
        )
    }
}

pub(super) async fn section(source: &Source<'_>) -> Result<Section> {
    let parts = parts(source).await?;
    Ok(Section {
        heading: HEADING,
        parts,
        commands: vec![
            "structures find RUN --half first",
            "run ablation_effects RUN --param metric=loss",
            "plot ablation RUN --param ablation=all -o ablation.svg",
        ],
    })
}

async fn parts(source: &Source<'_>) -> Result<Vec<Part>> {
    let mut parts = vec![Part::text(
        "That a neuron is active for a class does not show that the network needs it. So neurons are silenced in \
         the network as it was, and it is judged again: beside it, as often as there were draws, as many random \
         neurons of the same layers are. The p-value is the share of draws that did the class at least as much \
         harm, corrected for the number of structures that were tried (Holm).",
    )];
    let picture = source
        .picture(PlotKind::Ablation, &[("ablation", "all")])
        .await?;
    if let Part::Missing(_) = picture {
        parts.push(Part::Missing(
            "Nothing was silenced yet. `query structures find RUN --half first` names neurons, and `recorder ablate \
             RUN --structure NAME --draws 399` silences them and measures on the other half."
                .to_owned(),
        ));
        return Ok(parts);
    }
    let accuracy = effects(source, "accuracy").await?;
    let loss = effects(source, "loss").await?;
    let mut families: Vec<&Family> = Vec::new();
    for effect in loss.iter().chain(&accuracy) {
        if !families.contains(&&effect.family) {
            families.push(&effect.family);
        }
    }
    for family in families {
        let of = |effects: &[Effect]| -> Vec<Effect> {
            let of_family = effects.iter().filter(|effect| effect.family == *family);
            of_family.cloned().collect()
        };
        let (accuracy, loss) = (of(&accuracy), of(&loss));
        parts.push(Part::text(verdict(family, &accuracy, &loss)));
        parts.extend(grid(source, &accuracy, "accuracy", percent));
        parts.extend(grid(source, &loss, "loss", number));
    }
    parts.push(picture);
    let losses = [("ablation", "all"), ("metric", "loss")];
    let losses = source.picture(PlotKind::Ablation, &losses).await?;
    if matches!(losses, Part::Film(_)) {
        parts.push(losses);
    }
    Ok(parts)
}

async fn effects(source: &Source<'_>, metric: &str) -> Result<Vec<Effect>> {
    let rows = source
        .named("ablation_effects", &[("metric", metric)])
        .await?;
    let column = |name: &str| integers(&rows, name);
    let [epochs, classes, draws] = ["epoch", "of_class", "draws"].map(column);
    let column = |name: &str| texts(&rows, name);
    let [names, neurons, modes, halves] = ["name", "neurons", "mode", "half"].map(column);
    let column = |name: &str| floats(&rows, name);
    let [factors, before, after, random, p_holm] =
        ["factor", "before", "after", "random_mean", "p_holm"].map(column);
    let [others_before, others_after, others_p] =
        ["others_before", "others_after", "others_p_value"].map(column);
    let effects = (0..rows.num_rows()).map(|row| Effect {
        what: match names[row].as_str() {
            "" => format!("neurons {}", neurons[row]),
            name => name.to_owned(),
        },
        class: classes[row],
        family: Family {
            epoch: epochs[row],
            mode: modes[row].clone(),
            factor: factors[row],
            half: halves[row].clone(),
            draws: draws[row],
        },
        before: before[row],
        after: after[row],
        random: random[row],
        p_holm: p_holm[row],
        others_before: others_before[row],
        others_after: others_after[row],
        others_p: others_p[row],
    });
    Ok(effects.collect())
}

/// What a family of ablations shows, also if it is nothing.
fn verdict(family: &Family, accuracy: &[Effect], loss: &[Effect]) -> String {
    let num = loss.len().max(accuracy.len());
    let harmed = |effects: &[Effect]| {
        let harmed = effects
            .iter()
            .filter(|e| e.p_holm.is_some_and(|p| p < CHANCE));
        harmed.count()
    };
    let mut told = format!("{}: ", capitalised(&family.told()));
    let least = num as f64 / (1.0 + family.draws as f64);
    if least >= CHANCE {
        return told
            + &format!(
                "with {} and {} no corrected p-value can be below {least:.3}, so that nothing can be called \
                 an effect here; `recorder ablate --draws {}` could.",
                counted(num as u64, "structure"),
                counted(family.draws.unsigned_abs(), "draw"),
                20 * num,
            );
    }
    told += &match (harmed(loss), harmed(accuracy)) {
        (0, 0) => format!(
            "of {} none did its class more harm than random neurons do (p below {CHANCE}).",
            counted(num as u64, "structure")
        ),
        (of_loss, of_accuracy) => format!(
            "of {}, {of_loss} raised the loss of their class by more than random neurons do (p below {CHANCE}), and \
             {of_accuracy} lowered its accuracy by more.",
            counted(num as u64, "structure")
        ),
    };
    let others = |effects: &[Effect]| {
        let harmed = effects
            .iter()
            .filter(|e| e.others_p.is_some_and(|p| p < CHANCE));
        harmed.count()
    };
    told + &match others(loss).max(others(accuracy)) {
        0 => " Of none can be told that it did the other classes more harm than random neurons do."
            .to_owned(),
        some => format!(
            " The other classes suffered more than by chance (p below {CHANCE}, not corrected) in {some}."
        ),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

fn grid(
    source: &Source<'_>,
    effects: &[Effect],
    metric: &str,
    told: fn(f64) -> String,
) -> Option<Part> {
    let told = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), told);
    let rows = effects.iter().map(|effect| {
        vec![
            effect.what.clone(),
            source.class_name(effect.class),
            told(effect.before),
            told(effect.after),
            told(effect.random),
            p_value(effect.p_holm),
            format!(
                "{} → {}",
                told(effect.others_before),
                told(effect.others_after)
            ),
            p_value(effect.others_p),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let columns = [
        "silenced",
        "class",
        "before",
        "after",
        "random neurons",
        "p, corrected",
        "other classes",
        "p of those",
    ];
    let caption = format!("{} of the class", capitalised(metric));
    (!rows.is_empty()).then(|| Part::grid(caption, &columns, rows))
}
