//! What silencing neurons does.

use std::collections::{BTreeMap, BTreeSet};

use super::{Part, Result, Section, Source, counted, p_value, percent};
use crate::chart::number;
use crate::plot::PlotKind;
use crate::plot::association::CHANCE;
use crate::plot::rows::{floats, integers, texts};

pub(super) const HEADING: &str = "What silencing neurons does";

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
    half: String,
    seed: i64,
    draws: i64,
}

/// Which samples chose a structure's neurons: the half, and the seed that it was drawn with.
type ChosenOn = BTreeMap<String, (String, i64)>;

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
            half => format!("the {half} half of the held-out samples"),
        };
        format!(
            "epoch {}, activations {how}, {samples}, {}",
            self.epoch,
            counted(self.draws.unsigned_abs(), "draw")
        )
    }

    /// Whether its samples chose the neurons, or others did; none where nobody knows.
    fn judge(&self, effects: &[Effect], chosen_on: &ChosenOn) -> Option<&'static str> {
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
            judged if judged.iter().all(|others| *others) => {
                Some(" None of these samples chose the neurons.")
            }
            _ => Some(" Some of these samples chose the neurons, which flatters them."),
        }
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
         neurons of the same layers are. The p-value is the share of draws, this one counted, that did the class at \
         least as much harm, corrected for as many ablations as were made (Holm).",
    )];
    let picture = source
        .picture(PlotKind::Ablation, &[("ablation", "all")])
        .await?;
    if let Part::Missing(_) = picture {
        let has_classes = !source.session.info().class_names.is_empty();
        parts.push(Part::Missing(match has_classes {
            true => {
                "Nothing was silenced yet. `query structures find RUN --half first` names neurons, and `recorder \
                 ablate RUN --epoch last --structure NAME --draws 399` silences them and measures on the other half."
            }
            false => {
                "Nothing was silenced yet: `recorder ablate RUN --epoch last --neurons 0,1` does it, and measures."
            }
        }
        .to_owned()));
        return Ok(parts);
    }
    let accuracy = effects(source, "accuracy").await?;
    let loss = effects(source, "loss").await?;
    let chosen_on = chosen_on(source).await?;
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
        let judge = family.judge(&loss, &chosen_on);
        let verdict = verdict(family, &accuracy, &loss);
        parts.push(Part::text(verdict + judge.unwrap_or_default()));
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

/// What a family of ablations shows, also if it is nothing.
fn verdict(family: &Family, accuracy: &[Effect], loss: &[Effect]) -> String {
    let ablations = counted(loss.len().max(accuracy.len()) as u64, "ablation");
    let told = format!("{}: ", capitalised(&family.told()));
    if family.draws <= 0 {
        return told
            + "no random neurons were silenced beside, so that nothing can be called an effect.";
    }
    let both = loss.iter().chain(accuracy);
    let num_tests = both
        .clone()
        .map(|effect| effect.num_tests)
        .max()
        .unwrap_or(0);
    let least = num_tests as f64 / (1.0 + family.draws as f64);
    if least >= CHANCE {
        return told
            + &format!(
                "with {ablations} and {} no corrected p-value can be below {least:.3}, so that nothing can be called \
                 an effect here; `recorder ablate --draws {}` could.",
                counted(family.draws.unsigned_abs(), "draw"),
                20 * num_tests,
            );
    }
    let below = |p: Option<f64>| p.is_some_and(|p| p < CHANCE);
    let harmed = |effects: &[Effect]| effects.iter().filter(|effect| below(effect.p_holm)).count();
    let own = match (harmed(loss), harmed(accuracy)) {
        (0, 0) => format!(
            "of none of {ablations} can be told that it did its class more harm than random neurons do (p below \
             {CHANCE})."
        ),
        (of_loss, of_accuracy) => format!(
            "of {ablations}, {of_loss} raised the loss of their class by more than random neurons do (p below \
             {CHANCE}), and {of_accuracy} lowered its accuracy by more."
        ),
    };
    let others: BTreeSet<&str> = both
        .filter(|effect| below(effect.others_p))
        .map(|effect| effect.what.as_str())
        .collect();
    told + &own + &match others.len() {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn family(half: &str, draws: i64) -> Family {
        Family {
            epoch: 3,
            mode: "zero".to_owned(),
            factor: None,
            half: half.to_owned(),
            seed: 42,
            draws,
        }
    }

    /// One of two ablations, with its corrected p-value and that of the other classes.
    fn effect(what: &str, p_holm: f64, others_p: f64) -> Effect {
        Effect {
            what: what.to_owned(),
            class: 0,
            family: family("second", 399),
            before: Some(1.0),
            after: Some(0.5),
            random: Some(1.0),
            p_holm: Some(p_holm),
            num_tests: 2,
            others_before: None,
            others_after: None,
            others_p: Some(others_p),
        }
    }

    #[test]
    fn a_verdict_says_what_was_found_also_if_it_is_nothing() {
        let said = |draws, effects: &[Effect]| verdict(&family("second", draws), effects, effects);
        let begin = "Epoch 3, activations set to 0, the second half of the held-out samples, ";
        let two = [effect("a", 0.01, 0.5), effect("b", 0.25, 0.03)];
        assert_eq!(
            said(399, &two),
            format!(
                "{begin}399 draws: of 2 ablations, 1 raised the loss of their class by more than random neurons do (p \
                 below 0.05), and 1 lowered its accuracy by more. The other classes suffered more than by chance \
                 (p below 0.05, not corrected) in 1."
            )
        );
        let none = said(399, &[effect("a", 0.05, 0.05), effect("b", 1.0, 1.0)]);
        assert!(
            none.contains("of none of 2 ablations can be told that it did its class"),
            "{none}"
        );
        assert!(none.ends_with("that it did the other classes more harm than random neurons do."));
        let few = said(9, &two);
        assert!(
            few.contains("no corrected p-value can be below 0.200"),
            "{few}"
        );
        assert!(few.contains("`recorder ablate --draws 40`"), "{few}");
        assert!(said(0, &two).contains("no random neurons were silenced"));
    }

    #[test]
    fn samples_that_chose_the_neurons_are_told() {
        let two = [effect("a", 0.01, 0.5), effect("b", 0.25, 0.03)];
        let judge = |half: &str, a: (&str, i64), b: (&str, i64)| {
            let chosen_on = [("a", a), ("b", b)];
            let chosen_on =
                chosen_on.map(|(name, (half, seed))| (name.to_owned(), (half.to_owned(), seed)));
            family(half, 9).judge(&two, &chosen_on.into())
        };
        let other = Some(" None of these samples chose the neurons.");
        let same = Some(" Some of these samples chose the neurons, which flatters them.");
        assert_eq!(judge("second", ("first", 42), ("first", 42)), other);
        assert_eq!(judge("first", ("first", 42), ("first", 42)), same);
        assert_eq!(judge("second", ("first", 42), ("all", 42)), same);
        assert_eq!(judge("second", ("first", 42), ("first", 7)), same);
        assert_eq!(family("second", 9).judge(&two, &ChosenOn::new()), None);
    }
}
