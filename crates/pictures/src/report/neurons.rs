//! Which neurons became what, and when.

use std::collections::{BTreeMap, BTreeSet};

use analysis::JointPower;
use studies::structure_power;

use super::{
    Part, Result, Section, Source, counted, introduced, or_missing, p_value, percent, refused,
    still,
};
use crate::chart::{Axis, Cells, Chart, ColourScale, Content, Panel, Ticks, number};
use crate::plot::PlotKind;
use crate::plot::association::CHANCE;
use crate::plot::rows::{floats, integers, texts};

pub(super) const HEADING: &str = "Which neurons became what, and when";

/// How many neurons of each class the table has.
const PER_CLASS: usize = 3;

/// How many changes and chains of weights their tables have.
const MAX_ROWS: usize = 10;

/// More neurons than this are placed at the last epoch alone: it takes seconds an epoch.
const MAX_FILMED: u32 = 1000;

/// How many structures their table has.
const MAX_STRUCTURES: usize = 40;

pub(super) async fn section(source: &Source<'_>) -> Result<Section> {
    let mut parts = Vec::new();
    if source.session.info().class_names.is_empty() {
        parts.push(Part::Missing(
            "Neurons are told apart by the classes that they go with, and this run has no classes."
                .to_owned(),
        ));
        parts.extend(or_missing(connections(source).await)?);
        return Ok(section_of(parts, &[]));
    }
    parts.push(Part::text(format!(
        "A neuron goes with a class where it is active for the samples that the network takes for that class, and \
         not for others. With so many neurons and classes some do by chance: the classes were shuffled among the \
         samples {} times, and what any neuron reaches by then is called chance. The output layer is left out, \
         since its neurons are the classes.",
        source.options.permutations
    )));
    let permutations = source.options.permutations.to_string();
    // The same neurons at every epoch, so that one can be watched.
    let last = source.frames.last().map(i32::to_string);
    let chosen = last.as_deref().map(|last| ("chosen", last));
    let mut arguments = vec![("permutations", permutations.as_str())];
    arguments.extend(chosen);
    let film = source.film(PlotKind::Association, &arguments).await?;
    let is_known = matches!(film, Part::Film(_));
    parts.push(film);
    if is_known {
        parts.extend(or_missing(onset(source, &permutations).await)?);
        parts.extend(or_missing(counts(source, &permutations).await)?);
        parts.extend(or_missing(steadiness(source).await)?);
        parts.extend(or_missing(changes(source, &permutations).await)?);
        parts.extend(alike(source, &permutations).await?);
    }
    parts.extend(or_missing(structures(source).await)?);
    parts.extend(or_missing(connections(source).await)?);
    Ok(section_of(parts, CLASS_COMMANDS))
}

/// What else can be asked where there are classes.
const CLASS_COMMANDS: &[&str] = &[
    "run structure_onset RUN --param class=1",
    "run class_changes RUN",
    "structures find RUN",
    "structures list RUN",
];

