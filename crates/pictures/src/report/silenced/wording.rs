//! What silencing neurons does, in words, tables and pictures.

use std::collections::BTreeSet;

use super::{Effect, Effects, Family, Found, Judges};
use crate::chart::number;
use crate::plot::association::CHANCE;
use crate::report::prose::{capitalised, counted, or_dash, p_value, percent};
use crate::report::section::{Part, Section};

pub(in crate::report) const HEADING: &str = "What silencing neurons does";

pub(super) fn section(found: Found) -> Section {
    let mut parts = vec![Part::text(
        "That a neuron is active for a class does not show that the network needs it. So neurons are silenced in \
         the network as it was, and it is judged again: beside it, as often as there were draws, as many random \
         neurons of the same layers are. The p-value is the share of draws, this one counted, that did the class at \
         least as much harm, corrected for as many ablations as were made (Holm).",
    )];
    match found.silenced {
        None => parts.push(nothing_silenced(found.has_classes)),
        Some(silenced) => {
            parts.extend(silenced.families.iter().flat_map(effects));
            parts.push(Part::Film(silenced.accuracy));
            parts.extend(silenced.loss.ok().map(Part::Film));
        }
    }
    Section {
        heading: HEADING,
        parts,
        commands: vec![
            "structures find RUN --half first",
            "run ablation_effects RUN --param metric=loss",
            "plot ablation RUN --param ablation=all -o ablation.svg",
        ],
    }
}

fn nothing_silenced(has_classes: bool) -> Part {
    Part::missing(match has_classes {
        true => {
            "Nothing was silenced yet. `query structures find RUN --half first` names neurons, and `recorder \
             ablate RUN --epoch last --structure NAME --draws 399` silences them and measures on the other half."
        }
        false => {
            "Nothing was silenced yet: `recorder ablate RUN --epoch last --neurons 0,1` does it, and measures."
        }
    })
}

/// What a family of ablations shows, and its tables.
fn effects(found: &Effects) -> Vec<Part> {
    let verdict = verdict(&found.family, &found.accuracy, &found.loss);
    let judges = found.judges.map_or("", describe_judges);
    let grids = [
        grid(&found.accuracy, "accuracy", percent),
        grid(&found.loss, "loss", number),
    ];
    let verdict = Part::text(verdict + judges);
    [Some(verdict)].into_iter().chain(grids).flatten().collect()
}

fn describe_judges(judges: Judges) -> &'static str {
    match judges {
        Judges::Others => " None of these samples chose the neurons.",
        Judges::TheSame => " Some of these samples chose the neurons, which flatters them.",
    }
}

/// What ablations have in common.
fn describe_family(family: &Family) -> String {
    let how = match (family.mode.as_str(), family.factor.or(family.value)) {
        ("zero", _) => "set to 0".to_owned(),
        ("mean", _) => "set to their mean".to_owned(),
        ("scale", Some(factor)) => format!("multiplied by {}", number(factor)),
        ("set", Some(value)) => format!("set to {}", number(value)),
        (mode, _) => mode.to_owned(),
    };
    let samples = match family.half.as_str() {
        "" | "all" => "all held-out samples".to_owned(),
        half => format!("the {half} half of the held-out samples"),
    };
    format!(
        "epoch {}, activations {how}, {samples}, {}",
        family.epoch,
        counted(family.draws.unsigned_abs(), "draw")
    )
}

/// What a family of ablations shows, also if it is nothing.
fn verdict(family: &Family, accuracy: &[Effect], loss: &[Effect]) -> String {
    let ablations = counted(loss.len().max(accuracy.len()) as u64, "ablation");
    let told = format!("{}: ", capitalised(&describe_family(family)));
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

fn grid(effects: &[Effect], metric: &str, format: fn(f64) -> String) -> Option<Part> {
    let format = |value: Option<f64>| or_dash(value, format);
    let rows = effects.iter().map(|effect| {
        vec![
            effect.what.clone(),
            effect.class.clone(),
            format(effect.before),
            format(effect.after),
            format(effect.random),
            p_value(effect.p_holm),
            format!(
                "{} → {}",
                format(effect.others_before),
                format(effect.others_after)
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
    use crate::report::silenced::ChosenOn;

    fn family(half: &str, draws: i64) -> Family {
        Family {
            epoch: 3,
            mode: "zero".to_owned(),
            factor: None,
            value: None,
            half: half.to_owned(),
            seed: 42,
            draws,
        }
    }

    /// One of two ablations, with its corrected p-value and that of the other classes.
    fn effect(what: &str, p_holm: f64, others_p: f64) -> Effect {
        Effect {
            what: what.to_owned(),
            class: "0".to_owned(),
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
    fn how_neurons_were_silenced_is_told() {
        let said = |mode: &str, factor, value| {
            let mode = mode.to_owned();
            describe_family(&Family {
                mode,
                factor,
                value,
                ..family("all", 9)
            })
        };
        for (said, how) in [
            (said("zero", None, None), "set to 0"),
            (said("mean", None, None), "set to their mean"),
            (said("scale", Some(-0.5), None), "multiplied by -0.5"),
            (said("set", None, Some(3.0)), "set to 3"),
        ] {
            let expected = format!("epoch 3, activations {how}, all held-out samples, 9 draws");
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn who_judges_is_told() {
        assert_eq!(
            describe_judges(Judges::Others),
            " None of these samples chose the neurons."
        );
        assert_eq!(
            describe_judges(Judges::TheSame),
            " Some of these samples chose the neurons, which flatters them."
        );
    }

    #[test]
    fn samples_that_chose_the_neurons_are_spoken_of_behind_the_verdict() {
        let said = |judges| {
            let parts = effects(&Effects {
                family: family("first", 399),
                accuracy: vec![effect("a", 0.01, 0.5)],
                loss: vec![effect("a", 0.01, 0.5)],
                judges,
            });
            match &parts[..] {
                [Part::Text(said), Part::Grid(_), Part::Grid(_)] => said.clone(),
                other => panic!("{other:?}"),
            }
        };
        let verdict = said(None);
        assert_eq!(
            said(Some(Judges::TheSame)),
            format!("{verdict} Some of these samples chose the neurons, which flatters them.")
        );
        assert_eq!(
            said(Some(Judges::Others)),
            format!("{verdict} None of these samples chose the neurons.")
        );
    }

    #[test]
    fn samples_that_chose_the_neurons_are_told() {
        let two = [effect("a", 0.01, 0.5), effect("b", 0.25, 0.03)];
        let judge = |half: &str, a: (&str, i64), b: (&str, i64)| {
            let chosen_on = [("a", a), ("b", b)];
            let chosen_on =
                chosen_on.map(|(name, (half, seed))| (name.to_owned(), (half.to_owned(), seed)));
            family(half, 9).judges(&two, &chosen_on.into())
        };
        let (other, same) = (Some(Judges::Others), Some(Judges::TheSame));
        assert_eq!(judge("second", ("first", 42), ("first", 42)), other);
        assert_eq!(judge("first", ("first", 42), ("first", 42)), same);
        assert_eq!(judge("second", ("first", 42), ("all", 42)), same);
        assert_eq!(judge("second", ("first", 42), ("first", 7)), same);
        assert_eq!(family("second", 9).judges(&two, &ChosenOn::new()), None);
    }
}
