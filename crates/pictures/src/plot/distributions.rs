//! How a layer's values are spread, epoch after epoch.

use analysis::spread;
use datafusion::prelude::{col, lit};
use futures::StreamExt;
use sql::QueryError;
use trace::{Layer, Table};

use super::asked::Asked;
use super::error::PlotError;
use super::rows::{floats, integers, lists};
use crate::chart::{Axis, Chart, Content, Panel, Ridge};

pub(super) const PARAMETERS: &[&str] = &[
    "layer Utf8{<layer>,first,last} = first: the layer",
    "of Utf8{weights,activations} = weights: what is spread; activations are those of the held-out samples",
];

/// Of more epochs than this, so many are shown.
const MAX_RIDGES: usize = 14;

const NUM_BINS: usize = 80;

/// How far a ridge rises, in distances between ridges.
const HIGHEST: f64 = 1.8;

/// A share of zeros from which on it is told.
const TOLD_ZEROS: f64 = 0.005;

#[derive(Clone, Copy, PartialEq)]
enum Of {
    Weights,
    Activations,
}

impl Of {
    fn table(self) -> Table {
        match self {
            Of::Weights => Table::Weights,
            Of::Activations => Table::Activations,
        }
    }

    fn name(self) -> &'static str {
        self.table().name()
    }

    /// What its statistics' columns begin with.
    fn prefix(self) -> &'static str {
        match self {
            Of::Weights => "weight",
            Of::Activations => "activation",
        }
    }

    /// Which rows of its table are meant.
    fn filter(self) -> &'static str {
        match self {
            Of::Weights => "layer = $layer",
            Of::Activations => "layer = $layer AND phase = 'eval'",
        }
    }
}

/// The values of one epoch, counted.
struct Spread {
    epoch: i64,
    /// By bin, without those that are 0.
    counts: Vec<f64>,
    zeros: f64,
    total: f64,
}

impl Spread {
    fn new(epoch: i64) -> Self {
        let counts = vec![0.0; NUM_BINS];
        Self {
            epoch,
            counts,
            zeros: 0.0,
            total: 0.0,
        }
    }
}

/// Equally wide bins.
#[derive(Clone, Copy)]
struct Bins {
    low: f64,
    width: f64,
}

impl Bins {
    fn try_new(low: f64, high: f64) -> Option<Self> {
        let width = (high - low) / NUM_BINS as f64;
        (width > 0.0).then_some(Self { low, width })
    }

    fn of(self, value: f64) -> usize {
        (((value - self.low) / self.width) as usize).min(NUM_BINS - 1)
    }

    fn middle(self, bin: usize) -> f64 {
        self.low + (bin as f64 + 0.5) * self.width
    }
}

pub(super) async fn chart(asked: &Asked<'_>) -> Result<Chart, PlotError> {
    let layer = asked.layer().expect("it has a default");
    let of = asked.choice(
        "of",
        &[("weights", Of::Weights), ("activations", Of::Activations)],
    )?;
    let remedy = match of {
        Of::Weights => "`recorder train` records them unless --record leaves out `weights`",
        Of::Activations => "`recorder train` records them unless --record leaves out `activations`",
    };
    let nothing = || asked.nothing_of(of.table(), of.name(), remedy);
    let prefix = of.prefix();
    let ranges = asked
        .rows(&format!(
            "SELECT epoch, min({prefix}_min) AS low, max({prefix}_max) AS high \
             FROM epochs.{} WHERE {} GROUP BY epoch ORDER BY epoch",
            of.name(),
            of.filter()
        ))
        .await?;
    let captured = integers(&ranges, "epoch");
    let shown = spread(&captured, MAX_RIDGES);
    let extreme = |column: &str, pick: fn(f64, f64) -> f64| {
        let values = captured.iter().zip(floats(&ranges, column));
        let values = values.filter_map(|(epoch, value)| value.filter(|_| shown.contains(epoch)));
        values.reduce(pick)
    };
    let (Some(low), Some(high)) = (extreme("low", f64::min), extreme("high", f64::max)) else {
        return Err(nothing());
    };
    // All values alike: a bin around them.
    let bins = Bins::try_new(low, high).or_else(|| Bins::try_new(low - 0.5, low + 0.5));
    let bins = bins.ok_or_else(nothing)?;
    let mut spreads = from_lists(asked, of, &shown, bins).await?;
    if spreads.is_empty() {
        spreads = from_histograms(asked, of, &shown, bins).await?;
    }
    if spreads.is_empty() {
        let remedy = format!(
            "it has statistics of them alone; `recorder train --{} raw`, or --histograms, keeps more",
            of.name()
        );
        return Err(PlotError::NotRecorded {
            kind: asked.kind.name(),
            what: format!("the values of {} of {}", of.name(), layer.layer),
            remedy,
        });
    }
    Ok(drawn(asked, layer, of, &spreads, captured.len(), bins))
}