fn section_of(parts: Vec<Part>, commands: &[&'static str]) -> Section {
    let always = ["embed RUN --epoch all", "run strongest_paths RUN"];
    Section {
        heading: HEADING,
        parts,
        commands: [commands, &always].concat(),
    }
}

/// The strongest neurons of each class at the last epoch, and since when they are.
async fn onset(source: &Source<'_>, permutations: &str) -> Result<Option<Part>> {
    let top = PER_CLASS.to_string();
    let arguments = [("top", top.as_str()), ("permutations", permutations)];
    let rows = source.named("structure_onset", &arguments).await?;
    let (classes, neurons) = (integers(&rows, "class"), integers(&rows, "neuron"));
    let (firsts, layers) = (integers(&rows, "first_epoch"), texts(&rows, "layer"));
    let scores = floats(&rows, "score");
    // The strongest first, a row a class.
    let mut by_class: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (row, class) in classes.into_iter().enumerate() {
        by_class.entry(class).or_default().push(format!(
            "n_{} of {} since epoch {}, r {}",
            neurons[row],
            layers[row],
            firsts[row],
            scores[row].map_or_else(|| "–".to_owned(), |score| format!("{score:.2}")),
        ));
    }
    let rows = by_class.into_iter().map(|(class, mut neurons)| {
        neurons.resize(PER_CLASS, String::new());
        [vec![source.class_name(class)], neurons].concat()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return Ok(Some(Part::text(
            "At the last epoch no neuron goes with a class more than chance explains.",
        )));
    }
    let columns = ["class", "the strongest neuron", "the second", "the third"];
    let caption =
        "The strongest neurons of each class at the last epoch, since when, and the correlation";
    Ok(Some(Part::grid(caption, &columns, rows)))
}

/// How many neurons go with each class, at each of the slider's epochs.
async fn counts(source: &Source<'_>, permutations: &str) -> Result<Option<Part>> {
    let mut found: BTreeMap<i32, BTreeMap<i64, u32>> = BTreeMap::new();
    let mut classes: BTreeSet<i64> = BTreeSet::new();
    for &epoch in &source.frames {
        let epoch_text = epoch.to_string();
        let arguments = [
            ("epoch", epoch_text.as_str()),
            ("top", "all"),
            ("permutations", permutations),
        ];
        let rows = source.named("structure_scores", &arguments).await?;
        if rows.num_rows() == 0 {
            continue;
        }
        let of_epoch = found.entry(epoch).or_default();
        let (of_rows, scores) = (integers(&rows, "class"), floats(&rows, "score"));
        let p_values = floats(&rows, "p_value");
        for (row, &class) in of_rows.iter().enumerate() {
            classes.insert(class);
            let is_found = p_values[row].is_some_and(|p| p < CHANCE);
            if is_found && scores[row].is_some_and(|score| score > 0.0) {
                *of_epoch.entry(class).or_default() += 1;
            }
        }
    }
    let count = |epoch: &BTreeMap<i64, u32>, class| epoch.get(&class).copied().unwrap_or(0);
    let values = classes.iter().map(|&class| {
        let of_class = found
            .values()
            .map(|epoch| Some(f64::from(count(epoch, class))));
        of_class.collect()
    });
    let cells = Cells {
        values: values.collect(),
        texts: None,
        scale: ColourScale::Sequential,
        beyond: Some((0.0, 0.0)),
        legend: "neurons".to_owned(),
        ticks: Ticks::Whole,
    };
    let names = classes.iter().map(|&class| source.class_name(class));
    let panel = Panel {
        title: None,
        x: Axis::names("epoch", found.keys().map(i32::to_string).collect()),
        y: Axis::names("class", names.collect()),
        content: Content::Cells(cells),
    };
    Ok((!found.is_empty()).then(|| {
        still(Chart {
            title: "How many neurons go with each class, epoch by epoch".to_owned(),
            subtitle: "more active with it than chance explains".to_owned(),
            panels: vec![panel],
            notes: Vec::new(),
        })
    }))
}

/// How far the strongest neurons of a class are those of the capture before.
async fn steadiness(source: &Source<'_>) -> Result<Option<Part>> {
    const TOP: f64 = 5.0;
    let rows = source
        .named("rank_stability", &[("top", &TOP.to_string())])
        .await?;
    let (epochs, kept) = (integers(&rows, "epoch"), integers(&rows, "kept"));
    let (Some(&first), Some(&last)) = (epochs.first(), epochs.last()) else {
        return Ok(None);
    };
    let mean = |of: i64, values: &[i64]| -> f64 {
        let of_epoch = epochs.iter().zip(values).filter(|&(&epoch, _)| epoch == of);
        let values: Vec<f64> = of_epoch.map(|(_, &value)| value as f64).collect();
        values.iter().sum::<f64>() / values.len().max(1) as f64
    };
    let ranked = mean(last, &integers(&rows, "neurons"));
    // Of few neurons chance keeps most.
    if first == last || ranked < 4.0 * TOP {
        return Ok(None);
    }
    let one_decimal = |value: f64| number((10.0 * value).round() / 10.0);
    Ok(Some(Part::text(format!(
        "Of the {TOP} strongest neurons of a class, {} had been among them at the capture before, on the mean over \
         the classes, at epoch {first}, and {} at epoch {last}; with {} neurons chance would have kept {}.",
        one_decimal(mean(first, &kept)),
        one_decimal(mean(last, &kept)),
        one_decimal(ranked),
        one_decimal(TOP * TOP / ranked),
    ))))
}

/// Neurons that went over to another class.
async fn changes(source: &Source<'_>, permutations: &str) -> Result<Option<Part>> {
    if source.session.captured_epochs().len() < 2 {
        return Ok(None);
    }
    let arguments = [("permutations", permutations)];
    let rows = source.named("class_changes", &arguments).await?;
    let (epochs, neurons) = (integers(&rows, "epoch"), integers(&rows, "neuron"));
    let [before, after] = ["previous_class", "class"].map(|name| integers(&rows, name));
    let (layers, scores) = (texts(&rows, "layer"), floats(&rows, "correlation"));
    let num_changed = neurons.iter().collect::<BTreeSet<_>>().len() as u64;
    if num_changed == 0 {
        return Ok(Some(Part::text(
            "No neuron went over from one class to another.",
        )));
    }
    // The latest, which is what became of them.
    let mut latest: Vec<usize> = (0..rows.num_rows()).collect();
    latest.sort_by_key(|&row| std::cmp::Reverse(epochs[row]));
    let rows = latest.into_iter().take(MAX_ROWS).map(|row| {
        vec![
            epochs[row].to_string(),
            format!("n_{}", neurons[row]),
            layers[row].clone(),
            source.class_name(before[row]),
            source.class_name(after[row]),
            scores[row].map_or_else(String::new, number),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let columns = [
        "epoch",
        "neuron",
        "layer",
        "from class",
        "to class",
        "correlation",
    ];
    let caption = format!(
        "{} went over from one class to another, some of them back; the latest {}",
        counted(num_changed, "neuron"),
        counted(rows.len() as u64, "change")
    );
    Ok(Some(Part::grid(caption, &columns, rows)))
}

/// Neurons as points, near each other where they respond alike.
async fn alike(source: &Source<'_>, permutations: &str) -> Result<Vec<Part>> {
    let arguments = [("colour", "class"), ("permutations", permutations)];
    let hidden = source.session.info().layers.hidden_layers();
    let num_hidden: u32 = hidden.map(|layer| layer.num_recorded_units()).sum();
    let told = "Neurons that respond alike stand beside each other, coloured by the class that they go with.";
    Ok(match num_hidden <= MAX_FILMED {
        true => introduced(
            format!(
                "{told} Each epoch begins where the one before it ended, so that what moves has changed."
            ),
            source.film(PlotKind::Embedding, &arguments).await?,
        ),
        false => introduced(
            format!(
                "{told} Of so many neurons it is the last epoch alone; `query embed --epoch all` follows them."
            ),
            source.picture(PlotKind::Embedding, &arguments).await?,
        ),
    })
}

/// The named sets of neurons that the run keeps.
async fn structures(source: &Source<'_>) -> Result<Vec<Part>> {
    let rows = source
        .sql(
            "SELECT name, class, epoch, neuron, score, p_value, first_epoch, half FROM structures \
             ORDER BY class, name, abs(score) DESC, neuron",
        )
        .await?;
    let (names, classes) = (texts(&rows, "name"), integers(&rows, "class"));
    let (epochs, neurons) = (integers(&rows, "epoch"), integers(&rows, "neuron"));
    let (scores, p_values) = (floats(&rows, "score"), floats(&rows, "p_value"));
    let (firsts, halves) = (integers(&rows, "first_epoch"), texts(&rows, "half"));
    let mut kept: Vec<(&str, Vec<usize>)> = Vec::new();
    for (row, name) in names.iter().enumerate() {
        match kept.iter_mut().find(|(known, _)| known == name) {
            Some((_, rows)) => rows.push(row),
            None => kept.push((name, vec![row])),
        }
    }
    if kept.is_empty() {
        return Ok(vec![Part::Missing(
            "No sets of neurons were given names: `query structures find` keeps the strongest of each class \
             as structures, which `recorder ablate` can silence."
                .to_owned(),
        )]);
    }
    let num_kept = kept.len() as u64;
    let mut grid = Vec::new();
    for (name, rows) in kept.into_iter().take(MAX_STRUCTURES) {
        let first = rows[0];
        let ids: Vec<String> = rows
            .iter()
            .map(|&row| format!("n_{}", neurons[row]))
            .collect();
        let reach = |values: &[Option<f64>], pick: fn(f64, f64) -> f64| {
            rows.iter().filter_map(|&row| values[row]).reduce(pick)
        };
        // None of neurons without activations, or of too many.
        let power = match structure_power(source.session, name).await {
            Ok(power) => power,
            Err(error) => refused(error.into()).map(|_| None)?,
        };
        let power = |of: &dyn Fn(&JointPower) -> String| {
            let power = power.as_ref().map(|found| of(&found.power));
            power.unwrap_or_else(|| "–".to_owned())
        };
        let since = rows.iter().map(|&row| firsts[row]).min().unwrap_or(-1);
        // Of neurons that somebody chose by hand.
        let none = || "–".to_owned();
        let known = |value: i64| (value >= 0).then_some(value);
        let told = |found: Option<f64>| found.map_or_else(none, number);
        grid.push(vec![
            name.to_owned(),
            known(classes[first]).map_or_else(none, |class| source.class_name(class)),
            ids.join(", "),
            epochs[first].to_string(),
            known(since).map_or_else(none, |epoch| epoch.to_string()),
            match halves[first].as_str() {
                "" => "by hand".to_owned(),
                "all" => "all".to_owned(),
                half => format!("the {half} half"),
            },
            told(reach(&scores, f64::max)),
            p_value(reach(&p_values, f64::max)),
            power(&|power| number(power.auc)),
            power(&|power| percent(power.accuracy)),
            power(&|power| percent(power.majority)),
        ]);
    }
    let caption = match num_kept as usize > MAX_STRUCTURES {
        true => format!("Structures that the run keeps: {MAX_STRUCTURES} of {num_kept}"),
        false => "Structures that the run keeps".to_owned(),
    };
    Ok(vec![
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
            grid,
        ),
    ])
}

/// The strongest connections, and the strongest chains of them.
async fn connections(source: &Source<'_>) -> Result<Vec<Part>> {
    let mut parts = vec![source.film(PlotKind::Network, &[]).await?];
    if matches!(parts[0], Part::Missing(_)) {
        return Ok(parts);
    }
    let rows = source
        .sql("SELECT rank, class, strength * sign AS strength, array_to_string(path, ' → ') AS path FROM strongest_paths(epoch => 'last') ORDER BY rank")
        .await?;
    let (ranks, classes) = (integers(&rows, "rank"), integers(&rows, "class"));
    let (strengths, paths) = (floats(&rows, "strength"), texts(&rows, "path"));
    // A single output tells the second of two classes, or a number.
    let info = source.session.info();
    let outputs = info
        .layers
        .output_layer()
        .map(|layer| layer.num_units as usize);
    let has_names = outputs == Some(info.class_names.len());
    let grid = (0..rows.num_rows().min(MAX_ROWS)).map(|row| {
        let output = match has_names {
            true => source.class_name(classes[row]),
            false => classes[row].to_string(),
        };
        let strength = strengths[row].map_or_else(String::new, number);
        vec![ranks[row].to_string(), output, strength, paths[row].clone()]
    });
    let grid: Vec<Vec<String>> = grid.collect();
    if !grid.is_empty() {
        let columns = ["rank", "output", "product of the weights", "path"];
        let caption = "The strongest chains of weights from an input to an output, last epoch";
        parts.push(Part::grid(caption, &columns, grid));
    }
    Ok(parts)
}
