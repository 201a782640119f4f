//! What a network loses without some of its neurons.

use arrow::array::RecordBatch;
use trace::{Table, read_derived};

use super::asked::Asked;
use super::error::PlotError;
use super::rows::{floats, integers, texts};
use crate::chart::{Axis, Chart, Content, Panel, Point, PointGroup, number};

pub(super) const PARAMETERS: &[&str] = &[
    "ablation Utf8 = last: the structure that was silenced, or the ablation's 16 digits; `last`, `all`",
    "metric Utf8{accuracy,loss,label_accuracy,r2} = accuracy: what is drawn",
];

/// How far the marks of a row are from each other, in distances between rows.
const APART: f64 = 0.27;

/// Longer lists of neurons are cut off in names.
const MAX_NEURONS_SHOWN: usize = 24;

/// One figure of an ablation.
#[derive(Debug, Clone)]
struct Figure {
    epoch: i32,
    ablation: String,
    name: String,
    of_class: i64,
    neurons: String,
    /// With its number, if it has one.
    mode: String,
    half: String,
    samples: String,
    class: i64,
    metric: String,
    before: f64,
    after: f64,
    /// Mean and standard deviation over random neurons.
    random: Option<(f64, f64)>,
    p_value: Option<f64>,
}

impl Figure {
    /// What was silenced: a structure by its name, or neurons.
    fn what(&self) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        let mut neurons: String = self.neurons.chars().take(MAX_NEURONS_SHOWN).collect();
        if neurons.len() < self.neurons.len() {
            neurons.push('…');
        }
        format!("neurons {neurons}")
    }

    /// Whether it says what silencing means for what it was aimed at: the samples of a class, or all.
    fn is_of_its_aim(&self) -> bool {
        match self.of_class {
            0.. => self.samples == "class" && self.class == self.of_class,
            _ => self.samples == "all",
        }
    }
}

/// A line of the picture.
struct Row {
    name: String,
    figure: Figure,
}

pub(super) fn chart(asked: &Asked<'_>) -> Result<Chart, PlotError> {
    let metrics = ["accuracy", "loss", "label_accuracy", "r2"].map(|name| (name, name));
    let metric = asked.choice("metric", &metrics)?;
    let wanted = asked.text("ablation").unwrap_or("last");
    let figures = figures(asked)?;
    let missing = |what: &str| {
        asked.nothing_of(
            Table::Ablations,
            what,
            "`recorder ablate` silences neurons and measures",
        )
    };
    let chosen = match wanted {
        "last" | "all" => figures.last(),
        wanted => {
            let is_meant = |figure: &&Figure| figure.name == wanted || figure.ablation == wanted;
            figures.iter().rev().find(is_meant)
        }
    };
    let Some(chosen) = chosen.cloned() else {
        return Err(match wanted {
            "last" | "all" => missing("ablations"),
            wanted => missing(&format!("ablations named {wanted:?}")),
        });
    };
    let of_metric = figures.into_iter().filter(|figure| figure.metric == metric);
    let rows: Vec<Row> = match wanted {
        "all" => of_metric
            .filter(Figure::is_of_its_aim)
            .map(|f| of_all(asked, f))
            .collect(),
        _ => {
            let of_this = of_metric.filter(|figure| figure.ablation == chosen.ablation);
            of_this
                .filter(|f| f.samples != "others")
                .map(|f| of_class(asked, f))
                .collect()
        }
    };
    if rows.is_empty() {
        return Err(missing(&format!(
            "figures of {metric} after silencing {}",
            chosen.what()
        )));
    }
    Ok(drawn(asked, rows, metric, wanted, &chosen))
}

fn of_all(asked: &Asked<'_>, figure: Figure) -> Row {
    let class = usize::try_from(figure.of_class).map(|class| asked.class_name(class));
    let of = class.map_or_else(|_| String::new(), |class| format!(", class {class}"));
    let name = format!("{}, epoch {}{of}", figure.what(), figure.epoch);
    Row { name, figure }
}

fn of_class(asked: &Asked<'_>, figure: Figure) -> Row {
    let name = match usize::try_from(figure.class) {
        Ok(class) => format!("class {}", asked.class_name(class)),
        Err(_) => "all samples".to_owned(),
    };
    Row { name, figure }
}

