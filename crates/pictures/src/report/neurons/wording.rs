//! Which neurons became what, and when, in words, tables and pictures.

use analysis::JointPower;

use super::{
    ByClass, Changes, Connections, Counts, Found, MAX_STRUCTURES, Onset, PER_CLASS, RANKED, Roles,
    Steadiness, Strongest, Structure, Structures,
};
use crate::chart::{Axis, Cells, Chart, ColourScale, Content, Panel, Ticks, number};
use crate::report::prose::{counted, or_dash, p_value, percent};
use crate::report::section::{Part, Section, introduced, parts_of};

pub(in crate::report) const HEADING: &str = "Which neurons became what, and when";

/// What else can be asked where there are classes.
const CLASS_COMMANDS: &[&str] = &[
    "run structure_onset RUN --param class=1",
    "run class_changes RUN",
    "structures find RUN",
    "structures list RUN",
];

/// What else can be asked of any run.
const COMMANDS: [&str; 2] = ["embed RUN --epoch all", "run strongest_paths RUN"];

pub(super) fn section(found: Found) -> Section {
    let (mut parts, commands): (Vec<Part>, &[&str]) = match found.by_class {
        Some(by_class) => (classes(by_class, found.permutations), CLASS_COMMANDS),
        None => {
            let missing = "Neurons are told apart by the classes that they go with, and this run has no classes.";
            (vec![Part::missing(missing)], &[])
        }
    };
    parts.extend(parts_of(found.connections, connections));
    Section {
        heading: HEADING,
        parts,
        commands: [commands, &COMMANDS].concat(),
    }
}

fn classes(found: ByClass, permutations: u32) -> Vec<Part> {
    let mut parts = vec![Part::text(format!(
        "A neuron goes with a class where it is active for the samples that the network takes for that class, and \
         not for others. With so many neurons and classes some do by chance: the classes were shuffled among the \
         samples {permutations} times, and what any neuron reaches by then is called chance. The output layer is left out, \
         since its neurons are the classes.",
    ))];
    parts.push(Part::film(found.association));
    if let Some(of_neurons) = found.roles {
        parts.extend(roles(of_neurons));
    }
    parts.extend(parts_of(found.structures, structures));
    parts
}

fn roles(found: Roles) -> Vec<Part> {
    let mut parts = parts_of(found.strongest, |found| [strongest(found)]);
    parts.extend(parts_of(found.counts, |found| found.map(counts)));
    parts.extend(parts_of(found.steadiness, |found| found.map(steadiness)));
    parts.extend(parts_of(found.changes, |found| found.map(changes)));
    let alike = "Neurons that respond alike stand beside each other, coloured by the class that they go with.";
    let alike = match found.is_filmed {
        true => format!(
            "{alike} Each epoch begins where the one before it ended, so that what moves has changed."
        ),
        false => format!(
            "{alike} Of so many neurons it is the last epoch alone; `query embed --epoch all` follows them."
        ),
    };
    parts.extend(introduced(alike, found.alike));
    parts
}

fn strongest(found: Vec<Strongest>) -> Part {
    if found.is_empty() {
        return Part::text(
            "At the last epoch no neuron goes with a class more than chance explains.",
        );
    }
    let onset = |onset: Onset| {
        format!(
            "n_{} of {} since epoch {}, r {}",
            onset.neuron,
            onset.layer,
            onset.since,
            or_dash(onset.score, |score| format!("{score:.2}")),
        )
    };
    let rows = found.into_iter().map(|of_class| {
        let mut neurons: Vec<String> = of_class.neurons.into_iter().map(onset).collect();
        neurons.resize(PER_CLASS, String::new());
        [vec![of_class.class], neurons].concat()
    });
    let columns = ["class", "the strongest neuron", "the second", "the third"];
    let caption =
        "The strongest neurons of each class at the last epoch, since when, and the correlation";
    Part::grid(caption, &columns, rows.collect())
}

fn counts(found: Counts) -> Part {
    let values = found.neurons.into_iter().map(|of_class| {
        let of_class = of_class.into_iter();
        of_class.map(|count| Some(f64::from(count))).collect()
    });
    let cells = Cells {
        values: values.collect(),
        texts: None,
        scale: ColourScale::Sequential,
        beyond: Some((0.0, 0.0)),
        legend: "neurons".to_owned(),
        ticks: Ticks::Whole,
    };
    let panel = Panel {
        title: None,
        x: Axis::names("epoch", found.epochs.iter().map(i32::to_string).collect()),
        y: Axis::names("class", found.classes),
        content: Content::Cells(cells),
    };
    Part::still(Chart {
        title: "How many neurons go with each class, epoch by epoch".to_owned(),
        subtitle: "more active with it than chance explains".to_owned(),
        panels: vec![panel],
        notes: Vec::new(),
    })
}

