//! Which neurons of a layer respond alike.

use analysis::{Dendrogram, Distances, Linkage, Standardized, num_pairs};
use sql::QueryError;
use trace::Table;

use super::asked::Asked;
use super::bins::bins;
use super::error::PlotError;
use super::rows::{integers, lists};
use crate::chart::{Axis, Cells, Chart, ColourScale, Content, Panel, Ticks};

pub(super) const PARAMETERS: &[&str] = &[
    "epoch Int32{<epoch>,first,last} = last: the epoch",
    "layer Utf8{<layer>,first,last} = first: the layer",
];

/// More neurons than this are put together, in the order of the clusters.
const MAX_ROWS: usize = 128;

/// Correlations are of pairs, and clustering holds them all.
const MAX_NEURONS: usize = 4096;

pub(super) async fn chart(asked: &Asked<'_>) -> Result<Chart, PlotError> {
    let epoch = asked.epoch()?;
    let layer = asked.layer().expect("it has a default");
    let rows = asked
        .rows(
            "SELECT neuron, activations FROM epochs.activations \
             WHERE phase = 'eval' AND epoch = $epoch AND layer = $layer AND activations IS NOT NULL \
             ORDER BY neuron",
        )
        .await?;
    if rows.num_rows() == 0 {
        let remedy = "`recorder train --record activations --activations raw` records them";
        return Err(asked.nothing_of(Table::Activations, "values of activations", remedy));
    }
    let memory = asked.session.reservation("correlation");
    let num_neurons = rows.num_rows();
    // Their lists, and what becomes of them; distances, and those that are merged.
    memory
        .try_grow(2 * rows.get_array_memory_size())
        .map_err(QueryError::from)?;
    let length = lists(&rows, "activations")
        .into_iter()
        .flatten()
        .map(|list| list.len())
        .max();
    let of_series = num_neurons.saturating_mul(Standardized::num_bytes_of(length.unwrap_or(0)));
    let of_pairs = num_pairs(num_neurons.min(MAX_NEURONS)).saturating_mul(3 * size_of::<f64>());
    let bytes = of_series.saturating_add(of_pairs);
    memory.try_grow(bytes).map_err(QueryError::from)?;
    let mut series = Standardized::default();
    let mut neurons = Vec::new();
    let lists = lists(&rows, "activations").into_iter().flatten();
    for (neuron, values) in integers(&rows, "neuron").into_iter().zip(lists) {
        series.push(&values);
        neurons.push(neuron);
    }
    let varying: Vec<usize> = (0..series.len()).filter(|&of| series.varies(of)).collect();
    let num_constant = series.len() - varying.len();
    if varying.len() < 2 || varying.len() > MAX_NEURONS {
        return Err(PlotError::NotRecorded {
            kind: asked.kind.name(),
            what: format!(
                "correlations of 2 to {MAX_NEURONS} neurons whose activations differ from sample to sample",
            ),
            remedy: format!("{} has {} such neurons", layer.layer, varying.len()),
        });
    }
    let apart = distances(&series, &varying);
    let order = Dendrogram::of(&apart, Linkage::Average).leaves();
    let groups = bins(order.len(), MAX_ROWS);
    let cell = |rows: &std::ops::Range<usize>, columns: &std::ops::Range<usize>| {
        let pairs = rows
            .clone()
            .flat_map(|row| columns.clone().map(move |column| (row, column)));
        // A neuron's correlation with itself is no news, unless it is alone.
        let pairs = pairs.filter(|(row, column)| row != column || rows.len() == 1);
        let pairs: Vec<f64> = pairs
            .map(|(a, b)| 1.0 - apart.between(order[a], order[b]))
            .collect();
        Some(pairs.iter().sum::<f64>() / pairs.len() as f64)
    };
    let values = groups
        .iter()
        .map(|row| groups.iter().map(|column| cell(row, column)).collect());
    let names: Vec<String> = groups
        .iter()
        .map(|group| match group.len() {
            1 => neurons[varying[order[group.start]]].to_string(),
            others => format!("{} +{}", neurons[varying[order[group.start]]], others - 1),
        })
        .collect();
    let mut notes = vec![
        "Neurons in the order of an average-linkage clustering by 1 - correlation: those that respond alike \
         stand beside each other, as blocks on the diagonal."
            .to_owned(),
    ];
    if groups.len() < order.len() {
        notes.push(format!(
            "{} neurons in {} groups by their place in that order, each named by its first neuron: a cell is \
             the average over its pairs.",
            order.len(),
            groups.len()
        ));
    }
    if num_constant > 0 {
        notes.push(format!(
            "{num_constant} of {} neurons have the same activation for every sample and are not shown.",
            rows.num_rows()
        ));
    }
    Ok(Chart {
        title: format!(
            "Which neurons of {} respond alike, epoch {epoch}",
            layer.layer
        ),
        subtitle: asked.subtitle(&[]),
        panels: vec![Panel {
            title: None,
            x: Axis::names("neuron", names.clone()),
            y: Axis::names("neuron", names),
            content: Content::Cells(Cells {
                values: values.collect(),
                texts: None,
                scale: ColourScale::Diverging,
                beyond: None,
                legend: "correlation".to_owned(),
                ticks: Ticks::Numbers,
            }),
        }],
        notes,
    })
}

/// How far series are apart: 1 less their correlation.
fn distances(series: &Standardized, varying: &[usize]) -> Distances {
    let pairs = varying.iter().enumerate().flat_map(|(place, &a)| {
        let later = varying[place + 1..].iter();
        later.map(move |&b| 1.0 - series.correlation(a, b))
    });
    Distances::new(varying.len(), pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neurons_that_respond_alike_stand_beside_each_other() {
        let mut series = Standardized::default();
        for values in [
            [1.0, 2.0, 3.0, 4.0],
            [3.0, 3.0, 3.0, 3.0],
            [1.0, -1.0, -1.0, 1.0],
            [2.0, 4.0, 6.0, 8.1],
            [1.0, -1.0, -1.1, 1.0],
        ] {
            series.push(&values);
        }
        let varying = [0, 2, 3, 4];
        let apart = distances(&series, &varying);
        assert!(apart.between(0, 2) < 0.001 && apart.between(1, 3) < 0.01);
        let order = Dendrogram::of(&apart, Linkage::Average).leaves();
        let mut order: Vec<usize> = order.into_iter().map(|place| varying[place]).collect();
        // Either pair first, each within either way.
        if [2, 4].contains(&order[0]) {
            order.rotate_left(2);
        }
        order[..2].sort_unstable();
        order[2..].sort_unstable();
        assert_eq!(order, [0, 3, 2, 4]);
    }
}