fn drawn(asked: &Asked<'_>, rows: Vec<Row>, metric: &str, wanted: &str, chosen: &Figure) -> Chart {
    let last = rows.len() - 1;
    let is_share = metric.ends_with("accuracy");
    let group = |name: &str, point: &dyn Fn(&Row, f64) -> Option<Point>| PointGroup {
        name: name.to_owned(),
        points: rows
            .iter()
            .enumerate()
            .filter_map(|(index, row)| point(row, (last - index) as f64))
            .collect(),
    };
    let point = |row: &Row, x: f64, y: f64| Point {
        x,
        y,
        name: format!("{}: {}", row.name, number(x)),
        label: None,
        interval: None,
    };
    // One below the other, so that none hides another.
    let before = group("as it was", &|row, y| {
        Some(point(row, row.figure.before, y + APART))
    });
    let after = group("silenced", &|row, y| {
        let p_value = row.figure.p_value;
        Some(Point {
            label: p_value.map(|p| format!("p = {}", number(p))),
            ..point(row, row.figure.after, y)
        })
    });
    let random = group("random neurons silenced", &|row, y| {
        let (mean, deviation) = row.figure.random?;
        let mut interval = [mean - deviation, mean + deviation];
        if is_share {
            interval = interval.map(|end| end.clamp(0.0, 1.0));
        }
        Some(Point {
            interval: Some(interval),
            ..point(row, mean, y - APART)
        })
    });
    let has_random = !random.points.is_empty();
    let mut groups = vec![before, after];
    let mut notes = Vec::new();
    if has_random {
        groups.push(random);
        notes.push(
            "Random neurons are as many of the same layers: the mean of the draws, and a standard deviation to \
             both sides. p is the share of draws, this one counted, that are as bad or worse."
                .to_owned(),
        );
    }
    let mut names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    names.reverse();
    let x = match metric {
        _ if is_share => Axis::shares("accuracy on held-out samples"),
        "loss" => Axis::numbers("mean loss on held-out samples"),
        other => Axis::numbers(other),
    };
    let (title, parts) = match wanted {
        "all" => (
            format!("What silencing neurons costs: {metric}"),
            vec!["of the class that they go with, or of all samples".to_owned()],
        ),
        _ => (
            format!(
                "What silencing {} costs, epoch {}",
                chosen.what(),
                chosen.epoch
            ),
            vec![
                format!("mode {}", chosen.mode),
                match chosen.half.as_str() {
                    "all" => "all held-out samples".to_owned(),
                    half => format!("the {half} half of the held-out samples"),
                },
                format!("neurons {}", chosen.neurons.replace(',', ", ")),
            ],
        ),
    };
    Chart {
        title,
        subtitle: asked.subtitle(&parts),
        panels: vec![Panel {
            title: None,
            x,
            y: Axis::names(
                if wanted == "all" {
                    "ablation"
                } else {
                    "samples"
                },
                names,
            ),
            content: Content::Points(groups),
        }],
        notes,
    }
}

/// All figures, in the order in which they were committed.
fn figures(asked: &Asked<'_>) -> Result<Vec<Figure>, PlotError> {
    let run = asked.session.run().dir();
    let parts = read_derived(run, Table::Ablations)?;
    let of_part = parts
        .iter()
        .flat_map(|part| of_rows(part.capture.epoch.0, &part.rows));
    Ok(of_part.collect())
}

fn of_rows(epoch: i32, rows: &RecordBatch) -> Vec<Figure> {
    let column = |name: &str| texts(rows, name);
    let [ablations, names, neurons] = ["ablation", "name", "neurons"].map(column);
    let [modes, halves, samples, metrics] = ["mode", "half", "samples", "metric"].map(column);
    let [of_classes, classes] = ["of_class", "class"].map(|name| integers(rows, name));
    let column = |name: &str| floats(rows, name);
    let [factors, values] = ["factor", "value"].map(column);
    let [before, after, p_values] = ["before", "after", "p_value"].map(column);
    let [means, deviations] = ["random_mean", "random_std"].map(column);
    let figure = |row: usize| {
        Some(Figure {
            epoch,
            ablation: ablations[row].clone(),
            name: names[row].clone(),
            of_class: of_classes[row],
            neurons: neurons[row].clone(),
            mode: match factors[row].or(values[row]) {
                Some(of_mode) => format!("{} {}", modes[row], number(of_mode)),
                None => modes[row].clone(),
            },
            half: halves[row].clone(),
            samples: samples[row].clone(),
            class: classes[row],
            metric: metrics[row].clone(),
            before: before[row]?,
            after: after[row]?,
            random: means[row].zip(deviations[row]),
            p_value: p_values[row],
        })
    };
    (0..rows.num_rows()).filter_map(figure).collect()
}