fn steadiness(found: Steadiness) -> Part {
    let one_decimal = |value: f64| number((10.0 * value).round() / 10.0);
    let ranked = f64::from(RANKED);
    Part::text(format!(
        "Of the {RANKED} strongest neurons of a class, {} had been among them at the capture before, on the mean over \
         the classes, at epoch {}, and {} at epoch {}; with {} neurons chance would have kept {}.",
        one_decimal(found.first.kept),
        found.first.epoch,
        one_decimal(found.last.kept),
        found.last.epoch,
        one_decimal(found.neurons),
        one_decimal(ranked * ranked / found.neurons),
    ))
}

fn changes(found: Changes) -> Part {
    if found.num_neurons == 0 {
        return Part::text("No neuron went over from one class to another.");
    }
    let caption = format!(
        "{} went over from one class to another, some of them back; the latest {}",
        counted(found.num_neurons, "neuron"),
        counted(found.latest.len() as u64, "change")
    );
    let rows = found.latest.into_iter().map(|change| {
        vec![
            change.epoch.to_string(),
            format!("n_{}", change.neuron),
            change.layer,
            change.from_class,
            change.to_class,
            change.correlation.map_or_else(String::new, number),
        ]
    });
    let columns = [
        "epoch",
        "neuron",
        "layer",
        "from class",
        "to class",
        "correlation",
    ];
    Part::grid(caption, &columns, rows.collect())
}

fn structures(found: Structures) -> Vec<Part> {
    if found.num_kept == 0 {
        return vec![Part::missing(
            "No sets of neurons were given names: `query structures find` keeps the strongest of each class \
             as structures, which `recorder ablate` can silence.",
        )];
    }
    let caption = match found.num_kept > MAX_STRUCTURES {
        true => format!(
            "Structures that the run keeps: {MAX_STRUCTURES} of {}",
            found.num_kept
        ),
        false => "Structures that the run keeps".to_owned(),
    };
    vec![
        Part::text(
            "A structure is a set of neurons with a name, as regions of a brain have. How well they tell their class \
             from the rest together is judged by a linear probe: on the half of the held-out samples that did not \
             choose them, if one half chose them, else on all. Beside its share of right answers stands what saying \
             \"not this class\", or always this class, would have been right about.",
        ),
        Part::grid(
            caption,
            &[
                "structure",
                "class",
                "neurons",
                "at epoch",
                "since",
                "chosen by",
                "highest score",
                "largest p",
                "AUC together",
                "right",
                "right without them",
            ],
            found.shown.into_iter().map(structure).collect(),
        ),
    ]
}

fn structure(found: Structure) -> Vec<String> {
    let ids: Vec<String> = found.neurons.iter().map(|id| format!("n_{id}")).collect();
    let power = |of: fn(&JointPower) -> String| or_dash(found.power.as_ref(), of);
    vec![
        found.name,
        or_dash(found.class, |class| class),
        ids.join(", "),
        found.epoch.to_string(),
        or_dash(found.since, |epoch| epoch.to_string()),
        match found.half.as_deref() {
            None => "by hand".to_owned(),
            Some("all") => "all".to_owned(),
            Some(half) => format!("the {half} half"),
        },
        or_dash(found.highest_score, number),
        p_value(found.largest_p),
        power(|power| number(power.auc)),
        power(|power| percent(power.accuracy)),
        power(|power| percent(power.majority)),
    ]
}

fn connections(found: Connections) -> Vec<Part> {
    let mut parts = vec![Part::film(found.network)];
    let rows = found.chains.into_iter().map(|chain| {
        vec![
            chain.rank.to_string(),
            chain.output,
            chain.strength.map_or_else(String::new, number),
            chain.path,
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if !rows.is_empty() {
        let columns = ["rank", "output", "product of the weights", "path"];
        let caption = "The strongest chains of weights from an input to an output, last epoch";
        parts.push(Part::grid(caption, &columns, rows));
    }
    parts
}
