//! What a picture lacks, and why: what was not recorded, and what is not finite.

use sql::{NotFinite, QueryError};
use studies::ValuesOf;
use trace::Table;

use super::PlotKind;
use super::asked::Asked;
use super::error::PlotError;
use crate::chart::Chart;

impl Asked<'_> {
    /// The tables whose values the picture is made of, as far as they may not be finite.
    fn values_of(&self) -> &'static [Table] {
        let activations = ValuesOf::Activations.tables();
        match self.kind {
            PlotKind::Curves => &[Table::Metrics],
            PlotKind::Confusion | PlotKind::Cartography => &[Table::Classifications],
            PlotKind::Weights | PlotKind::Network => ValuesOf::Weights.tables(),
            PlotKind::Association | PlotKind::Correlation => activations,
            PlotKind::Distributions | PlotKind::Embedding => match self.text("of") {
                Some("weights") => ValuesOf::Weights.tables(),
                _ => activations,
            },
            PlotKind::Ablation => &[],
        }
    }

    /// What the picture is made of that is not finite, if anything is by the epoch that is shown.
    async fn not_finite(&self) -> Result<Option<NotFinite>, QueryError> {
        let layer = self.layer_name();
        let epoch = self.one_epoch();
        let (session, tables) = (self.session, self.values_of());
        match epoch.and_then(|epoch| i32::try_from(epoch).ok()) {
            Some(epoch) => session.not_finite_at(epoch, tables, layer).await,
            None => session.not_finite_in(tables, layer).await,
        }
    }

    /// A chart that says what of it is not finite, and since when; or that this is why there is none.
    pub(super) async fn explain_not_finite(
        &self,
        chart: Result<Chart, PlotError>,
    ) -> Result<Chart, PlotError> {
        match chart {
            Ok(mut chart) => {
                if let Some(reason) = self.not_finite().await? {
                    let mut note = reason.to_string();
                    note[..1].make_ascii_uppercase();
                    chart.notes.push(format!("{note}: training has diverged."));
                }
                Ok(chart)
            }
            Err(error @ PlotError::NotRecorded { .. }) => Err(match self.not_finite().await? {
                Some(reason) if self.shows_nothing_since(&reason) => PlotError::NotFinite {
                    kind: self.kind.name(),
                    reason,
                },
                _ => error,
            }),
            Err(error) => Err(error),
        }
    }

    /// Whether nothing finite is left of what is shown: of a picture of all epochs, if it began so.
    fn shows_nothing_since(&self, reason: &NotFinite) -> bool {
        let first = self.session.captured_epochs().first().copied();
        self.has("epoch") || first.is_none_or(|first| reason.since <= first)
    }

    /// Why a table has no rows for the epoch and layer that were asked for.
    pub(super) fn nothing_of(&self, table: Table, what: &str, remedy: &str) -> PlotError {
        let kind = self.kind.name();
        let layer = self.layer_name();
        let mut epochs: Option<(i32, i32)> = None;
        self.session.run().has_files(table, |epoch, of| {
            if epoch >= 0 && (layer.is_none() || of.is_none() || layer == of) {
                let (first, last) = epochs.unwrap_or((epoch, epoch));
                epochs = Some((first.min(epoch), last.max(epoch)));
            }
            false
        });
        let what = match layer {
            Some(layer) => format!("{what} of {layer}"),
            None => what.to_owned(),
        };
        let epoch = self.one_epoch();
        match (epochs, epoch) {
            (Some((first, last)), Some(epoch))
                if !(i64::from(first)..=i64::from(last)).contains(&epoch) =>
            {
                PlotError::NotOfEpoch {
                    kind,
                    what,
                    epoch,
                    first,
                    last,
                }
            }
            _ => PlotError::NotRecorded {
                kind,
                what,
                remedy: remedy.to_owned(),
            },
        }
    }
}
