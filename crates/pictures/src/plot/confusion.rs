//! Which class was taken for which.

use trace::Table;

use super::asked::Asked;
use super::bins::{bin_name, bins};
use super::error::PlotError;
use super::rows::integers;
use crate::chart::{Axis, Cells, Chart, ColourScale, Content, Panel, Ticks};

pub(super) const PARAMETERS: &[&str] = &["epoch Int32{<epoch>,first,last} = last: the epoch"];

/// More classes than this are put together, in the order of their numbers.
const MAX_CLASSES: usize = 100;

/// Up to so many classes counts are written into the cells.
const MAX_WRITTEN: usize = 20;

pub(super) async fn chart(asked: &Asked<'_>) -> Result<Chart, PlotError> {
    let epoch = asked.epoch()?;
    let rows = asked
        .named("confusion", &[("epoch", epoch.to_string())])
        .await?;
    let (targets, predicted) = (integers(&rows, "target"), integers(&rows, "predicted"));
    let counts = integers(&rows, "count");
    if counts.is_empty() {
        let remedy =
            "`recorder train --record classifications` records them, where targets are classes";
        return Err(asked.nothing_of(Table::Classifications, "classifications", remedy));
    }
    let highest = targets.iter().chain(&predicted).copied().max().unwrap_or(0);
    let num_classes = asked.info().class_names.len().max(highest as usize + 1);
    let groups = bins(num_classes, MAX_CLASSES);
    let group_of = |class: i64| {
        let class = class as usize;
        groups.partition_point(|group| group.end <= class)
    };
    let mut table = vec![vec![0_i64; groups.len()]; groups.len()];
    for ((target, predicted), count) in targets.iter().zip(&predicted).zip(&counts) {
        table[group_of(*target)][group_of(*predicted)] += count;
    }
    let values = table.iter().map(|row| {
        let total: i64 = row.iter().sum();
        let share = |count: &i64| (total > 0).then(|| *count as f64 / total as f64);
        row.iter().map(share).collect()
    });
    // Zeros would hide the mistakes among them.
    let text = |count: &i64| match *count {
        0 => String::new(),
        count => count.to_string(),
    };
    let texts = table.iter().map(|row| row.iter().map(text).collect());
    let right: i64 = (0..groups.len()).map(|group| table[group][group]).sum();
    let total: i64 = counts.iter().sum();
    let names: Vec<String> = groups
        .iter()
        .map(|group| bin_name(group, |class| asked.class_name(class)))
        .collect();
    let mut notes = Vec::new();
    if groups.len() < num_classes {
        notes.push(format!(
            "{num_classes} classes in {} groups, in the order of their numbers.",
            groups.len()
        ));
    } else {
        notes.push(format!(
            "{right} of {total} held-out samples ({:.1} %) are on the diagonal: taken for what they are.",
            100.0 * right as f64 / total as f64
        ));
    }
    Ok(Chart {
        title: format!("Which class was taken for which, epoch {epoch}"),
        subtitle: asked.subtitle(&[]),
        panels: vec![Panel {
            title: None,
            x: Axis::names("taken for", names.clone()),
            y: Axis::names("class", names),
            content: Content::Cells(Cells {
                values: values.collect(),
                texts: (groups.len() <= MAX_WRITTEN).then(|| texts.collect()),
                scale: ColourScale::Amount,
                beyond: None,
                legend: "share of the class".to_owned(),
                ticks: Ticks::Shares,
            }),
        }],
        notes,
    })
}
