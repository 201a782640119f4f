//! A layer's weights by unit and epoch.

use std::collections::BTreeMap;

use analysis::spread;
use trace::Table;

use super::asked::Asked;
use super::bins::{bin_name, bins};
use super::error::PlotError;
use super::rows::{floats, integers};
use crate::chart::{Axis, Cells, Chart, ColourScale, Content, Panel, Ticks};

pub(super) const PARAMETERS: &[&str] = &[
    "layer Utf8{<layer>,first,last} = first: the layer",
    "stat Utf8{l2,l1,mean,std,min,max} = l2: of a unit's incoming weights",
];

/// More units than this are put together, in their order.
const MAX_ROWS: usize = 64;

/// Of more epochs than this, so many are shown.
const MAX_COLUMNS: usize = 120;

/// A statistic: its column, what it is, and how it is coloured.
type Statistic = (&'static str, &'static str, ColourScale);

const STATISTICS: [(&str, Statistic); 6] = [
    (
        "l2",
        ("weight_l2", "Euclidean norm", ColourScale::Sequential),
    ),
    (
        "l1",
        (
            "weight_l1",
            "sum of absolute values",
            ColourScale::Sequential,
        ),
    ),
    ("mean", ("weight_mean", "mean", ColourScale::Diverging)),
    (
        "std",
        ("weight_std", "standard deviation", ColourScale::Sequential),
    ),
    ("min", ("weight_min", "smallest", ColourScale::Diverging)),
    ("max", ("weight_max", "largest", ColourScale::Diverging)),
];

pub(super) async fn chart(asked: &Asked<'_>) -> Result<Chart, PlotError> {
    let layer = asked.layer().expect("it has a default");
    let (column, meaning, scale) = asked.choice("stat", &STATISTICS)?;
    // An average of averages is one of all, since a layer's units have as many weights each.
    let rows = asked
        .rows(&format!(
            "SELECT epoch, unit, {column} AS value FROM epochs.weights \
             WHERE layer = $layer AND {column} IS NOT NULL ORDER BY epoch, unit"
        ))
        .await?;
    let (epochs, units) = (integers(&rows, "epoch"), integers(&rows, "unit"));
    if epochs.is_empty() {
        let remedy = "`recorder train` records them unless --record leaves out `weights`";
        return Err(asked.nothing_of(Table::Weights, "weights", remedy));
    }
    let mut captured = epochs.clone();
    captured.dedup();
    let shown = spread(&captured, MAX_COLUMNS);
    let column_of: BTreeMap<i64, usize> = shown.iter().copied().zip(0..).collect();

    let mut present: Vec<i64> = units.clone();
    present.sort_unstable();
    present.dedup();
    let groups = bins(present.len(), MAX_ROWS);
    let mut sums = vec![vec![(0.0, 0_usize); shown.len()]; groups.len()];
    for (row, value) in floats(&rows, "value").into_iter().enumerate() {
        let (Some(value), Some(&column)) = (value, column_of.get(&epochs[row])) else {
            continue;
        };
        let position = present.partition_point(|unit| *unit < units[row]);
        let group = groups.partition_point(|group| group.end <= position);
        let (sum, count) = &mut sums[group][column];
        *sum += value;
        *count += 1;
    }
    let values = sums.iter().map(|row| {
        let mean = |&(sum, count): &(f64, usize)| (count > 0).then(|| sum / count as f64);
        row.iter().map(mean).collect()
    });
    let names = groups
        .iter()
        .map(|group| bin_name(group, |position| present[position].to_string()));
    let mut notes = Vec::new();
    if groups.len() < present.len() {
        notes.push(format!(
            "{} units in {} groups, in their order: a cell is the average over its units.",
            present.len(),
            groups.len()
        ));
    }
    if shown.len() < captured.len() {
        notes.push(format!(
            "{} of {} captured epochs, evenly spread.",
            shown.len(),
            captured.len()
        ));
    }
    let shown = shown.iter().map(i64::to_string).collect();
    Ok(Chart {
        title: format!("Incoming weights of {}: {meaning}", layer.layer),
        subtitle: asked.subtitle(&[format!("{} weights a unit", layer.fan_in)]),
        panels: vec![Panel {
            title: None,
            x: Axis::names("epoch", shown),
            y: Axis::names("unit", names.collect()),
            content: Content::Cells(Cells {
                values: values.collect(),
                texts: None,
                scale,
                beyond: None,
                legend: meaning.to_owned(),
                ticks: Ticks::Numbers,
            }),
        }],
        notes,
    })
}