/// Counts values where they were recorded.
async fn from_lists(
    asked: &Asked<'_>,
    of: Of,
    epochs: &[i64],
    bins: Bins,
) -> Result<Vec<Spread>, PlotError> {
    let column = of.name();
    let rows = asked
        .sql(&format!(
            "SELECT epoch, {column} AS list FROM epochs.{column} \
             WHERE {} AND {column} IS NOT NULL ORDER BY epoch",
            of.filter()
        ))
        .await?;
    let epochs = epochs.iter().map(|epoch| lit(*epoch as i32)).collect();
    let rows = rows.filter(col("epoch").in_list(epochs, false));
    let rows = rows.map_err(QueryError::from)?.execute_stream().await;
    let mut rows = rows.map_err(QueryError::from)?;
    let mut spreads: Vec<Spread> = Vec::new();
    while let Some(rows) = rows.next().await {
        let rows = rows.map_err(QueryError::from)?;
        let lists = lists(&rows, "list").into_iter().flatten();
        for (epoch, list) in integers(&rows, "epoch").into_iter().zip(lists) {
            if spreads.last().is_none_or(|last| last.epoch != epoch) {
                spreads.push(Spread::new(epoch));
            }
            let spread = spreads.last_mut().expect("there is one now");
            for value in list.into_iter().filter(|value| value.is_finite()) {
                spread.total += 1.0;
                match value == 0.0 {
                    true => spread.zeros += 1.0,
                    false => spread.counts[bins.of(f64::from(value))] += 1.0,
                }
            }
        }
    }
    Ok(spreads)
}

/// Puts recorded histograms into common bins, each count by how much of its bin is in which of these.
async fn from_histograms(
    asked: &Asked<'_>,
    of: Of,
    epochs: &[i64],
    bins: Bins,
) -> Result<Vec<Spread>, PlotError> {
    let rows = asked
        .rows(&format!(
            "SELECT epoch, edges, counts FROM epochs.histograms \
             WHERE layer = $layer AND \"of\" = '{}' ORDER BY epoch",
            of.name()
        ))
        .await?;
    let zeros = asked
        .rows(&format!(
            "SELECT epoch, sum({}) AS zeros FROM epochs.{} WHERE {} GROUP BY epoch",
            match of {
                Of::Weights => "weight_zeros",
                Of::Activations => "zeros",
            },
            of.name(),
            of.filter()
        ))
        .await?;
    let zeros_of = |epoch: i64| {
        let row = integers(&zeros, "epoch").iter().position(|of| *of == epoch);
        row.map_or(0.0, |row| integers(&zeros, "zeros")[row] as f64)
    };
    let mut spreads = Vec::new();
    for ((epoch, edges), counts) in integers(&rows, "epoch")
        .into_iter()
        .zip(lists(&rows, "edges"))
        .zip(lists(&rows, "counts"))
        .filter(|((epoch, _), _)| epochs.contains(epoch))
    {
        let (Some(edges), Some(counts)) = (edges, counts) else {
            continue;
        };
        let mut spread = Spread::new(epoch);
        spread.total = counts.iter().map(|count| f64::from(*count)).sum();
        // Zeros are all in one bin, the one that begins at or below 0 and ends above it.
        let mut zeros = zeros_of(epoch).max(0.0);
        for (edges, count) in edges.windows(2).zip(&counts) {
            let (from, to) = (f64::from(edges[0]), f64::from(edges[1]));
            let mut count = f64::from(*count);
            if from <= 0.0 && (to > 0.0 || edges[1] == edges[0]) {
                let here = zeros.min(count);
                spread.zeros += here;
                zeros -= here;
                count -= here;
            }
            share_out(&mut spread.counts, bins, (from, to), count);
        }
        spreads.push(spread);
    }
    Ok(spreads)
}

