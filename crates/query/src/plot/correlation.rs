//! Which neurons of a layer respond alike.

use kodama::{Method, linkage};
use trace::Table;

use super::rows::{integers, lists};
use super::{Asked, PlotError, bins};
use crate::chart::{Axis, Cells, Chart, ColourScale, Content, Panel, Ticks};

pub(super) const PARAMETERS: &[&str] = &[
    "epoch Int32 = last: the epoch; `first` and `last` are understood",
    "layer Utf8 = first: the layer; `first` and `last` are understood",
];

/// More neurons than this are put together, in the order of the clusters.
const MAX_ROWS: usize = 128;

/// Correlations are of pairs, and clustering holds them all.
const MAX_NEURONS: usize = 4096;

pub(super) async fn chart(asked: &Asked<'_>) -> Result<Chart, PlotError> {
    let epoch = asked.number("epoch").expect("it has a default");
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
    let neurons = integers(&rows, "neuron").into_iter();
    let standardised = neurons.zip(lists(&rows, "activations").into_iter().flatten());
    let (neurons, values): (Vec<i64>, Vec<Vec<f64>>) = standardised
        .filter_map(|(neuron, values)| Some((neuron, standardised_values(&values)?)))
        .unzip();
    let num_constant = rows.num_rows() - neurons.len();
    if neurons.len() < 2 || neurons.len() > MAX_NEURONS {
        return Err(PlotError::NotRecorded {
            kind: asked.kind.name(),
            what: format!(
                "correlations of 2 to {MAX_NEURONS} neurons whose activations differ from sample to sample",
            ),
            remedy: format!("{} has {} such neurons", layer.layer, neurons.len()),
        });
    }
    let matrix = correlations(&values);
    let order = clustered(&matrix);
    let groups = bins(order.len(), MAX_ROWS);
    let cell = |rows: &std::ops::Range<usize>, columns: &std::ops::Range<usize>| {
        let pairs = rows
            .clone()
            .flat_map(|row| columns.clone().map(move |column| (row, column)));
        // A neuron's correlation with itself is no news, unless it is alone.
        let pairs = pairs.filter(|(row, column)| row != column || rows.len() == 1);
        let pairs: Vec<f64> = pairs.map(|(a, b)| matrix[order[a]][order[b]]).collect();
        Some(pairs.iter().sum::<f64>() / pairs.len() as f64)
    };
    let values = groups
        .iter()
        .map(|row| groups.iter().map(|column| cell(row, column)).collect());
    let names: Vec<String> = groups
        .iter()
        .map(|group| match group.len() {
            1 => neurons[order[group.start]].to_string(),
            others => format!("{} +{}", neurons[order[group.start]], others - 1),
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

/// Values less their mean, as a vector of length 1; none where they are all alike or not all finite.
fn standardised_values(values: &[f32]) -> Option<Vec<f64>> {
    let count = values.len() as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let centred: Vec<f64> = values
        .iter()
        .map(|value| f64::from(*value) - mean)
        .collect();
    let norm = centred
        .iter()
        .map(|value| value * value)
        .sum::<f64>()
        .sqrt();
    // Not so for NaN, either.
    let differs = norm > 1e-12 * (mean.abs() * count.sqrt()).max(f64::MIN_POSITIVE);
    differs.then(|| centred.iter().map(|value| value / norm).collect())
}

/// Pearson's correlations of standardised values.
fn correlations(values: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut matrix = vec![vec![1.0; values.len()]; values.len()];
    for row in 0..values.len() {
        for column in 0..row {
            let correlation = dot(&values[row], &values[column]).clamp(-1.0, 1.0);
            matrix[row][column] = correlation;
            matrix[column][row] = correlation;
        }
    }
    matrix
}

/// The order of the leaves of an average-linkage dendrogram by 1 - correlation.
fn clustered(matrix: &[Vec<f64>]) -> Vec<usize> {
    let count = matrix.len();
    let mut distances = Vec::with_capacity(count * (count - 1) / 2);
    for (row, correlations) in matrix.iter().enumerate() {
        let later = &correlations[row + 1..];
        distances.extend(later.iter().map(|correlation| 1.0 - correlation));
    }
    let dendrogram = linkage(&mut distances, count, Method::Average);
    let steps = dendrogram.steps();
    // Clusters are numbered after the leaves, in the order of the steps; the last holds all.
    let mut order = Vec::with_capacity(count);
    let mut open = vec![count + steps.len() - 1];
    while let Some(cluster) = open.pop() {
        match cluster.checked_sub(count) {
            None => order.push(cluster),
            Some(step) => open.extend([steps[step].cluster2, steps[step].cluster1]),
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neurons_that_respond_alike_stand_beside_each_other() {
        let values = [
            [1.0, 2.0, 3.0, 4.0],
            [1.0, -1.0, -1.0, 1.0],
            [2.0, 4.0, 6.0, 8.1],
            [1.0, -1.0, -1.1, 1.0],
        ];
        let values: Vec<Vec<f64>> = values
            .iter()
            .map(|values| standardised_values(values).unwrap())
            .collect();
        let matrix = correlations(&values);
        assert!(matrix[0][2] > 0.999 && matrix[1][3] > 0.99);
        let mut order = clustered(&matrix);
        // Either pair first, each within either way.
        if [1, 3].contains(&order[0]) {
            order.rotate_left(2);
        }
        order[..2].sort_unstable();
        order[2..].sort_unstable();
        assert_eq!(order, [0, 2, 1, 3]);
        assert_eq!(standardised_values(&[3.0, 3.0]), None);
    }
}
