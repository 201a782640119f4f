//! Which samples were easy, hard or ambiguous while the network learned.

use trace::Table;

use super::asked::Asked;
use super::error::PlotError;
use super::rows::{floats, integers};
use crate::chart::{
    Axis, Cells, Chart, ColourScale, Content, Panel, Point, PointGroup, Ticks, number,
};

pub(super) const PARAMETERS: &[&str] = &[];

/// More samples than this are counted by place, not drawn one over the other.
const MAX_POINTS: usize = 3000;

/// So many of the hardest samples are labelled, and so many of the most ambiguous.
const NUM_LABELLED: usize = 6;

/// How many places a count has room for, across and up.
const PLACES: (usize, usize) = (50, 50);

/// The largest standard deviation that values from 0 to 1 can have.
const MAX_VARIABILITY: f64 = 0.5;

struct Sample {
    sample: i64,
    target: i64,
    variability: f64,
    confidence: f64,
    correctness: f64,
}

pub(super) async fn chart(asked: &Asked<'_>) -> Result<Chart, PlotError> {
    let rows = asked.named("cartography", &[]).await?;
    let (numbers, targets) = (integers(&rows, "sample"), integers(&rows, "target"));
    let [variability, confidence, correctness] =
        ["variability", "confidence", "correctness"].map(|name| floats(&rows, name));
    let samples: Vec<Sample> = (0..rows.num_rows())
        .filter_map(|row| {
            Some(Sample {
                sample: numbers[row],
                target: targets[row],
                variability: variability[row]?,
                confidence: confidence[row]?,
                correctness: correctness[row]?,
            })
        })
        .collect();
    if samples.is_empty() {
        let remedy =
            "`recorder train --record classifications` records them, where targets are classes";
        return Err(asked.nothing_of(Table::Classifications, "classifications", remedy));
    }
    let x = "variability (standard deviation over the epochs)";
    let y = "confidence in its class (mean over the epochs)";
    let (panel, note) = match samples.len() <= MAX_POINTS {
        true => (
            Panel {
                title: None,
                x: Axis::numbers(x),
                y: Axis::shares(y),
                content: Content::Points(groups(asked, &samples)),
            },
            "Colours tell at how many of the epochs the class was predicted. Labels name a sample and its class.",
        ),
        false => (
            counted(&samples, x, y),
            "Samples are too many to be drawn one by one: a cell is how many have about these values, from those \
             at its ticks on; grey is none.",
        ),
    };
    Ok(Chart {
        title: "Which samples were easy, hard or ambiguous".to_owned(),
        subtitle: asked.subtitle(&[format!("{} held-out samples", samples.len())]),
        panels: vec![panel],
        notes: vec![
            "Top left: easy, the network was sure of the class from early on. Bottom left: hard, it never \
             was. Right: ambiguous, it changed its mind (Swayamdipta et al., 2020)."
                .to_owned(),
            note.to_owned(),
        ],
    })
}

/// Samples by how often they were classified right.
fn groups(asked: &Asked<'_>, samples: &[Sample]) -> Vec<PointGroup> {
    let mut by_confidence: Vec<&Sample> = samples.iter().collect();
    by_confidence.sort_by(|a, b| a.confidence.total_cmp(&b.confidence));
    let mut by_variability: Vec<&Sample> = samples.iter().collect();
    by_variability.sort_by(|a, b| b.variability.total_cmp(&a.variability));
    let hardest = by_confidence.iter().take(NUM_LABELLED);
    let most_ambiguous = by_variability.iter().take(NUM_LABELLED);
    let labelled: Vec<i64> = hardest.chain(most_ambiguous).map(|s| s.sample).collect();
    let point = |sample: &Sample| {
        let class = asked.class_name(usize::try_from(sample.target).unwrap_or(0));
        Point {
            x: sample.variability,
            y: sample.confidence,
            name: format!(
                "sample {}, class {class}: right at {} % of the epochs",
                sample.sample,
                number(100.0 * sample.correctness)
            ),
            label: labelled
                .contains(&sample.sample)
                .then(|| format!("{} ({class})", sample.sample)),
            interval: None,
        }
    };
    let mut groups = LEVELS.map(|name| PointGroup {
        name: name.to_owned(),
        points: Vec::new(),
    });
    for sample in samples {
        groups[level(sample.correctness)].points.push(point(sample));
    }
    let groups = groups.into_iter();
    groups.filter(|group| !group.points.is_empty()).collect()
}

const LEVELS: [&str; 4] = [
    "always right",
    "right at half or more",
    "right at less than half",
    "never right",
];

fn level(correctness: f64) -> usize {
    match correctness {
        share if share >= 1.0 => 0,
        share if share >= 0.5 => 1,
        share if share > 0.0 => 2,
        _ => 3,
    }
}

/// How many samples are where.
fn counted(samples: &[Sample], x: &str, y: &str) -> Panel {
    let (across, up) = PLACES;
    let place = |part: f64, places: usize| ((part * places as f64) as usize).min(places - 1);
    let mut counts = vec![vec![0_u32; across]; up];
    for sample in samples {
        let row = up - 1 - place(sample.confidence, up);
        counts[row][place(sample.variability / MAX_VARIABILITY, across)] += 1;
    }
    let part = |place: usize, places: usize| place as f64 / places as f64;
    let columns = (0..across).map(|place| number(MAX_VARIABILITY * part(place, across)));
    let rows = (0..up)
        .rev()
        .map(|place| format!("{} %", number(100.0 * part(place, up))));
    let values = counts.iter().map(|row| {
        // So that few stand out from none.
        let value = |count: &u32| (*count > 0).then(|| f64::from(*count).log10());
        row.iter().map(value).collect()
    });
    Panel {
        title: None,
        x: Axis::names(x, columns.collect()),
        y: Axis::names(y, rows.collect()),
        content: Content::Cells(Cells {
            values: values.collect(),
            texts: None,
            scale: ColourScale::Sequential,
            beyond: None,
            legend: "samples".to_owned(),
            ticks: Ticks::Powers,
        }),
    }
}