fn share_out(counts: &mut [f64], bins: Bins, (from, to): (f64, f64), count: f64) {
    let (first, last) = (bins.of(from), bins.of(to));
    for (bin, here) in (first..=last).zip(&mut counts[first..=last]) {
        let low = (bins.low + bin as f64 * bins.width).max(from);
        let high = (bins.low + (bin + 1) as f64 * bins.width).min(to);
        let share = match to > from && first < last {
            true => (high - low).max(0.0) / (to - from),
            false => 1.0,
        };
        *here += count * share;
    }
}

fn drawn(
    asked: &Asked<'_>,
    layer: &Layer,
    of: Of,
    spreads: &[Spread],
    num_captured: usize,
    bins: Bins,
) -> Chart {
    let with_zeros = spreads
        .iter()
        .any(|s| s.zeros / s.total.max(1.0) >= TOLD_ZEROS);
    let ridges = spreads.iter().enumerate().map(|(index, spread)| {
        // The narrow ridges of the first epochs would press all later ones flat, on one scale.
        let highest = spread.counts.iter().copied().fold(1.0, f64::max);
        let counts = spread.counts.iter().enumerate();
        let points = counts.map(|(bin, count)| [bins.middle(bin), HIGHEST * count / highest]);
        let zeros = 100.0 * spread.zeros / spread.total.max(1.0);
        Ridge {
            name: format!("epoch {}", spread.epoch),
            base: index as f64,
            points: points.collect(),
            remark: with_zeros.then(|| format!("{zeros:.0} % are 0")),
        }
    });
    let mut notes = vec![
        "The height is how frequent a value is, each ridge's most frequent value being as high as another's."
            .to_owned(),
    ];
    if with_zeros {
        notes.push(
            "Values of exactly 0 are left out of the ridges; how many is said beside them."
                .to_owned(),
        );
    }
    if spreads.len() < num_captured {
        notes.push(format!(
            "{} of {num_captured} captured epochs, evenly spread.",
            spreads.len()
        ));
    }
    let (title, x) = match (of, &layer.activation) {
        (Of::Weights, _) => ("weights", "weight".to_owned()),
        (Of::Activations, Some(activation)) => {
            ("activations", format!("activation, after {activation}"))
        }
        (Of::Activations, None) => ("activations", "activation".to_owned()),
    };
    Chart {
        title: format!("How the {title} of {} are spread", layer.layer),
        subtitle: asked.subtitle(&[format!("{} units", layer.num_units)]),
        panels: vec![Panel {
            title: None,
            x: Axis::numbers(x),
            y: Axis::names(
                "epoch",
                spreads
                    .iter()
                    .map(|spread| spread.epoch.to_string())
                    .collect(),
            ),
            content: Content::Ridges(ridges.collect()),
        }],
        notes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_shared_out_by_where_its_bin_lies() {
        let bins = Bins {
            low: 0.0,
            width: 1.0,
        };
        let mut counts = vec![0.0; NUM_BINS];
        // From 0.5 to 2.5: a quarter, a half, a quarter.
        share_out(&mut counts, bins, (0.5, 2.5), 8.0);
        assert_eq!(counts[..4], [2.0, 4.0, 2.0, 0.0]);
        // A bin without width.
        share_out(&mut counts, bins, (3.5, 3.5), 5.0);
        assert_eq!(counts[3], 5.0);
    }
}
